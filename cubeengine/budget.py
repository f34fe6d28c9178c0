"""Memory sizes as users write them, and the budget a plan has to keep."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cubeengine.errors import SpecError

_FACTORS = {
    "": 1, "B": 1,
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([A-Za-z]*)\s*")

WORKER_BASELINE = 320 * 2**20
"""Anonymous memory of a process before it holds any data: interpreter, imports, compiled kernels.

Measured of worker processes under distributed: 42 MiB bare, 69 MiB with the packages imported, 155 to
170 MiB once the kernels of four types are compiled (103 MiB if they come from numba's cache).
The rest is room for other versions of the packages and for the allocator."""

DEFAULT_MEMORY = 2 * 2**30


def parse_size(text: str | int) -> int:
    """Read a memory size such as "4 GiB", "500 MB" or a number of bytes.

    Raises
    ------
    SpecError
        If the text is no size, or the size is not positive.

    Examples
    --------
    >>> parse_size("2 GiB")
    2147483648
    """
    match = _SIZE.fullmatch(str(text))
    factors = {unit.lower(): factor for unit, factor in _FACTORS.items()}
    if match is None or match[2].lower() not in factors:
        raise SpecError(f"{text!r} is not a memory size; write e.g. '4 GiB' or '500 MB'")
    size = int(float(match[1]) * factors[match[2].lower()])
    if size <= 0:
        raise SpecError(f"a memory size must be positive, got {text!r}")
    return size


def format_size(nbytes: float) -> str:
    """Write a number of bytes for people: three digits and a binary unit.

    Examples
    --------
    >>> format_size(2147483648)
    '2 GiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(nbytes) < 999.5:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.2f} TiB"


@dataclass(frozen=True, slots=True)
class Budget:
    """Memory of one worker process, shared by its threads."""

    per_worker: int = DEFAULT_MEMORY  # bytes a worker process may use in all

    @property
    def usable(self) -> int:
        """Bytes left for data."""
        return max(self.per_worker - WORKER_BASELINE, 0)
