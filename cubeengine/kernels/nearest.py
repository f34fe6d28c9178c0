"""The nearest of some events in time, on either side of each event, and means over them."""

from __future__ import annotations

import numpy as np

from cubeengine.kernels.jit import jit
from cubeengine.types import FloatArray, IntArray


@jit
def nearest_runs(
    events: IntArray, times: IntArray, found: IntArray, found_times: IntArray, n: int, within: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the n of the found events that are nearest in time to each event, itself left out.

    Of two that are equally far the earlier one is nearer; of several of the same time on one side the one
    that is fewer events away. So they lie together among those found.

    Parameters
    ----------
    events, times : (n_events,) int64
        Numbers of the events, rising, and their times in ns, never falling.
    found, found_times : (n_found,) int64
        Likewise of the events to choose from.
    n : int
        How many are wanted.
    within : int, in ns
        None is farther than this.

    Returns
    -------
    first, stop : (n_events,) int64
        Event i has `found[first[i]:stop[i]]`, itself left out where it is among them.
    count : (n_events,) int64
        How many these are.
    """
    first = np.empty(len(events), np.int64)
    stop = np.empty(len(events), np.int64)
    count = np.zeros(len(events), np.int64)
    place = 0
    for i in range(len(events)):
        while place < len(found) and found[place] < events[i]:
            place += 1
        left, right = place - 1, place
        if place < len(found) and found[place] == events[i]:
            right += 1
        while count[i] < n:
            before = times[i] - found_times[left] if left >= 0 else -1
            after = found_times[right] - times[i] if right < len(found) else -1
            if 0 <= before <= within and (after < 0 or before <= after):
                left -= 1
            elif 0 <= after <= within:
                right += 1
            else:
                break
            count[i] += 1
        first[i], stop[i] = left + 1, right
    return first, stop, count


@jit
def run_means(
    values: FloatArray, found: IntArray, events: IntArray, first: IntArray, stop: IntArray
) -> FloatArray:
    """Return the mean over the found events of each event, element by element, itself left out.

    Parameters
    ----------
    values : (n_found, n_elements) float64
        Elements that are not finite are left out.
    found, events, first, stop
        As `nearest_runs` takes and gives them.

    Returns
    -------
    (n_events, n_elements) float64
        NaN where there is nothing to average.
    """
    n_elements = values.shape[1]
    means = np.full((len(events), n_elements), np.nan)
    for i in range(len(events)):
        for element in range(n_elements):
            total, count = 0.0, 0
            for j in range(first[i], stop[i]):
                value = values[j, element]
                if found[j] != events[i] and np.isfinite(value):
                    total += value
                    count += 1
            if count:
                means[i, element] = total / count
    return means
