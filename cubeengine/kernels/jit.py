"""How kernels are compiled: serial, without the interpreter lock, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def jit(function: Callable[..., Any]) -> Any:
    """Compile on first call per type of arguments.

    Without fast-math and without numba's own threads: the same bits everywhere, and leaves may run in
    any thread. Compiled code is kept beside the module, in the user's cache directory or in
    `NUMBA_CACHE_DIR`; where none of these can be written it is compiled anew in every process.
    """
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba found no place for the compiled code
        return numba.njit(nogil=True, error_model="numpy")(function)
