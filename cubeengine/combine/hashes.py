"""Hashes of the cubes that were combined."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cubeengine.budget import Budget
from cubeengine.store.read import cube_hash

HASH_NBYTES = 192 * 2**20
"""Memory of one hash: a slab of 32 MiB and its copies. Measured: 130 to 170 MiB."""


def hashes_of(paths: Sequence[Path], budget: Budget, threads: int) -> list[str]:
    """Hash cubes, as many at a time as fit the memory, at least one."""
    at_once = max(min(threads, budget.usable // HASH_NBYTES), 1)
    with ThreadPoolExecutor(at_once, thread_name_prefix="hash") as pool:
        return list(pool.map(cube_hash, paths))
