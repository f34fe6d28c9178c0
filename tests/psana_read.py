"""Prints as JSON what psana reads of an xtc2 run. To be run by psana's Python; it needs nothing else.

    python psana_read.py FOLDER EXPERIMENT RUN     with the run's DataSource
    python psana_read.py FILE ...                  file by file; the first has the Configure of those after it

psana is told to work alone: without MPI, the facility's logbook, and its constants.
"""

from __future__ import annotations

import json
import os
import sys
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

CONFIGURE = 2


def load_psana() -> Any:
    """Import psana without an MPI library, which it asks for even where it works alone."""
    os.environ["PS_PARALLEL"] = "none"
    alone = MagicMock()
    alone.COMM_WORLD.Get_size.return_value, alone.COMM_WORLD.Get_rank.return_value = 1, 0
    package = types.ModuleType("mpi4py")
    package.MPI = alone  # type: ignore[attr-defined]
    sys.modules.update({"mpi4py": package, "mpi4py.MPI": alone})
    import psana
    from psana.psexp.ds_base import DataSourceBase

    DataSourceBase._get_file_info_from_db = lambda *_: {}
    return psana


# ---------------------------------------------------------------- values


def plain(value: Any) -> Any:
    """Return a value as JSON: arrays as their type, shape and checksum."""
    if hasattr(value, "dtype"):
        return {"dtype": value.dtype.str, "shape": list(value.shape), "crc32": zlib.crc32(value.tobytes())}
    if hasattr(value, "names"):
        return {"enum": value.value, "labels": {str(code): name for code, name in value.names.items()}}
    return value


def fields(container: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield fields by name; psana makes containers of what stands before a dot."""
    for name, value in vars(container).items():
        if name in ("_xtc", "software", "version"):
            continue
        if hasattr(value, "__dict__") and not hasattr(value, "names"):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, plain(value)


def contributions(dgram: Any) -> Iterator[tuple[str, Any]]:
    """Yield "detector/segment/algorithm" with what it holds."""
    for detector, segments in vars(dgram).items():
        if not isinstance(segments, dict):
            continue
        for number, segment in segments.items():
            algorithms = {name: held for name, held in vars(segment).items() if name != "_xtc"}
            yield from ((f"{detector}/{number}/{name}", held) for name, held in algorithms.items())


def describe(dgram: Any) -> dict[str, Any]:
    """Return everything in a datagram."""
    held = list(contributions(dgram))
    return {
        "service": dgram.service(),
        "timestamp": dgram.timestamp(),
        "env": dgram.env(),
        "damage": dgram._xtc.damage,
        "values": {f"{where}/{name}": value for where, box in held for name, value in fields(box)},
        "damaged": {where: box._xtc.damage for where, box in held if box._xtc.damage},
    }


def describe_config(dgram: Any) -> dict[str, Any]:
    """Return what a Configure says of the detectors."""
    found = {}
    for detector, segments in vars(dgram.software).items():
        for number, segment in segments.items():
            for name, algorithm in vars(segment).items():
                if name in ("dettype", "detid"):
                    continue
                held = [field for field, _ in declared(algorithm)]
                found[f"{detector}/{number}/{name}"] = {
                    "kind": segment.dettype,
                    "version": list(algorithm.version),
                    "fields": sorted(held),
                }
    return found


def declared(algorithm: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the fields that a Configure declares, with their type and rank."""
    for name, value in vars(algorithm).items():
        if name in ("software", "version"):
            continue
        if hasattr(value, "_type"):
            yield prefix + name, value
        else:
            yield from declared(value, f"{prefix}{name}.")


# ---------------------------------------------------------------- files and runs


def read_files(psana: Any, paths: list[str]) -> list[dict[str, Any]]:
    """Read every datagram of files."""
    config, found = None, []
    for path in paths:
        opened = os.open(path, os.O_RDONLY)
        dgrams, configs = [], []
        for dgram in walk(psana.dgram.Dgram, opened, config):
            if dgram.service() == CONFIGURE:
                config = dgram
                configs.append(describe_config(dgram))
            dgrams.append(describe(dgram))
        os.close(opened)
        found.append({"file": Path(path).name, "configs": configs, "dgrams": dgrams})
    return found


def walk(read: Any, opened: int, config: Any) -> Iterator[Any]:
    """Yield datagrams; each is read with the latest Configure before it."""
    size, position = os.fstat(opened).st_size, 0
    while position < size:
        dgram = read(file_descriptor=opened, config=config, offset=position, size=_size(opened, position))
        if dgram.service() == CONFIGURE:
            again = os.dup(opened)
            os.lseek(again, position, os.SEEK_SET)
            dgram = config = read(file_descriptor=again)
        yield dgram
        position += _size(opened, position)


def _size(opened: int, position: int) -> int:
    return 12 + int.from_bytes(os.pread(opened, 4, position + 20), "little")


def read_run(psana: Any, folder: str, experiment: str, number: int) -> dict[str, Any]:
    """Read a run as a user of psana does."""
    source = psana.DataSource(exp=experiment, run=number, dir=folder, skip_calib_load="all")
    run = next(iter(source.runs()))
    epics = {name: run.Detector(name) for name, _ in run.epicsinfo}
    scan = {name: run.Detector(name) for name, _ in run.scaninfo}
    frames = {name: run.Detector(name) for name in ("jungfrau", "epix") if name in run.detnames}
    steps, events = [], []
    for number_of_step, step in enumerate(run.steps()):
        steps.append({name: plain(detector(step)) for name, detector in scan.items()})
        for event in step.events():
            streams = [None if dgram is None else describe(dgram) for dgram in event._dgrams]
            slow = {name: plain(detector(event)) for name, detector in epics.items()}
            stacked = {name: plain(detector.raw.raw(event)) for name, detector in frames.items()}
            events.append(
                {
                    "timestamp": event.timestamp,
                    "step": number_of_step,
                    "streams": streams,
                    "epics": slow,
                    "frames": stacked,
                }
            )
    return {"expt": run.expt, "runnum": run.runnum, "steps": steps, "events": events}


if __name__ == "__main__":
    loaded = load_psana()
    if len(sys.argv) == 4 and sys.argv[3].isdigit():
        answer: Any = read_run(loaded, sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        answer = read_files(loaded, sys.argv[1:])
    json.dump(answer, sys.stdout)
