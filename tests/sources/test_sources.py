"""The suite of `tests/suites/sources.py` on every source and every layout of bytes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.sources import coded
from cubeengine.sources.memory import MemorySource
from cubeengine.sources.registry import open_source
from tests.makers.smalldata import Truth, write_joined, write_lcls1, write_lcls2
from tests.quick import first_quick
from tests.suites.sources import SourceCase, SourceSuite

LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {"chunk_events": None},
    "chunked": {"chunk_events": 10},
    "one frame per chunk": {"chunk_events": 1},
    "gzip": {"chunk_events": 10, "compression": {"compression": "gzip"}},
    "shuffle gzip": {"chunk_events": 10, "compression": {"compression": "gzip", "shuffle": True}},
    "all of HDF5's own": {
        "chunk_events": 7,
        "compression": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    },
    "lzf, by the library": {"chunk_events": 10, "compression": {"compression": "lzf", "shuffle": True}},
    "EvtID, shuffled": {"time_layout": "EvtID", "shuffled": True},
    "shuffled gzip": {"shuffled": True, "compression": {"compression": "gzip", "shuffle": True}},
}


def case_of(truth: Truth) -> SourceCase:
    """Return the case of a file; what is zero before its first appearance is read as zero unless declared."""
    declared = {
        name: "leading_zeros" for name in truth.columns if name.startswith("late/") and not truth.parts
    }
    source = open_source(truth.path).with_missing(declared)
    return SourceCase(source, truth.timestamps, truth.columns, truth.missing)


class TestLcls1(SourceSuite):
    @pytest.fixture(scope="class", params=first_quick(LAYOUTS.values(), 4), ids=LAYOUTS.keys())
    @classmethod
    def case(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceCase:
        path = tmp_path_factory.mktemp("lcls1") / "run.h5"
        return case_of(write_lcls1(path, n_events=130, **request.param))


INFLATERS = ["zlib", "isal.isal_zlib"]


class TestInflaters(SourceSuite):
    @pytest.fixture(scope="class", params=INFLATERS)
    @classmethod
    def case(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[SourceCase]:
        module = pytest.importorskip(request.param)
        path = tmp_path_factory.mktemp("inflaters") / "run.h5"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coded, "inflating", lambda: module)
            yield case_of(write_lcls1(path, n_events=130, **LAYOUTS["all of HDF5's own"]))


def test_isal_is_taken_where_it_is_installed_and_zlib_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    isal = pytest.importorskip("isal.isal_zlib")
    choose = coded.inflating.__wrapped__
    assert choose() is isal
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert choose() is zlib


@pytest.mark.slow
def test_both_inflaters_say_the_same_of_damaged_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isal = pytest.importorskip("isal.isal_zlib")
    path = write_lcls1(tmp_path / "run.h5", n_events=20, **LAYOUTS["shuffle gzip"]).path
    with h5py.File(path) as file:
        chunk = file["epix/ROI_0_area"].id.get_chunk_info(0)
    whole, rng, told = path.read_bytes(), np.random.default_rng(2), []
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chunk.byte_offset + rng.integers(chunk.size)] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        said = []
        for module in (zlib, isal):
            monkeypatch.setattr(coded, "inflating", lambda module=module: module)
            try:
                said.append(str(open_source(path).read("epix/ROI_0_area").data.tobytes()))
            except SourceFormatError as err:
                said.append(str(err))
        assert said[0] == said[1]
        told.append(said[0])
    assert sum("the file is damaged" in text for text in told) > 100


class TestLcls2(SourceSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls, tmp_path_factory: pytest.TempPathFactory) -> SourceCase:
        return case_of(write_lcls2(tmp_path_factory.mktemp("lcls2") / "run.h5"))


class TestJoined(SourceSuite):
    @pytest.fixture(scope="class", params=[2, 3])
    @classmethod
    def case(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceCase:
        return case_of(write_joined(tmp_path_factory.mktemp("joined"), n_parts=request.param))


class TestAlignGroup(SourceSuite):
    @pytest.fixture(scope="class", params=["intg", "rareintg"])
    @classmethod
    def case(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceCase:
        truth = write_joined(tmp_path_factory.mktemp("aligned"))
        own = {name: v for name, v in truth.aligned.items() if name.startswith(request.param + "/")}
        timestamps = own.pop(f"{request.param}/timestamp").astype(np.uint64)
        frames = own[f"{request.param}/slow/frame"]
        missing = {f"{request.param}/slow/frame": (frames == -99999).all(axis=(1, 2))}
        among = np.isin(truth.timestamps, timestamps)
        for name in ("scan/motor1", "epx/npix", "epx/ROI_0_area", "rare/counts"):
            own[name] = truth.columns[name][among]
            missing[name] = truth.missing.get(name, np.zeros(len(among), bool))[among]
        return SourceCase(open_source(truth.path).aligned(request.param), timestamps, own, missing)


class TestMemory(SourceSuite):
    @pytest.fixture(scope="class", params=["in order", "shuffled"])
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> SourceCase:
        rng = np.random.default_rng(5)
        n = 90
        columns = {
            "ipm2/sum": rng.normal(size=n),
            "epix/ROI_0_area": rng.normal(size=(n, 6, 7)).astype(np.float32),
            "epix/npix": rng.integers(0, 9, n),
            "flag": rng.random(n) > 0.5,
        }
        missing = {"epix/npix": rng.random(n) > 0.8}
        timestamps = np.arange(n).astype(np.uint64) << np.uint64(32)
        order = rng.permutation(n) if request.param == "shuffled" else np.arange(n)
        source = MemorySource(
            {name: values[order] for name, values in columns.items()},
            timestamps[order],
            valid={"epix/npix": ~missing["epix/npix"][order]},
        )
        return SourceCase(source, timestamps, columns, missing)


def test_big_endian_fields_are_read_native(tmp_path: Path) -> None:
    truth = write_lcls1(tmp_path / "run.h5", n_events=50)
    swapped = {}
    with h5py.File(truth.path, "r+") as file:
        for name, layout in {
            "plain": {},
            "gzip": {"compression": "gzip", "shuffle": True, "chunks": (7, 12, 14)},
        }.items():
            values = truth.columns["epix/ROI_0_area"]
            file.create_dataset(f"big/{name}", data=values.astype(">f4"), **layout)
            swapped[f"big/{name}"] = values
    source = open_source(truth.path)
    for name, values in swapped.items():
        assert source.fields[name].dtype.isnative
        np.testing.assert_array_equal(source.read(name).data, values)
