"""The ages of the smallData layout, told apart by how they write event time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import MissingExtra, SourceFormatError
from cubeengine.marks import writers_mark
from cubeengine.sources.build import build_reader, check_size
from cubeengine.sources.columns import read_column
from cubeengine.sources.fields import find_groups
from cubeengine.sources.stored import Stored
from cubeengine.sources.times import EPICS_EPOCH, UNIX_EPOCH, pack


@dataclass(frozen=True, slots=True)
class TimeLayout:
    """Where a file keeps event time."""

    name: str  # "LCLS-I" or "LCLS-II"
    field: str  # dataset of the event time
    epoch: int  # unix time of second 0
    groups: bool  # whether there may be align groups, with event times of their own


_LOOK_ROWS = 2**16
"""Rows of a group's times that are looked at together."""

_AROUND_SECONDS = 3600
"""A group's first and last event may be so far from those of the run that were kept."""

LAYOUTS = (
    TimeLayout("LCLS-II", "timestamp", EPICS_EPOCH, True),
    TimeLayout("LCLS-I", "event_time", UNIX_EPOCH, False),
    TimeLayout("LCLS-I", "EvtID/time", UNIX_EPOCH, False),
)


def find_layout(found: Mapping[str, Stored], where: str) -> TimeLayout:
    """Tell which layout a file has.

    Raises
    ------
    SourceFormatError
        If it has no event time, or that cannot be read.
    """
    there = [layout for layout in LAYOUTS if layout.field in found]
    # Beside fiducials, which LCLS-II does not have, `timestamp` is a field of the user's.
    lcls1 = [layout for layout in there if not layout.groups and "fiducials" in found]
    layout = next(iter(lcls1 or there), None)
    if layout is None:
        top = sorted({name.split("/")[0] for name in found})
        listed = ", ".join(top[:8]) + (", ..." if len(top) > 8 else "") if top else "nothing"
        wanted = " or ".join(repr(layout.field) for layout in LAYOUTS)
        raise SourceFormatError(
            f"{where}: is an HDF5 file but not smallData: it has no event time ({wanted}); it has {listed}"
        )
    stored = found[layout.field]
    shape_wanted = (stored.n_rows, 2) if layout.field == "EvtID/time" else (stored.n_rows,)
    if stored.problem:
        raise SourceFormatError(stored.problem)
    if any(piece.source.dtype.kind not in "iu" for piece in stored.pieces):
        raise SourceFormatError(
            f"{where}: event time {layout.field!r} is {' and '.join(stored.part_types)} in the part files, "
            "but floats cannot hold event times; write that part again, and join the parts"
        )
    if stored.shape != shape_wanted or stored.dtype.kind not in "iu":
        raise SourceFormatError(
            f"{where}: event time {layout.field!r} is {stored.dtype} {stored.shape}, but it should be "
            "integers "
            f"{shape_wanted}; this is not a smallData file"
        )
    return layout


def event_groups(found: Mapping[str, Stored], packed: NDArray[np.uint64]) -> dict[str, Stored]:
    """Return the align groups: those whose `timestamp` holds times of events, but not the run's own.

    A detector may have a field of that name as well: a counter, or the time of each event once more. Its
    fields then have one value per event of the run, as all others.

    Parameters
    ----------
    found : mapping
        All datasets.
    packed : (n_events,) uint64
        The run's event times, in the order of storage.

    Notes
    -----
    Reads of each group as much as it takes to tell: as a rule its first block.
    """
    candidates = find_groups(found).items()
    return {group: stored for group, stored in candidates if stored.problem or _is_apart(stored, packed)}


def _is_apart(stored: Stored, packed: NDArray[np.uint64]) -> bool:
    """Return whether times of events are stored that are not, row by row, those of the run."""
    try:
        reader = build_reader(stored)
    except (SourceFormatError, MissingExtra):
        return True  # said where the group is asked for
    may_repeat, seen = stored.n_rows == len(packed), False
    for start in range(0, stored.n_rows, _LOOK_ROWS):
        column = read_column(reader, np.arange(start, min(start + _LOOK_ROWS, stored.n_rows)))
        there = column.data != writers_mark(column.data.dtype)
        there &= True if column.valid is None else column.valid
        times = column.data[there].astype(np.uint64)
        if len(times) and not seen:
            seen = True
            if not _are_times(times, packed):
                return False
        may_repeat &= bool(there.all()) and np.array_equal(times, packed[start : start + len(column)])
        if seen and not may_repeat:
            return True
    return not (seen and may_repeat)


def _are_times(times: NDArray[np.uint64], packed: NDArray[np.uint64]) -> bool:
    """Return whether numbers are packed times from about when the run was taken."""
    seconds, nanoseconds = (times >> np.uint64(32)).astype(np.int64), times & np.uint64(2**32 - 1)
    taken = (packed >> np.uint64(32)).astype(np.int64)
    first, last = (taken.min(), taken.max()) if len(taken) else (1, 2**32)
    around = (seconds >= first - _AROUND_SECONDS) & (seconds <= last + _AROUND_SECONDS)
    return bool((nanoseconds < 10**9).all() and around.all())


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
    there &= (values if values.ndim == 1 else values[:, 0]) != writers_mark(values.dtype)
    if not padded and not there.all():
        raise SourceFormatError(
            f"{stored.file.path}: {int((~there).sum()):,} of {len(there):,} event times in {stored.name!r} "
            "are missing; a part file was incomplete when the files were joined: join them again"
        )
    packed = pack(values[:, 0], values[:, 1]) if values.ndim == 2 else values.astype(np.uint64)
    return packed, there
