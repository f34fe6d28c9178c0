"""The compiled kernels behind the same functions as `reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.combine import float_mean, float_std, merge_floats, merge_words
from cubeengine.kernels.float_add import add_floats
from cubeengine.kernels.int_add import add_long, add_narrow, add_wide
from cubeengine.kernels.int_finish import integer_mean, integer_std
from cubeengine.kernels.order import runs_by_group
from cubeengine.kernels.partial import Partial
from cubeengine.types import FloatArray, IntArray

_ADD_INTEGERS = {1: add_narrow, 2: add_narrow, 4: add_wide, 8: add_long}  # by bytes of a value
_CACHED_NBYTES = 2**19  # short rows are sorted and added in parts that stay in the second-level cache,
_RUN = 32  # unless that leaves fewer rows per group than this
_FLOAT_ARRAYS = ("mean", "residual", "m2", "missing")


def add(partial: Partial, data: NDArray[Any], take: IntArray, groups: NDArray[np.int32]) -> None:
    """Add the rows `take` of `data` to the state of their groups, in place; `n_events` included."""
    block = _read_only(_plain(data))
    step = max(_CACHED_NBYTES // max(block.shape[1] * block.itemsize, 1), _RUN * partial.n_groups)
    for start in range(0, len(take), step):
        part = slice(start, start + step)
        _add_part(partial, block, _read_only(take[part]), _read_only(groups[part]))


def _add_part(partial: Partial, block: NDArray[Any], take: IntArray, groups: NDArray[np.int32]) -> None:
    rows, starts = runs_by_group(take, groups, partial.n_groups)
    if partial.kind == "int":
        kernel = _ADD_INTEGERS[block.itemsize]
        kernel(block, rows, starts, partial.n_events, partial.arrays["words"])
    else:
        add_floats(block, rows, starts, partial.n_events, *_float_arrays(partial))


def merge_into(target: Partial, a: Partial, b: Partial) -> None:
    """Write the moments of the events of both over `target`, which may be a."""
    if target.kind == "int":
        words = (_read_only(part.arrays["words"]) for part in (a, b))
        merge_words(*words, target.arrays["words"])
    else:
        sides = [_read_only(array) for part in (a, b) for array in (part.n_events, *_float_arrays(part))]
        merge_floats(*sides, *_float_arrays(target))
    np.add(a.n_events, b.n_events, out=target.n_events)


def mean(partial: Partial) -> FloatArray:
    """Return the mean; NaN where there is no value."""
    result = np.empty((partial.n_groups, partial.n_elements))
    if partial.kind == "int":
        integer_mean(*_sums(partial), result)
    else:
        center, residual, _, missing = map(_read_only, _float_arrays(partial))
        float_mean(_read_only(partial.n_events), center, residual, missing, result)
    return result


def std(partial: Partial) -> FloatArray:
    """Return the standard deviation (ddof 0); NaN where there is no value."""
    result = np.empty((partial.n_groups, partial.n_elements))
    if partial.kind == "int":
        integer_std(*_sums(partial), result)
    else:
        _, _, m2, missing = map(_read_only, _float_arrays(partial))
        float_std(_read_only(partial.n_events), m2, missing, result)
    return result


def _float_arrays(partial: Partial) -> tuple[NDArray[Any], ...]:
    return tuple(partial.arrays[name] for name in _FLOAT_ARRAYS)


def _sums(partial: Partial) -> tuple[NDArray[Any], NDArray[Any]]:
    return _read_only(partial.n_events), _read_only(partial.arrays["words"])


def _plain(data: NDArray[Any]) -> NDArray[Any]:
    """Return booleans as the bytes 0 and 1, which the kernels have code for."""
    return data.view(np.uint8) if data.dtype == np.bool_ else data


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that is read-only always: numba would compile anew for the other kind."""
    view = array.view()
    view.flags.writeable = False
    return view
