"""What an smd file says of the events: where each one's datagram lies in the file of events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import DGRAM_NBYTES, MAX_DEPTH, DgramTable, Place, read_exactly
from cubeengine.sources.xtc2.hop import WINDOW_NBYTES
from cubeengine.sources.xtc2.jit import jit
from cubeengine.sources.xtc2.locate import FOUND, enter, locate
from cubeengine.sources.xtc2.names import MAX_RANK, Names, Schema
from cubeengine.sources.xtc2.values import decode
from cubeengine.sources.xtc2.window import AHEAD, DESCRIPTOR, LIMIT, N_STATE, PLACE, START, reach, u4
from cubeengine.types import IntArray

DETECTOR = "smdinfo"
OFFSET_FIELD, SIZE_FIELD = "intOffset", "intDgramSize"

_KEY, _FIELD, _APART, _FIRST = range(4)
"""Columns of layouts, one row per Configure: NamesId (-1: none that is simple), number of the field of the
size, how far ahead of it the offset is, first row in the table of fields."""

_MOST = 1 << 62
_WORD_NBYTES = 8


def read_pointers(
    descriptor: int,
    path: Path,
    table: DgramTable,
    events: IntArray,
    schema: NDArray[np.int32],
    schemas: Sequence[Schema],
) -> tuple[IntArray, IntArray]:
    """Read offset and size of every event's datagram in the file of events.

    Parameters
    ----------
    descriptor : int
        The open smd file.
    path : Path
        Its name, for messages.
    table : DgramTable
        Its datagrams.
    events : (n,) int64
        Which of them are events.
    schema : (n,) int32
        Number of each event's schema, 0 at least.
    schemas : sequence of Schema

    Returns
    -------
    offset, size : (n,) int64

    Raises
    ------
    SourceFormatError
        If an event has none, or one that no file can have.

    Notes
    -----
    The walk through the headers is compiled. An event in which it finds something else than expected is
    decoded once more, exactly: it is right, or gives the reason.
    """
    layouts, fields = _layouts(schemas)
    columns = (table.timestamp[events].view(np.int64), table.offset[events], table.size[events], schema)
    state, window = np.zeros(N_STATE, np.int64), np.empty(WINDOW_NBYTES, np.uint8)
    state[DESCRIPTOR], state[AHEAD] = descriptor, WINDOW_NBYTES
    state[LIMIT] = table.offset[-1] + table.size[-1] if len(table) else 0
    walk = (state, window, np.zeros((MAX_DEPTH, 2), np.int64), np.zeros(MAX_RANK, np.int64))
    pointers = np.empty((2, len(events)), np.int64)
    row = 0
    while (row := _read(*walk, layouts, fields, *columns, pointers, row)) < len(events):
        # Odd, or damaged.
        place = Place(path, int(columns[1][row]))
        data = read_exactly(descriptor, place.offset, int(columns[2][row]), path)
        pointers[:, row] = _exactly(data, schemas[schema[row]], place)
        row += 1
    return pointers[0], pointers[1]


@jit
def _read(
    state: IntArray,
    window: NDArray[np.uint8],
    stack: IntArray,
    shape: IntArray,
    layouts: IntArray,
    fields: IntArray,
    timestamp: IntArray,
    offset: IntArray,
    size: IntArray,
    schema: NDArray[np.int32],
    pointers: IntArray,
    begin: int,
) -> int:
    """Read pointers from an event on, up to one that is not as expected; gives its number."""
    for row in range(begin, len(offset)):
        layout = layouts[schema[row]]
        if layout[_KEY] < 0:
            return row
        if not enter(state, window, stack, offset[row], size[row], timestamp[row]):
            return row
        rest = fields[layout[_FIRST] :]
        if locate(state, window, stack, layout[_KEY], rest, layout[_FIELD], False, shape) != FOUND:
            return row
        for part in range(2):  # the walk ended at the size, so both are within the data
            pos = state[PLACE] - (1 - part) * layout[_APART]
            if not reach(state, window, pos, _WORD_NBYTES):
                return row
            high = u4(window, pos - state[START] + 4)
            if high >= _MOST >> 32:
                return row
            pointers[part, row] = u4(window, pos - state[START]) | high << 32
        if pointers[1, row] < DGRAM_NBYTES:
            return row
    return len(offset)


def _exactly(data: bytes, schema: Schema, place: Place) -> tuple[int, int]:
    """Return offset and size from one event, decoded without any expectation."""
    for contribution in decode(data, schema, place):
        offset, size = (contribution.values.get(name) for name in (OFFSET_FIELD, SIZE_FIELD))
        if contribution.names.detector == DETECTOR and isinstance(offset, int) and isinstance(size, int):
            if 0 <= offset < _MOST and DGRAM_NBYTES <= size < _MOST:
                return offset, size
            raise place.error(0, f"an event of {size:,} bytes at {offset:,}: the smd file is damaged")
    raise place.error(0, f"an event without {DETECTOR!r}: the file is damaged, or is not an smd file")


def _layouts(schemas: Sequence[Schema]) -> tuple[IntArray, IntArray]:
    """Return tables of where the pointers lie, for the compiled walk."""
    layouts = np.full((len(schemas), 4), -1)
    fields: list[tuple[int, int]] = []
    for layout, schema in zip(layouts, schemas, strict=True):
        for names in schema.named(DETECTOR):
            found = _simple(names)
            if found is not None:
                layout[:] = (names.key, *found, len(fields))
                fields += [(name.itemsize, name.rank) for name in names.fields]
                break
    return layouts, np.array(fields, np.int64).reshape(-1, 2)


def _simple(names: Names) -> tuple[int, int] | None:
    """Return the number of the field of the size, and how far ahead of it the offset is.

    None where that is not the same in every event, or the types are not the usual ones.
    """
    plain = [field.plain for field in names.fields]
    if {OFFSET_FIELD, SIZE_FIELD} - set(plain) or len(set(plain)) < len(plain) or names.n_arrays:
        return None
    places = np.cumsum([0, *(field.itemsize for field in names.fields)])
    first, second = plain.index(OFFSET_FIELD), plain.index(SIZE_FIELD)
    if second < first or any(names.fields[number].dtype.str != "<u8" for number in (first, second)):
        return None
    return second, int(places[second] - places[first])


def check_has_pointers(schemas: Sequence[Schema], path: Path) -> None:
    """Raise SourceFormatError if a file is no smd file."""
    if not any(schema.named(DETECTOR) for schema in schemas):
        raise SourceFormatError(
            f"{path}: its Configure has no {DETECTOR!r}, so it is not an smd file; give it as a file of "
            "events"
        )
