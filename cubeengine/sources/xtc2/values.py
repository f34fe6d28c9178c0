"""Exact decoding of one datagram: the slow path, for transitions, odd fields and tests."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import (
    DATA,
    NAMES,
    SHAPES,
    SHAPES_DATA,
    XTC_NBYTES,
    Place,
    Xtc,
    blocks,
    children,
)
from cubeengine.sources.xtc2.names import FORMATS, KEY_MASK, EnumKey, Name, Names, Schema, parse_names, text

SHAPE_NBYTES = 20
"""Bytes of the shape of one array field: five words, of which the first `rank` count."""

MAX_PADDING = 7
"""Bytes that may follow the last field: some writers fill up to a multiple of 4 or 8."""

_TOO_LARGE = 1 << 48  # elements of an array that has none only because of a zero: numpy would refuse it


@dataclass(frozen=True, slots=True)
class EnumValue:
    """Value of an enum with the labels of its type (code -> label), as far as they are known."""

    value: int
    labels: Mapping[int, str]

    @property
    def label(self) -> str:
        """The label of the value, or the value as text."""
        return self.labels.get(self.value, str(self.value))


Value = int | float | str | EnumValue | NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """The ShapesData of one detector segment in one datagram."""

    names: Names  # what describes it
    damage: int  # that of the ShapesData itself
    above: int  # that of the Parents between it and the datagram, all bits together
    values: Mapping[str, Any]
    """Plain name of a field -> value; arrays are read-only views of the datagram, unaligned perhaps. Empty
    where the contribution is damaged so much that it cannot be decoded.
    """


def decode(data: bytes, schema: Schema, place: Place) -> tuple[Contribution, ...]:
    """Decode one datagram.

    Parameters
    ----------
    data : bytes
        The whole datagram, with its header.
    schema : Schema
        The latest Configure before it.
    place : Place
        Where it lies.

    Raises
    ------
    SourceFormatError
        If it contradicts itself or the schema.
    """
    found = (item for item in blocks(data, place) if item[0].type == SHAPES_DATA)
    return tuple(_contribution(data, xtc, above, schema, place) for xtc, above in found)


def read_schema(data: bytes, place: Place) -> Schema:
    """Return the schema that a Configure declares.

    Parameters
    ----------
    data : bytes
        The whole datagram.
    place : Place
        Where it lies.

    Raises
    ------
    SourceFormatError
        If it contradicts itself.
    """
    names: dict[int, Names] = {}
    for xtc, _ in blocks(data, place):
        if xtc.type == NAMES:
            block = parse_names(data, xtc.start, xtc.stop, xtc.src, place)
            if names.setdefault(block.key, block) != block:
                raise place.error(
                    xtc.start,
                    f"NamesId {block.key:#x} is declared twice, and differently; the file is damaged",
                )
    return Schema(names, _enums(data, names, place))


def _enums(data: bytes, names: Mapping[int, Names], place: Place) -> Mapping[EnumKey, Mapping[int, str]]:
    """Collect the labels of all enums from the values of a Configure."""
    schema, enums = Schema(names), dict[EnumKey, dict[int, str]]()
    for xtc, above in blocks(data, place):
        if xtc.type != SHAPES_DATA:
            continue
        of = _names_of(xtc, schema, place)
        if of.has_enums:
            for kind, labels in _labels(of, _try_fields(data, xtc, of, above, place)).items():
                enums.setdefault((*of.group, kind), {}).update(labels)
    return enums


def _contribution(data: bytes, xtc: Xtc, above: int, schema: Schema, place: Place) -> Contribution:
    names = _names_of(xtc, schema, place)
    raw = _try_fields(data, xtc, names, above, place)
    if names.has_enums:
        values = _with_enums(names, raw, schema)
    else:
        values = dict(zip(names.plain_names, raw, strict=False))  # `raw` is empty where it is damaged
    return Contribution(names, xtc.damage, above, values)


def _with_enums(names: Names, raw: Sequence[Value], schema: Schema) -> dict[str, Value]:
    own, values = _labels(names, raw), dict[str, Value]()
    for name, value in zip(names.fields, raw, strict=False):
        if name.is_label:
            continue
        if name.is_enum and isinstance(value, int):
            labels = own.get(name.enum_type) or schema.labels(names, name)
            values[name.plain] = EnumValue(value, labels)
        else:
            values[name.plain] = value
    return values


def _names_of(xtc: Xtc, schema: Schema, place: Place) -> Names:
    names = schema.names.get(xtc.src & KEY_MASK)
    if names is None:
        raise place.error(
            xtc.start - XTC_NBYTES,
            f"values of NamesId {xtc.src & KEY_MASK:#x}, which the Configure before them does not declare; "
            "the file is damaged, or continues another one",
        )
    return names


def _labels(names: Names, raw: Sequence[Value]) -> dict[str, dict[int, str]]:
    """Return the labels that a contribution carries itself: type of the enum -> code -> label."""
    labels: dict[str, dict[int, str]] = {}
    for name, value in zip(names.fields, raw, strict=False):
        if name.is_label and isinstance(value, int):
            labels.setdefault(name.enum_type, {})[value] = name.plain
    return labels


def _try_fields(data: bytes, xtc: Xtc, names: Names, above: int, place: Place) -> Sequence[Value]:
    """Decode all fields; of a damaged contribution none, where they contradict the schema."""
    try:
        return _fields(data, xtc, names, place)
    except SourceFormatError:
        if xtc.damage | above:
            return ()
        raise


def _fields(data: bytes, xtc: Xtc, names: Names, place: Place) -> Sequence[Value]:
    parts = _parts(data, xtc, place)
    content = parts.get(DATA, Xtc(0, 0, DATA, xtc.stop, xtc.stop))
    if names.scalar_format:
        values, stop = _scalars(data, content, names, place)
    else:
        values, stop = _arrays(data, content, _shapes(data, parts.get(SHAPES), names, place), names, place)
    if content.stop - stop > MAX_PADDING:
        raise place.error(
            stop,
            f"{content.stop - stop:,} bytes follow the fields of {names.detector!r}; the file is damaged",
        )
    return values


def _scalars(data: bytes, content: Xtc, names: Names, place: Place) -> tuple[Sequence[Value], int]:
    """Decode fields that are all scalars; gives them, and where they end."""
    size = struct.calcsize(names.scalar_format)
    if size > content.stop - content.start:
        raise place.error(
            content.start,
            f"the fields of {names.detector!r} take {size:,} bytes, but {content.stop - content.start:,} "
            "remain; the file is damaged",
        )
    return struct.unpack_from(names.scalar_format, data, content.start), content.start + size


def _arrays(
    data: bytes, content: Xtc, shapes: Iterator[tuple[int, ...]], names: Names, place: Place
) -> tuple[Sequence[Value], int]:
    """Decode fields of which some are arrays; gives them, and where they end."""
    values: list[Value] = []
    at = content.start
    for name in names.fields:
        shape = next(shapes) if name.rank else ()
        size = math.prod(shape) * name.itemsize
        if size > content.stop - at or math.prod(filter(None, shape)) >= _TOO_LARGE:
            raise _does_not_fit(names, name, shape, content.stop - at, place, at)
        values.append(_value(data, at, name, shape))
        at += size
    return values, at


def _parts(data: bytes, xtc: Xtc, place: Place) -> Mapping[int, Xtc]:
    """Find Data and Shapes of a ShapesData, in whichever order."""
    parts: dict[int, Xtc] = {}
    for part in children(data, xtc.start, xtc.stop, place):
        if part.type not in (SHAPES, DATA) or part.type in parts:
            raise place.error(
                part.start - XTC_NBYTES,
                f"an Xtc of type {part.type} within ShapesData, where one Data and one Shapes are wanted; "
                "the file is damaged",
            )
        parts[part.type] = part
    return parts


def _shapes(data: bytes, xtc: Xtc | None, names: Names, place: Place) -> Iterator[tuple[int, ...]]:
    """Return the shape of every array field in turn; words beyond the rank mean nothing."""
    start, stop = (xtc.start, xtc.stop) if xtc else (0, 0)
    if stop - start < SHAPE_NBYTES * names.n_arrays:
        raise place.error(
            start,
            f"shapes of {names.detector!r} take {stop - start} bytes, but its {names.n_arrays} array fields "
            f"need {SHAPE_NBYTES * names.n_arrays}; the file is damaged",
        )
    ranks = [name.rank for name in names.fields if name.rank]
    places = (start + SHAPE_NBYTES * number for number in range(len(ranks)))
    return (struct.unpack_from(f"<{rank}I", data, at) for rank, at in zip(ranks, places, strict=True))


def _value(data: bytes, at: int, name: Name, shape: tuple[int, ...]) -> Value:
    if name.is_text:
        return text(data[at : at + math.prod(shape)])
    if shape:
        # The offset is within the buffer for numpy only where something is there.
        offset = at if math.prod(shape) else 0
        return np.ndarray(shape, name.dtype, data, offset)
    value: int | float = struct.unpack_from("<" + FORMATS[name.type], data, at)[0]
    return value


def _does_not_fit(
    names: Names, name: Name, shape: tuple[int, ...], left: int, place: Place, at: int
) -> SourceFormatError:
    return place.error(
        at,
        f"field {name.plain!r} of {names.detector!r} has shape {shape} of {name.dtype.str}, but {left:,} "
        "bytes remain; the file is damaged",
    )
