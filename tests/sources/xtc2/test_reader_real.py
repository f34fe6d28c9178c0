"""Every per-event number of every real run and file, through the source, against what psana reads."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from cubeengine.types import Column, FieldInfo, FieldKind

pytestmark = pytest.mark.realdata

DROPPED = 1 << 4
SINGLES = ["test_epix_calib", "test_hsd", "test_timetool"]


def _expected(folder: Path, name: str) -> Any:
    return json.loads((folder / "xtc2_expected" / f"{name}.json").read_text())


def _field(source: Xtc2Source, name: str) -> FieldInfo:
    """Return the field of psana's det/segment/alg/field."""
    detector, _, alg, field = name.split("/", 3)
    field = field.split(":")[0]  # psana and we leave off the type of an enumeration
    several = source.fields.get(name.rpartition("/")[0] + "/" + field)
    return several or source.fields[f"{detector}/{alg}/{field}"]


def _valid(column: Column, event: int) -> bool:
    if column.valid is not None:
        return bool(column.valid[event])
    return column.damaged is None or not column.damaged[event]


@pytest.mark.parametrize("name", ["chunking", "delayscan", "intg_det", "multi-seg-epics"])
def test_every_value_of_every_event_of_a_run(shared_data: Path, name: str) -> None:
    source = open_xtc2(shared_data / "xtc2" / name)
    (run,) = _expected(shared_data, f"{name}/RUN")["runs"]
    events = run["events"]
    np.testing.assert_array_equal(source.timestamps, [event["timestamp"] for event in events])
    n_values = 0
    for field in sorted({field for event in events for field in event["values"]}):
        info = _field(source, field)
        column = source.read(info.name)
        for number, event in enumerate(events):
            if field not in event["values"]:
                assert not np.isfinite(column.data[number]).all() or not _valid(column, number)
            elif _valid(column, number):
                assert math.isclose(column.data[number].sum(), event["values"][field], rel_tol=1e-6), field
                n_values += 1
            else:
                assert any(damage for damage in event["damage"]) or number == 411
    assert n_values > 0


@pytest.mark.parametrize("name", SINGLES)
def test_every_array_of_a_file_bit_by_bit(shared_data: Path, name: str) -> None:
    source = open_xtc2(shared_data / "xtc2" / "single" / f"{name}.xtc2")
    dgrams = [d for d in _expected(shared_data, f"single/{name}")["dgrams"] if d["service"] == "L1Accept"]
    assert source.n_events == len(dgrams)
    n_values = 0
    for field in sorted({field for dgram in dgrams for field in dgram["data"]}):
        info = _field(source, field)
        if info.kind is not FieldKind.EVENT:
            assert (
                len({tuple(dgram["data"][field]["shape"]) for dgram in dgrams if field in dgram["data"]}) > 1
            )
            n_values += len(dgrams)
            continue
        column = source.read(info.name)
        for number, dgram in enumerate(dgrams):
            wanted = dgram["data"][field]
            row = np.ascontiguousarray(column.data[number])
            if isinstance(wanted, dict) and "crc32" in wanted:
                assert (list(row.shape), zlib.crc32(row.tobytes())) == (wanted["shape"], wanted["crc32"])
            else:
                assert row == (wanted["enum"] if isinstance(wanted, dict) else wanted)
            n_values += 1
    assert n_values >= len(dgrams)


def test_delay_scan_is_what_was_written(shared_data: Path) -> None:
    folder = shared_data / "xtc2" / "delayscan"
    source, truth = open_xtc2(folder), np.load(folder / "truth.npz")
    np.testing.assert_array_equal(source.timestamps, truth["ts"])
    np.testing.assert_array_equal(source.read("timing/raw/pulseId").data, truth["pulseid"])
    np.testing.assert_array_equal(source.read("scan/lxt_delay_ps").data, truth["delay"])
    codes = source.read("timing/raw/sequenceValues").data
    np.testing.assert_array_equal(codes[:, 5] >> 10 & 1, truth["laser_on"])
    np.testing.assert_array_equal(source.read("ipm2/raw/TotalIntensity").data, truth["ipm"])


@pytest.mark.parametrize(
    ("field", "sums", "stream", "n_valid"),
    [
        ("jungfrau/raw/raw", "jf_sum", "s1", 595),
        ("epixs/0/raw/array", "spec0_sum", "s1", 599),
        ("epixs/1/raw/array", "spec1_sum", "s3", 514),
    ],
)
def test_frames_of_the_delay_scan_are_whole_or_left_out(
    shared_data: Path, field: str, sums: str, stream: str, n_valid: int
) -> None:
    folder = shared_data / "xtc2" / "delayscan"
    source, truth = open_xtc2(folder), np.load(folder / "truth.npz")
    column = source.read(field)
    hurt = truth[f"damage_{stream}"] & ~DROPPED != 0
    there = np.ones(source.n_events, bool)
    if field.startswith("jungfrau"):
        there, hurt = truth["jf_present"], hurt | (truth["jf_segdamage"] != 0)
    if stream == "s3":
        there = truth["s3_present"]
    assert column.valid is not None
    assert column.damaged is not None
    np.testing.assert_array_equal(column.valid, there & ~hurt)
    np.testing.assert_array_equal(column.damaged, there & hurt)
    assert column.valid.sum() == n_valid
    found = column.data.reshape(source.n_events, -1).sum(axis=1, dtype=np.int64)
    np.testing.assert_array_equal(found[column.valid], truth[sums][column.valid])


def test_rows_of_chunks_can_be_read_in_any_order(shared_data: Path) -> None:
    source = open_xtc2(shared_data / "xtc2" / "delayscan")
    order = np.random.default_rng(4).permutation(source.n_events)
    whole, mixed = source.read("epixs/raw/array"), source.read("epixs/raw/array", order)
    assert whole.valid is not None
    np.testing.assert_array_equal(mixed.valid, whole.valid[order])
    np.testing.assert_array_equal(mixed.data, whole.data[order])
