"""A reader that takes its time, so that there is a run to kill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cubeengine.sources.base import Block, Reader
from cubeengine.types import IntArray


@dataclass(frozen=True)
class SlowReader:
    """Reads as another reader does, and sleeps before every leaf."""

    reader: Reader
    seconds: float

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.reader.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reader.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        time.sleep(self.seconds)
        yield from self.reader.blocks(rows, elements=elements, block_nbytes=block_nbytes)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        return self.reader.memory_nbytes(n_elements, block_nbytes)
