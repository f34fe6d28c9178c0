"""The bytes of datagrams to be written, as pieces that are copied only when they go into the file.

A piece is a (1 or n_events, n_bytes) array of bytes: alike in every datagram, or one row for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.writer_names import (
    DATA,
    MAX_RANK,
    PARENT,
    SHAPES,
    SHAPES_DATA,
    XTC,
    OutData,
    OutField,
    OutNames,
    Service,
    noise,
    xtc_header,
)
from cubeengine.types import IntArray

Piece = NDArray[np.uint8]

DGRAM = np.dtype(
    [("nanoseconds", "<u4"), ("seconds", "<u4"), ("env", "<u4"), ("src", "<u4"), ("damage", "<u2"),
     ("type", "<u2"), ("extent", "<u4")]
)  # fmt: skip
_BEFORE_XTC = 12
"""Bytes of a datagram's header that its extent does not count."""

_POINTER = np.dtype(
    [
        ("header", DGRAM),
        ("shapes_data", XTC),
        ("shapes", XTC),
        ("data", XTC),
        ("offset", "<u8"),
        ("size", "<u8"),
    ]
)


def nbytes(pieces: Iterable[Piece]) -> int:
    """Bytes of one datagram, or of a part of it."""
    return sum(piece.shape[1] for piece in pieces)


def fixed(content: bytes) -> Piece:
    """Return bytes that are the same in every datagram."""
    return np.frombuffer(content, np.uint8)[None]


def data_pieces(
    data: OutData, key: int, n_events: int, garbage: np.random.Generator | None = None
) -> list[Piece]:
    """Return one contribution: its header, shapes and values.

    Parameters
    ----------
    data : OutData
        Values with an axis of `n_events` ahead of the others.
    key : int
        Of its names, in this stream.
    garbage : Generator, optional
        Fills the unused words of shapes, and what follows the end of text.

    Raises
    ------
    SourceFormatError
        If a field is missing or too many, or a value has another rank than declared.
    """
    names = data.names
    if data.values.keys() != {field.name for field in names.fields}:
        wanted = [field.name for field in names.fields]
        raise SourceFormatError(f"{names.detector}/{names.alg} has fields {wanted}, got {list(data.values)}")
    columns = [_column(field, data.values[field.name], n_events, garbage) for field in names.fields]
    values = [column.reshape(n_events, -1).view(np.uint8) for column in columns]
    children = [[fixed(xtc_header(DATA, nbytes(values))), *values]]
    if names.arrays or not names.data_first:
        shapes = fixed(_shapes(names, columns, garbage))
        children.insert(
            len(children) if names.data_first else 0, [fixed(xtc_header(SHAPES, nbytes([shapes]))), shapes]
        )
    content = [piece for child in children for piece in child]
    return [_damaged_header(key, data.damage, nbytes(content)), *content]


def _column(
    field: OutField, value: Any, n_events: int, garbage: np.random.Generator | None
) -> NDArray[np.generic]:
    """Return the values of a field as they are stored, with the axis of events first."""
    if field.is_text:
        return _text([value] if isinstance(value, str) else value, garbage)
    found = _exact(np.asarray(value), field)
    if found.ndim != 1 + field.rank or len(found) != n_events:
        raise SourceFormatError(
            f"field {field.name!r}: rank {field.rank} and {n_events} events declared, got shape {found.shape}"
        )
    return found


def _exact(given: NDArray[Any], field: OutField) -> NDArray[Any]:
    """Convert to the stored type; integers must stay what they are."""
    with np.errstate(invalid="ignore"):  # seen below
        found = np.ascontiguousarray(given, field.dtype)
    if found.dtype.kind != "f" and not np.can_cast(given.dtype, found.dtype) and (found != given).any():
        raise SourceFormatError(f"field {field.name!r}: {given.dtype} values do not fit {field.type}")
    return found


