"""Every real file and run, value by value, against what psana 4.3.4 reads from them.

Where psana is known to stop early, the whole content of the files counts. Of the files here none is cut short
by it: `test_hsd.xtc2` ends in a partial datagram, where both readers stop, so every count is equal.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.sources.xtc2.content import read_content
from cubeengine.sources.xtc2.dgram import DgramTable, Place, Service, read_exactly
from cubeengine.sources.xtc2.hop import hop_file
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.run_files import find_run
from cubeengine.sources.xtc2.stream import Stream, open_stream
from cubeengine.sources.xtc2.values import Contribution, EnumValue, decode, read_schema

pytestmark = pytest.mark.realdata

FILES = [
    "chunking/data-r0001-s000-c001", "chunking/xpptut15-r0014-s000-c000",
    "chunking/smalldata/xpptut15-r0014-s000-c000.smd",
    "delayscan/xppx20415-r0057-s000-c000", "delayscan/xppx20415-r0057-s001-c000",
    "delayscan/xppx20415-r0057-s001-c001", "delayscan/xppx20415-r0057-s001-c002",
    "delayscan/xppx20415-r0057-s003-c000", "delayscan/smalldata/xppx20415-r0057-s000-c000.smd",
    "delayscan/smalldata/xppx20415-r0057-s001-c000.smd", "delayscan/smalldata/xppx20415-r0057-s003-c000.smd",
    "intg_det/xpptut15-r0014-s000-c000", "intg_det/xpptut15-r0014-s001-c000",
    "intg_det/xpptut15-r0014-s002-c000", "intg_det/smalldata/xpptut15-r0014-s000-c000.smd",
    "intg_det/smalldata/xpptut15-r0014-s001-c000.smd", "intg_det/smalldata/xpptut15-r0014-s002-c000.smd",
    "multi-seg-epics/xpptut15-r0014-s000-c000", "multi-seg-epics/xpptut15-r0014-s001-c000",
    "multi-seg-epics/smalldata/xpptut15-r0014-s000-c000.smd",
    "multi-seg-epics/smalldata/xpptut15-r0014-s001-c000.smd",
    "single/test_epix_calib", "single/test_hsd", "single/test_timetool",
]  # fmt: skip
RUNS = ["chunking", "delayscan", "intg_det", "multi-seg-epics"]
NAMES = {
    "ClearReadout": 0, "Reset": 1, "Configure": 2, "Unconfigure": 3, "BeginRun": 4, "EndRun": 5,
    "BeginStep": 6, "EndStep": 7, "Enable": 8, "Disable": 9, "SlowUpdate": 10, "L1Accept": 12,
}  # fmt: skip


def test_the_lists_name_every_file_and_run(shared_data: Path) -> None:
    folder = shared_data / "xtc2_expected"
    found = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.json")}

    assert found == {*FILES, *(f"{run}/RUN" for run in RUNS)}


def shown(value: Any) -> Any:
    """Return a value in the form of the expected ones."""
    if isinstance(value, EnumValue):
        return {"enum": value.value, "names": {str(code): label for code, label in value.labels.items()}}
    if isinstance(value, np.ndarray):
        whole = np.ascontiguousarray(value)
        total = whole.sum(dtype=float) if whole.dtype.kind == "f" else int(whole.astype(object).sum() or 0)
        return {
            "dtype": whole.dtype.str, "shape": list(value.shape), "sum": total,
            "crc32": zlib.crc32(whole.tobytes()), "first": whole.ravel()[:3].tolist(),
        }  # fmt: skip
    return value


def same(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) and isinstance(wanted, float | int):
        return math.isclose(found, wanted, rel_tol=1e-12) or (found != found and wanted != wanted)
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in found)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


def key_of(part: Contribution) -> str:
    return f"{part.names.detector}/{part.names.segment}/{part.names.alg}"


def values_of(parts: tuple[Contribution, ...]) -> dict[str, Any]:
    """Return all values of a datagram; the expected ones write the hierarchy of names with "/", not "."."""
    found = ((f"{key_of(part)}/{name}", value) for part in parts for name, value in part.values.items())
    return {key.replace(".", "/"): value for key, value in found}


def datagrams(path: Path, schema: Schema) -> Iterator[tuple[dict[str, Any], Schema]]:
    """Yield every datagram of a file, as the expected ones are written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        rows = ((t, i) for t in hop_file(descriptor, path, path.stat().st_size) for i in range(len(t)))
        for row, (table, number) in enumerate(rows):
            item = header(table, number)
            place = Place(path, item["offset"])
            data = read_exactly(descriptor, place.offset, item["size"], path)
            schema = read_schema(data, place) if item["service"] == Service.CONFIGURE else schema
            parts = decode(data, schema, place)
            damaged = {key_of(part): part.damage for part in parts if part.damage}
            item |= {"alg_damage": damaged} if damaged else {}
            yield item | {"i": row, "data": {k: shown(v) for k, v in values_of(parts).items()}}, schema
    finally:
        os.close(descriptor)


