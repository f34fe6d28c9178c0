"""Two ways to read a run, the exact and the fast one: where both read it, they must agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import DROPPED, Place, read_exactly
from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.sources.xtc2.values import Contribution, EnumValue, decode
from cubeengine.types import Column, FieldKind

Exact = dict[tuple[int, str], tuple[bool, Any]]
"""(time, field) -> whether the value is whole, and the value."""


def read_whole(folder: Path) -> int:
    """Read all event fields of a run; those of segments are compared with the exact values.

    Gives how many values were compared.

    Raises
    ------
    AssertionError
        If a value differs, or is missing in one of them only.
    """
    source, n_compared = open_xtc2(folder), 0
    try:
        exact = exact_values(source)
    except SourceFormatError:
        exact = None  # it looks at everything, and so finds more that is wrong
    for name, info in source.fields.items():
        if info.kind is FieldKind.EVENT:
            column = source.read(name)
            if exact is not None and len(name.split("/")) == 4:
                n_compared += check(name, column, source.timestamps.tolist(), exact)
    return n_compared


def exact_values(source: Xtc2Source) -> Exact:
    """Decode every event; of what is there twice, nothing is given."""
    found: Exact = {}
    twice: set[str] = set()
    for stream in source.streams:
        mine: Exact = {}
        for row, (damage, parts) in enumerate(events_of(stream)):
            time = int(stream.events.timestamp[row])
            keys = Counter(group_of(part) for part in parts)
            twice |= {key for key, n in keys.items() if n > 1}
            for part in parts:
                whole = not ((damage | part.above) & ~DROPPED | part.damage)
                mine |= {(time, f"{group_of(part)}/{k}"): (whole, v) for k, v in part.values.items()}
        twice |= {group(name) for _, name in mine} & {group(name) for _, name in found}
        found |= mine
    twice |= {key for stream in source.streams for key in declared_twice(stream)}
    return {key: value for key, value in found.items() if group(key[1]) not in twice}


def declared_twice(stream: Stream) -> Iterator[str]:
    for schema in stream.schemas:
        groups = Counter("{}/{}/{}".format(*names.group) for names in schema.names.values())
        yield from (key for key, n in groups.items() if n > 1)
        for names in schema.names.values():
            if len(set(names.plain_names)) < len(names.plain_names):
                yield "{}/{}/{}".format(*names.group)


def group_of(part: Contribution) -> str:
    return "{}/{}/{}".format(*part.names.group)


def group(name: str) -> str:
    return name.rpartition("/")[0]


def events_of(stream: Stream) -> Iterator[tuple[int, tuple[Contribution, ...]]]:
    events = stream.events
    for row in range(len(events)):
        file, offset = stream.files[events.file[row]], int(events.offset[row])
        descriptor = os.open(file.path, os.O_RDONLY)
        try:
            data = read_exactly(descriptor, offset, int(events.size[row]), file.path)
        finally:
            os.close(descriptor)
        parts = decode(data, stream.schemas[events.schema[row]], Place(file.path, offset))
        yield int.from_bytes(data[16:18], "little"), parts


def check(name: str, column: Column, times: list[int], exact: Exact) -> int:
    if not any(key == name for _, key in exact):
        return 0
    floating = column.data.dtype.kind == "f"
    for row, time in enumerate(times):
        whole, value = exact.get((time, name), (False, None))
        value = value.value if isinstance(value, EnumValue) else value
        got = column.data[row]
        if whole:
            assert np.array_equal(got, np.asarray(value), equal_nan=floating), (name, row, got, value)
        elif floating:
            assert np.isnan(got).all(), (name, row, got, "should be missing")
        else:
            assert column.valid is not None, (name, row, "should be missing")
        assert floating or column.valid is None or bool(column.valid[row]) == whole, (name, row, whole)
    return len(times)
