"""Hashes of the cubes that were combined."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cubeengine.combine.blocks import Limits
from cubeengine.combine.content import Cube
from cubeengine.combine.progress import Report
from cubeengine.store.read import cube_hash

HASH_NBYTES = 192 * 2**20
"""Memory of one hash: a slab of 32 MiB and its copies. Measured: 130 to 170 MiB."""


def hashes_of(cubes: Sequence[Cube], limits: Limits, report: Report) -> list[str]:
    """Hash cubes, as many at a time as fit the memory, at least one."""
    at_once = max(min(limits.threads, limits.budget.usable // HASH_NBYTES), 1)

    def hashed(cube: Cube) -> str:
        digest = cube_hash(cube.path)
        report.add(cube.nbytes)
        return digest

    with ThreadPoolExecutor(at_once, thread_name_prefix="hash") as pool:
        return list(pool.map(hashed, cubes))