def header(table: DgramTable, row: int) -> dict[str, Any]:
    columns = ("offset", "size", "service", "timestamp", "env", "damage")
    return {name: int(getattr(table, name)[row]) for name in columns}


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in found.keys() | wanted.keys():
        one, other = found.get(key), wanted.get(key)
        if key == "data":
            yield from differences(found["data"], wanted["data"], f"{where} data")
        elif not same(one, other):
            yield f"{where} {key}: found {one!r}, wanted {other!r}"


@pytest.mark.parametrize("name", FILES)
def test_every_datagram_is_read_as_psana_reads_it(shared_data: Path, name: str) -> None:
    path = shared_data / "xtc2" / f"{name}.xtc2"
    expected = json.loads((shared_data / "xtc2_expected" / f"{name}.json").read_text())
    schemas: list[Schema] = []
    if "config_from" in expected:
        read_content(path.with_name(expected["config_from"]), schemas, is_index=False)
    schema = schemas[-1] if schemas else Schema({})

    wrong, n_dgrams, configs = [], 0, []
    for found, current in datagrams(path, schema):
        wanted = expected["dgrams"][n_dgrams]
        wanted["service"] = NAMES[wanted["service"]]
        wrong += differences(found, wanted, f"datagram {n_dgrams}")
        n_dgrams += 1
        if found["service"] == Service.CONFIGURE:
            configs.append({"dgram": found["i"], "detectors": detectors(current)})

    assert wrong == []
    assert n_dgrams == len(expected["dgrams"])
    assert configs == expected["configs"]
    assert path.stat().st_size == expected["bytes"]


def detectors(schema: Schema) -> dict[str, Any]:
    """Return the detectors of a Configure, as the expected ones are written: fields are counted by name."""
    found: dict[str, Any] = {}
    fields: dict[tuple[str, int, str], set[str]] = {}
    for names in schema.names.values():
        segment = found.setdefault(names.detector, {}).setdefault(str(names.segment), {"algs": {}})
        segment["dettype"] = names.kind
        known = fields.setdefault(names.group, set())
        known.update(field.name for field in names.fields)
        segment["algs"][names.alg] = {"version": list(names.version), "nfields": len(known)}
    return found


# ---------------------------------------------------------------- whole runs


def streams_of(folder: Path) -> list[Stream]:
    return [open_stream(files) for files in find_run(folder).streams]


def merged(streams: list[Stream], service: Service) -> dict[int, dict[str, Any]]:
    """Return the values of all transitions of one kind by time, those of all streams together."""
    found: dict[int, dict[str, Any]] = {}
    for stream in streams:
        for transition in stream.transitions:
            if transition.service is service:
                found.setdefault(transition.timestamp, {}).update(values_of(transition.contributions))
    return found


def event_of(stream: Stream, row: int) -> tuple[int, tuple[Contribution, ...]]:
    """Return the damage and the values of an event."""
    events = stream.events
    file, offset = stream.files[events.file[row]], int(events.offset[row])
    with file.path.open("rb") as opened:
        opened.seek(offset)
        data = opened.read(int(events.size[row]))
    parts = decode(data, stream.schemas[events.schema[row]], Place(file.path, offset))
    return int.from_bytes(data[16:18], "little"), parts


