"""Running statistics: the median or mean of a variable over the events around each event."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events.derived import numbers
from cubeengine.kernels.sliding import below, sliding_medians, sliding_sums
from cubeengine.sources.times import SECOND, from_nanoseconds, to_nanoseconds
from cubeengine.types import Column, FloatArray, IntArray

At: TypeAlias = Literal["center", "trailing"]
Statistic: TypeAlias = Literal["median", "mean"]
Spans: TypeAlias = tuple[IntArray, IntArray]
"""First event of every window, and the one after its last."""


def running(
    column: Column,
    spans: Spans,
    *,
    statistic: Statistic = "median",
    start: int = 0,
) -> tuple[FloatArray, IntArray]:
    """Compute the median or mean of a variable over the window of every event.

    Values that are missing, NaN or infinite are left out of the windows. An event whose own value is missing
    has a result all the same: that of its window.

    Parameters
    ----------
    column : Column of n_values
        One number per event.
    spans : pair of (n_windows,) int64
        Window i is `column[first[i]:stop[i]]`; neither ever falls. See `event_spans`, `time_spans`.
    statistic : "median" or "mean"
        Of an even number of values the median is the mean of the two in the middle.
    start : int
        Number of the column's first event in the run: with it means are the same to the last bit whichever
        part of a run is at hand.

    Returns
    -------
    (n_windows,) float64
        NaN where no event of the window has a value.
    (n_windows,) int64
        How many values each rests on.

    Raises
    ------
    SpecError
        If the column has more than one value per event.

    Notes
    -----
    Cost: O(n log n_window) for any window.

    Examples
    --------
    >>> column = Column(np.array([1.0, 5.0, np.nan, 2.0]))
    >>> running(column, event_spans(slice(0, 4), 4, window=3))[0]
    array([3. , 3. , 3.5, 2. ])
    """
    if column.data.ndim != 1 or column.data.dtype.kind not in "biuf":
        found = f"{column.data.dtype} of shape {column.data.shape[1:]} per event"
        raise SpecError(f"a running {statistic} needs one number per event, got {found}")
    values = numbers(column) + 0.0  # no -0.0: which of two equal values a median is must not show
    finite = np.isfinite(values)
    before = np.concatenate([[0], np.cumsum(finite)])
    first, stop = before[spans[0]], before[spans[1]]
    if statistic == "median":
        return sliding_medians(values[finite], first, stop), stop - first
    sums = sliding_sums(np.where(finite, values, 0.0), *spans, start)
    return np.where(stop > first, sums / np.maximum(stop - first, 1), np.nan), stop - first


def event_spans(events: slice, n_events: int, *, window: int, at: At = "center") -> Spans:
    """Return the windows of so many events around events of a run; at its ends they are cut.

    Parameters
    ----------
    events : slice
        The events.
    n_events : int
        Events of the run.
    window : int
        Events of a window: around the event (an odd number), or the event and those before it.
    at : "center" or "trailing"
        Where the event is in its window.
    """
    after = window // 2 if at == "center" else 0
    last = np.arange(events.start, events.stop) + after
    return np.maximum(last - window + 1, 0), np.minimum(last + 1, n_events)


def time_spans(
    timestamps: NDArray[np.uint64], events: slice, *, nanoseconds: int, at: At = "center"
) -> Spans:
    """Return the windows of some time around events of a run.

    A centred window holds the events that are at most half of the time away, a trailing one those that are
    at most that time earlier; events of the very same time are always in.

    Parameters
    ----------
    timestamps : (n_events,) uint64
        Packed times of all events of the run, rising.
    events : slice
        The events.
    nanoseconds : int
        Length of a window, in real time.
    at : "center" or "trailing"
        Where the event is in its window.
    """
    times = event_times(timestamps, events)
    before, after = (nanoseconds // 2, nanoseconds // 2) if at == "center" else (nanoseconds, 0)
    # Packed times are in the order of real ones, so that none but those of the events need unpacking.
    first, stop = from_nanoseconds(times - before), from_nanoseconds(times + after + 1)
    begin = np.searchsorted(timestamps, first[:1]).sum()
    return below(timestamps, first, begin), below(timestamps, stop, begin)


def event_times(timestamps: NDArray[np.uint64], events: slice | IntArray) -> IntArray:
    """Return the real times of events, in ns, never falling.

    Raises
    ------
    SpecError
        If they fall: a packed time has more nanoseconds than a second.
    """
    times = to_nanoseconds(timestamps[events])
    check_times(times)
    return times


def check_times(times: IntArray) -> None:
    """Check that the real times of events, in ns, never fall; see `event_times`."""
    wrong = np.flatnonzero(np.diff(times) < 0)
    if len(wrong):
        before, after = (times[wrong[0] : wrong[0] + 2] / SECOND).tolist()
        raise SpecError(
            f"the times of the events fall from {before:.9f} s to {after:.9f} s, because a packed time has "
            "more nanoseconds than a second; windows in time and neighbours cannot be computed"
        )
