"""What is wrong with a datagram, as a sentence."""

from __future__ import annotations

from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.locate import (
    BAD_EXTENT,
    NO_DATA,
    NO_SHAPES,
    OTHER_SHAPE,
    OTHER_SIZE,
    OTHER_TIME,
    TOO_DEEP,
    TOO_LONG,
)
from cubeengine.sources.xtc2.window import AT, GOT, PROBLEM, SHORT, WANTED
from cubeengine.types import IntArray

_DAMAGED = "the file is damaged: copy it again"
_SENTENCES = {
    SHORT: "needs {wanted:,} bytes, but {got:,} remain; the file is cut off: copy it again, or wait until it "
    "is written",
    OTHER_TIME: "has the time {got:#x}, but its small-data file, or the run when it was opened, says "
    "{wanted:#x}; are both files of one run?",
    OTHER_SIZE: "a datagram says {got:,} bytes, but its small-data file, or the run when it was opened, says "
    "{wanted:,}; are both files of one run?",
    BAD_EXTENT: f"an Xtc says {{got:,}} bytes, but needs 12 at least and {{wanted:,}} at most; {_DAMAGED}",
    TOO_DEEP: f"more than {{wanted}} Parents within one another; {_DAMAGED}",
    NO_DATA: f"a contribution without values; {_DAMAGED}",
    NO_SHAPES: f"a contribution with fewer than {{wanted}} shapes, though it has as many arrays; {_DAMAGED}",
    TOO_LONG: "its shape, or the sizes of the fields ahead, says {got:,}, but there are {wanted:,} bytes of "
    f"values; {_DAMAGED}",
    OTHER_SHAPE: "a dimension of {got:,}, but {wanted:,} in the events that were looked at when the run was "
    "opened; a field whose shape varies cannot be read as one of constant shape",
}


def fault(path: Path, state: IntArray, field: str) -> SourceFormatError:
    """Return the error of a noted problem.

    Parameters
    ----------
    path : Path
        The file.
    state : (N_STATE,) int64
        Of the window.
    field : str
        What was looked for: "field 'jungfrau/raw/raw', event 12".
    """
    problem, at, got, wanted = (int(state[place]) for place in (PROBLEM, AT, GOT, WANTED))
    unsigned = {"got": got % 2**64, "wanted": wanted % 2**64}
    return SourceFormatError(f"{path}, byte {at:,}: {field}: {_SENTENCES[problem].format(**unsigned)}")
