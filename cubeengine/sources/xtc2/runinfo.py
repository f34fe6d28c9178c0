"""Which run a file says it is of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cubeengine.sources.xtc2.dgram import DGRAM, DGRAM_NBYTES, XTC_NBYTES, Place, Service, read_exactly
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.opening import opened
from cubeengine.sources.xtc2.values import Contribution, decode, read_schema
from cubeengine.types import RunId

_MAX_DGRAMS_AHEAD = 64
"""Datagrams ahead of the BeginRun at most: usually it is the second."""


def run_of(path: Path) -> RunId | None:
    """Return experiment and run as the first BeginRun of a file says; None if none is before the events.

    Raises
    ------
    SourceFormatError
        If the file is not what it should be.
    """
    schema, offset = Schema({}), 0
    with opened(path) as (descriptor, file):
        for _ in range(_MAX_DGRAMS_AHEAD):
            if file.size - offset < DGRAM_NBYTES:
                break
            service, size = _header(read_exactly(descriptor, offset, DGRAM_NBYTES, path), Place(path, offset))
            if service.is_event or size > file.size - offset:
                break
            if service in (Service.CONFIGURE, Service.BEGIN_RUN):
                data, place = read_exactly(descriptor, offset, size, path), Place(path, offset)
                schema = read_schema(data, place) if service is Service.CONFIGURE else schema
                if service is Service.BEGIN_RUN:
                    return _run_id(decode(data, schema, place))
            offset += size
    return None


def _header(data: bytes, place: Place) -> tuple[Service, int]:
    header = np.frombuffer(data, DGRAM)[0]
    extent = int(header["extent"])
    if int(header["type"]) & 0xFFF or extent < XTC_NBYTES:
        raise place.error(
            0,
            f"type {header['type']}, {extent} bytes is not a datagram; the file is damaged, or not an "
            "xtc2 file",
        )
    return Service(int(header["env"]) >> 24 & 0xF), DGRAM_NBYTES - XTC_NBYTES + extent


def _run_id(contributions: Sequence[Contribution]) -> RunId | None:
    for contribution in contributions:
        experiment, run = (contribution.values.get(name) for name in ("expt", "runnum"))
        if contribution.names.detector == "runinfo" and str(run).isdecimal():
            return RunId(str(experiment), int(str(run)))
    return None