def rows_at(streams: list[Stream], time: int) -> list[int | None]:
    """Return the number of each stream's datagram at a time."""
    rows = [int(np.searchsorted(stream.events.timestamp, np.uint64(time))) for stream in streams]
    there = [
        row < len(stream.events) and stream.events.timestamp[row] == np.uint64(time)
        for stream, row in zip(streams, rows, strict=True)
    ]
    return [row if here else None for row, here in zip(rows, there, strict=True)]


@pytest.mark.parametrize("name", RUNS)
def test_steps_and_scan_values_are_those_of_psana(shared_data: Path, name: str) -> None:
    expected = json.loads((shared_data / "xtc2_expected" / name / "RUN.json").read_text())["runs"]
    streams = streams_of(shared_data / "xtc2" / name)
    run = find_run(shared_data / "xtc2" / name).run_id
    times = np.unique(np.concatenate([stream.events.timestamp for stream in streams]))
    steps = merged(streams, Service.BEGIN_STEP)
    begins = np.array(sorted(steps), np.uint64)
    counts = np.bincount(np.searchsorted(begins, times, side="right") - 1, minlength=len(begins))

    assert len(expected) == 1
    assert run is not None
    assert (run.experiment, run.run) == (expected[0]["expt"], expected[0]["runnum"])
    assert list(merged(streams, Service.BEGIN_RUN)) == [expected[0]["timestamp"]]
    found = [
        {"i": i, "timestamp": int(time), "nevents": int(counts[i]), "scan": scan_of(steps[int(time)])}
        for i, time in enumerate(begins)
    ]
    assert found == expected[0]["steps"]


def scan_of(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.rpartition("/")[2]: value for key, value in values.items() if key.startswith("scan/")}


@pytest.mark.parametrize("name", RUNS)
def test_events_are_built_and_read_as_psana_does(shared_data: Path, name: str) -> None:
    expected = json.loads((shared_data / "xtc2_expected" / name / "RUN.json").read_text())["runs"][0]
    streams = streams_of(shared_data / "xtc2" / name)
    times = np.unique(np.concatenate([stream.events.timestamp for stream in streams]))
    wrong: list[str] = []
    for wanted in expected["events"]:
        rows = rows_at(streams, wanted["timestamp"])
        read = [
            None if row is None else event_of(stream, row) for stream, row in zip(streams, rows, strict=True)
        ]
        parts = [part for item in read if item for part in item[1]]
        found = {
            "streams": [row is not None for row in rows],
            "damage": [item and item[0] for item in read],
            "segments": segments_of(parts),
            "values": {k: v for k, v in numbers_of(parts)},
        }
        wrong += differences(found, {key: wanted[key] for key in found}, str(wanted["timestamp"]))

    assert wrong == []
    assert times.tolist() == [event["timestamp"] for event in expected["events"]]


def segments_of(parts: list[Contribution]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for part in parts:
        found.setdefault(f"{part.names.detector}.{part.names.alg}", []).append(part.names.segment)
    return {key: sorted(segments) for key, segments in found.items()}


def numbers_of(parts: list[Contribution]) -> Iterator[tuple[str, Any]]:
    """Yield every number, and the sum of every array; text and enums are not among the expected values."""
    for part in parts:
        for name, value in part.values.items():
            if isinstance(value, np.ndarray):
                yield f"{key_of(part)}/{name}", shown(value)["sum"]
            elif isinstance(value, int | float):
                yield f"{key_of(part)}/{name}", value


@pytest.mark.parametrize("name", RUNS)
def test_epics_values_are_those_of_the_last_update(shared_data: Path, name: str) -> None:
    expected = json.loads((shared_data / "xtc2_expected" / name / "RUN.json").read_text())["runs"][0]
    updates = sorted(merged(streams_of(shared_data / "xtc2" / name), Service.SLOW_UPDATE).items())
    wrong: list[str] = []
    for event in expected["events"]:
        held: dict[str, Any] = {}
        for time, values in updates:
            if time <= event["timestamp"]:
                held |= {key.rpartition("raw/")[2]: shown(value) for key, value in values.items()}
        wanted = {key: value for key, value in event["epics_psana"].items() if value is not None}
        wrong += differences(held, wanted, str(event["timestamp"]))

    assert wrong == []
