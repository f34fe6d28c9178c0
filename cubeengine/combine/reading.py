"""Parts of the arrays of a cube, straight from the files of their chunks.

zarr reads a chunk by way of an event loop and one thread; here every thread of ours reads and unpacks its own
chunks, and holds one of them beside the result. Arrays of another make are read by xarray.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import StoreMismatch
from cubeengine.store.chunks import chunk_name
from cubeengine.store.encode import StoredArray, open_stored
from cubeengine.store.layout import Region


@dataclass(frozen=True, slots=True)
class ArrayReader:
    """Reads regions of one array."""

    folder: Path  # where the chunks lie
    variable: xr.Variable  # the array as opened lazily
    stored: StoredArray | None  # how it is packed; None where it is not of our make

    @classmethod
    def of(cls, folder: Path, variable: xr.Variable) -> ArrayReader:
        """Look at the array in a folder of a cube that was opened."""
        try:
            stored = open_stored(folder)
        except StoreMismatch:
            stored = None
        return cls(folder, variable, stored)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of the chunks; those of the array where they are not known."""
        chunks = self.stored.chunks if self.stored else self.variable.encoding.get("chunks")
        return tuple(chunks or (max(size, 1) for size in self.variable.shape))

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region, given by slices with start and stop.

        Raises
        ------
        StoreMismatch
            If a chunk is not there or cannot be unpacked.
        """
        if self.stored is None:
            values: NDArray[Any] = self.variable[region].values
            return values
        out = np.empty([part.stop - part.start for part in region], self.stored.dtype)
        for index, inside, place in _overlaps(region, self.stored.chunks):
            chunk = self._chunk(self.stored, index)
            out[place] = chunk[inside]
        return out

    def _chunk(self, stored: StoredArray, index: tuple[int, ...]) -> NDArray[Any]:
        return stored.read(self.folder / chunk_name(index))


def _overlaps(
    region: Region, chunks: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """Yield the chunks that a region touches: index, the part of the chunk, its place in the region."""
    ranges = [
        range(part.start // chunk, -(-part.stop // chunk)) for part, chunk in zip(region, chunks, strict=True)
    ]
    for index in product(*ranges):
        spans = [
            (max(part.start, i * chunk), min(part.stop, (i + 1) * chunk))
            for i, part, chunk in zip(index, region, chunks, strict=True)
        ]
        inside = tuple(
            slice(low - i * chunk, high - i * chunk)
            for i, (low, high), chunk in zip(index, spans, chunks, strict=True)
        )
        place = tuple(
            slice(low - part.start, high - part.start)
            for (low, high), part in zip(spans, region, strict=True)
        )
        yield index, inside, place
