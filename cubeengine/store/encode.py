"""Arrays of a store as they are written: chunks packed by blosc, in the bytes that zarr itself would write.

The library's own way goes through an event loop and costs a millisecond per chunk, opening the array
another two. Tasks write chunks of arrays of a known make, so that packing is one call without the
interpreter lock, on the task's own core.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Blosc, VLenUTF8
from numpy.typing import NDArray
from zarr.codecs import BloscCodec  # importing zarr also sets blosc to one thread per call

from cubeengine.errors import StoreDamaged, StoreMismatch
from cubeengine.store.chunks import SEPARATOR
from cubeengine.store.layout import STRING
from cubeengine.store.metadata import ROOT

COMPRESSION_LEVEL = 1
"""Of blosc zstd bitshuffle. Measured on chunks of 0.8 MB, packed by one core of 2024, in MB/s (ratio):

=====================  ===========  ===========  ===========
values                 level 1      level 2      level 3
=====================  ===========  ===========  ===========
float64 mean of ints    870 (3.11)   500 (3.09)   590 (3.12)
float64 std of ints    1290 (1.23)   560 (1.24)   770 (1.24)
float64 mean           1330 (1.25)   610 (1.25)   840 (1.25)
float64 std            1460 (1.23)   710 (1.24)   920 (1.23)
int64 count            1710 (76)     650 (78)    1180 (78)
float32 mean            880 (1.42)   810 (1.44)   490 (1.44)
float32 std             880 (1.40)   920 (1.40)   560 (1.40)
=====================  ===========  ===========  ===========

Blocks as in `block_bytes`. Higher levels are slower and pack at most 2 % better; with the block that
blosc chooses for level 1 the same take 480, 510, 480, 510, 840, 430 and 510 MB/s. Chunks of 13 MB are
within 15 % of all these.
"""

_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


def block_bytes(itemsize: int) -> int:
    """Return the bytes that are packed together, for elements of `itemsize` bytes.

    Notes
    -----
    float64 packs 10 to 50 % faster in blocks of 1 MiB than in ones of 256 kiB, float32 as much slower.
    """
    return 2**20 if itemsize >= 8 else 2**18


def compressor(itemsize: int) -> BloscCodec:
    """Return the codec that new arrays are made with."""
    return BloscCodec(
        cname="zstd", clevel=COMPRESSION_LEVEL, shuffle="bitshuffle", blocksize=block_bytes(itemsize)
    )


@dataclass(frozen=True, slots=True)
class StoredArray:
    """What packing a chunk takes of an array's metadata.

    Attributes
    ----------
    shape, chunks : tuple of int
        Lengths of the array and of its chunks.
    dtype : numpy.dtype
        Type of the stored elements, in their byte order; object for strings.
    fill : scalar
        What the last chunk along a dimension is filled up with.
    codec : numcodecs.Blosc
        Packs the bytes of a chunk.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: object
    codec: Blosc

    def encode(self, values: NDArray[Any]) -> bytes:
        """Pack one chunk; `values` may be short, as at the end of the array.

        Notes
        -----
        Memory: the result, and a copy of the values if they are not a whole chunk of contiguous values of
        the array's type.
        """
        chunk = self._whole(values)
        if self.dtype.hasobject:
            chunk = np.frombuffer(VLenUTF8().encode(chunk.ravel()), np.uint8)
        packed: bytes = self.codec.encode(chunk)
        return packed

    def read(self, path: Path) -> NDArray[Any]:
        """Read and unpack the chunk in a file.

        Raises
        ------
        StoreMismatch
            If the file is not there.
        StoreDamaged
            If it cannot be unpacked.
        """
        try:
            packed = path.read_bytes()
            _check_length(path, packed[:_HEADER], len(packed))
            content = self.codec.decode(packed)
            if self.dtype.hasobject:
                values = np.asarray(VLenUTF8().decode(content), object)
            else:
                values = np.frombuffer(content, self.dtype)
            return values.reshape(self.chunks)
        except FileNotFoundError as err:
            raise StoreMismatch(
                f"{path}: this chunk of the cube no longer exists; was the cube replaced?"
            ) from err
        except (RuntimeError, ValueError) as err:
            raise StoreDamaged(
                f"{path}: this chunk of the cube is damaged ({err}); copy the cube again, or make it again"
            ) from err

    def _whole(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.shape == self.chunks:
            return np.ascontiguousarray(values, self.dtype)
        chunk = np.full(self.chunks, self.fill, self.dtype)
        chunk[tuple(map(slice, values.shape))] = values
        return chunk


_HEADER = 16
"""Bytes in front of what blosc packed; the last four are the length of the whole."""


def check_lengths(folder: Path) -> None:
    """Raise StoreDamaged where a chunk in the folder of an array is not as long as it says itself.

    The library does not look: of a chunk that was cut off it unpacks whatever lies behind it in memory.
    """
    for path in sorted(folder.glob("c*")):
        with path.open("rb") as file:
            _check_length(path, file.read(_HEADER), os.fstat(file.fileno()).st_size)


def _check_length(path: Path, header: bytes, n_bytes: int) -> None:
    wanted = int.from_bytes(header[12:16], "little")
    if len(header) < _HEADER or n_bytes != wanted:
        says = f" of {wanted:,}" if len(header) == _HEADER else ""
        raise StoreDamaged(
            f"{path}: this chunk of the cube is damaged (it has {n_bytes:,}{says} bytes); copy the cube "
            "again, or make it again"
        )


def open_stored(folder: Path) -> StoredArray:
    """Read the metadata of the array in a folder.

    Raises
    ------
    StoreMismatch
        If there is no array, or one that was not made by this store.
    OSError
        If the file cannot be read.
    """
    try:
        metadata = json.loads((folder / ROOT).read_text(encoding="utf-8"))
        return _parse(metadata)
    except FileNotFoundError as err:
        raise StoreMismatch(f"{folder.parent}: has no array {folder.name!r}") from err
    except (KeyError, TypeError, ValueError) as err:
        raise StoreMismatch(
            f"{folder}: is not an array that this version of cubeengine can read ({err})"
        ) from err


def _parse(metadata: Mapping[str, Any]) -> StoredArray:
    separator = metadata["chunk_key_encoding"]["configuration"]["separator"]
    serializer, packer = metadata["codecs"]
    text = metadata["data_type"] == STRING
    wanted = (SEPARATOR, "vlen-utf8" if text else "bytes", "blosc")
    if (found := (separator, serializer["name"], packer["name"])) != wanted:
        raise ValueError(f"separator and codecs are {found}, not {wanted}")
    dtype = np.dtype(object) if text else _dtype(metadata["data_type"], serializer)
    return StoredArray(
        shape=tuple(metadata["shape"]),
        chunks=tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"]),
        dtype=dtype,
        fill=metadata["fill_value"] if text else dtype.type(metadata["fill_value"]),
        codec=_codec(packer["configuration"]),
    )


def _dtype(data_type: str, serializer: Mapping[str, Any]) -> np.dtype[Any]:
    order = serializer.get("configuration", {}).get("endian", "little")
    return np.dtype(data_type).newbyteorder(order)


def _codec(configuration: Mapping[str, Any]) -> Blosc:
    """Make the codec; the size of an element, which it also needs, it takes from what it is to pack."""
    return Blosc(
        cname=configuration["cname"],
        clevel=configuration["clevel"],
        shuffle=_SHUFFLES[configuration["shuffle"]],
        blocksize=configuration["blocksize"],
    )
