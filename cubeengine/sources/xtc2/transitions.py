"""Datagrams that are not events: their values, and the files that they say the stream goes on in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cubeengine.sources.xtc2.dgram import Place, Service, read_exactly
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.values import Contribution, decode, read_schema


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """A datagram that is not an event."""

    service: Service
    timestamp: int  # packed (seconds << 32 | nanoseconds)
    damage: int  # that of the datagram
    schema: int  # number in `Stream.schemas`; that of a Configure is its own
    contributions: tuple[Contribution, ...]  # its values
    path: Path
    offset: int  # where it was read, for messages


def read_transition(
    descriptor: int,
    path: Path,
    schemas: list[Schema],
    service: int,
    timestamp: int,
    damage: int,
    offset: int,
    size: int,
) -> Transition:
    """Decode a datagram of an open file that is not an event; the schema of a Configure is appended."""
    place, data = Place(path, offset), read_exactly(descriptor, offset, size, path)
    if service == Service.CONFIGURE:
        schemas.append(read_schema(data, place))
    contributions = decode(data, schemas[-1] if schemas else Schema({}), place)
    return Transition(Service(service), timestamp, damage, len(schemas) - 1, contributions, path, offset)
