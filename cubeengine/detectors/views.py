"""Arrays as compiled kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of plain numbers that is read-only always: numba would compile anew for the other kind.

    Booleans count as 0 and 1.
    """
    view = array.view(np.uint8) if array.dtype == np.bool_ else array.view()
    view.flags.writeable = False
    return view