def _text(texts: Sequence[str], garbage: np.random.Generator | None) -> Piece:
    """Return text of one length for all: each ends with NUL, and is filled up to a multiple of 4."""
    encoded = [text.encode() + b"\0" for text in texts]
    width = -(-max(map(len, encoded)) // 4) * 4
    rows = np.zeros((len(encoded), width), np.uint8)
    for row, content in zip(rows, encoded, strict=True):
        row[:] = 0 if garbage is None else noise(width, garbage)
        row[: len(content)] = np.frombuffer(content, np.uint8)
    return rows


def _shapes(
    names: OutNames, columns: Sequence[NDArray[np.generic]], garbage: np.random.Generator | None
) -> bytes:
    arrays = [c for c, field in zip(columns, names.fields, strict=True) if field.stored_rank]
    words = np.zeros((len(arrays), MAX_RANK), "<u4")
    if garbage is not None:
        words[:] = garbage.integers(0, 2**32, words.shape, np.uint32)
    for row, column in zip(words, arrays, strict=True):
        row[: column.ndim - 1] = column.shape[1:]
    return words.tobytes() + b"\xff" * names.spare_nbytes


def _damaged_header(key: int, damage: int | IntArray, payload_nbytes: int) -> Piece:
    header = np.zeros(np.size(damage), XTC)
    header["src"], header["damage"], header["type"] = key, damage, SHAPES_DATA
    header["extent"] = XTC.itemsize + payload_nbytes
    return _rows(header)


def nest(
    contributions: Sequence[tuple[int, list[Piece]]], damage: Mapping[int, int] | None = None
) -> list[Piece]:
    """Put what each node contributes into a Parent of its own.

    Parameters
    ----------
    contributions : sequence of (node, pieces), nodes rising
        What comes from each node.
    damage : mapping of node to int
        Damage of the Parents.
    """
    return [piece for parent in _parents(contributions, damage or {}) for piece in parent]


def _parents(
    contributions: Sequence[tuple[int, list[Piece]]], damage: Mapping[int, int]
) -> Iterator[list[Piece]]:
    for node, members in groupby(contributions, key=lambda pair: pair[0]):
        pieces = [piece for _, part in members for piece in part]
        yield [fixed(xtc_header(PARENT, nbytes(pieces), src=node, damage=damage.get(node, 0))), *pieces]


def dgram_pieces(
    service: Service,
    timestamps: NDArray[np.uint64],
    content: Sequence[Piece],
    *,
    env: int = 0,
    damage: int | IntArray = 0,
) -> list[Piece]:
    """Return whole datagrams, one for each timestamp: header and content."""
    header = _headers(service, timestamps, nbytes(content), env)
    header["damage"] = damage
    return [_rows(header), *content]


def pointer_rows(
    timestamps: NDArray[np.uint64], offsets: IntArray, size: int, *, key: int, env: int = 0
) -> Piece:
    """Return the datagrams of the small-data file that tell where events lie: (n_events, 76) bytes."""
    rows = np.zeros(len(timestamps), _POINTER)
    rows["header"] = _headers(Service.EVENT, timestamps, _POINTER.itemsize - DGRAM.itemsize, env)
    payload = _POINTER.itemsize - DGRAM.itemsize
    for column, kind, src, extent in (
        ("shapes_data", SHAPES_DATA, key, payload),
        ("shapes", SHAPES, 0, XTC.itemsize),
        ("data", DATA, 0, payload - 2 * XTC.itemsize),
    ):
        rows[column]["src"], rows[column]["type"], rows[column]["extent"] = src, kind, extent
    rows["offset"], rows["size"] = offsets, size
    return _rows(rows)


def _headers(
    service: Service, timestamps: NDArray[np.uint64], payload_nbytes: int, env: int
) -> NDArray[np.void]:
    header = np.zeros(len(timestamps), DGRAM)
    header["seconds"], header["nanoseconds"] = timestamps >> np.uint64(32), timestamps & np.uint64(2**32 - 1)
    header["env"] = service << 24 | env
    header["extent"] = DGRAM.itemsize - _BEFORE_XTC + payload_nbytes
    return header


def _rows(records: NDArray[np.void]) -> Piece:
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)
