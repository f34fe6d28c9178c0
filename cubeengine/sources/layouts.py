"""The ages of the smallData layout, told apart by how they write event time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.build import build_reader, check_size
from cubeengine.sources.columns import read_column
from cubeengine.sources.stored import Stored
from cubeengine.sources.times import EPICS_EPOCH, UNIX_EPOCH, pack

MISSING_INTEGER = -99_999
"""What the LCLS-II writer puts where an integer is missing."""


@dataclass(frozen=True, slots=True)
class TimeLayout:
    """Where a file keeps event time.

    Attributes
    ----------
    name : str
        "LCLS-I" or "LCLS-II".
    field : str
        Dataset of the event time.
    epoch : int
        Unix time of second 0.
    mark : int or None
        Integer that stands for a missing value; None where the layout has none.
    """

    name: str
    field: str
    epoch: int
    mark: int | None


LAYOUTS = (
    TimeLayout("LCLS-II", "timestamp", EPICS_EPOCH, MISSING_INTEGER),
    TimeLayout("LCLS-I", "event_time", UNIX_EPOCH, None),
    TimeLayout("LCLS-I", "EvtID/time", UNIX_EPOCH, None),
)


def find_layout(found: Mapping[str, Stored], where: str) -> TimeLayout:
    """Tell which layout a file has.

    Raises
    ------
    SourceFormatError
        If it has no event time, or that cannot be read.
    """
    layout = next((layout for layout in LAYOUTS if layout.field in found), None)
    if layout is None:
        top = sorted({name.split("/")[0] for name in found})
        listed = ", ".join(top[:8]) + (", ..." if len(top) > 8 else "") if top else "nothing"
        wanted = " or ".join(repr(layout.field) for layout in LAYOUTS)
        raise SourceFormatError(
            f"{where}: is HDF5 but not smallData: has no event time ({wanted}); it has {listed}"
        )
    stored = found[layout.field]
    shape_wanted = (stored.n_rows, 2) if layout.field == "EvtID/time" else (stored.n_rows,)
    if stored.problem:
        raise SourceFormatError(stored.problem)
    if stored.shape != shape_wanted or stored.dtype.kind not in "iu":
        raise SourceFormatError(
            f"{where}: event time {layout.field!r} is {stored.dtype} {stored.shape}, but should be integers "
            f"{shape_wanted}; this is not a smallData file"
        )
    return layout


def read_packed(stored: Stored, *, padded: bool = False) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Read packed event times, and which rows are there.

    Parameters
    ----------
    stored : Stored
        (n,) packed, or (n, 2) seconds and nanoseconds.
    padded : bool
        Whether rows without a time are expected (align groups of joined files).

    Raises
    ------
    SourceFormatError
        If rows are missing and not expected to be.
    """
    check_size(stored, stored.n_rows * stored.dtype.itemsize)
    column = read_column(build_reader(stored), np.arange(stored.n_rows))
    values = column.data
    there = np.ones(len(values), bool) if column.valid is None else column.valid.copy()
    there &= (values if values.ndim == 1 else values[:, 0]) != MISSING_INTEGER
    if not padded and not there.all():
        raise SourceFormatError(
            f"{stored.file.path}: {int((~there).sum()):,} of {len(there):,} event times in {stored.name!r} "
            "are missing; a part file was incomplete when the files were joined: join them anew"
        )
    packed = pack(values[:, 0], values[:, 1]) if values.ndim == 2 else values.astype(np.uint64)
    return packed, there
