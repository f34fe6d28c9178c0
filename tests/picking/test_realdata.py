"""Events picked from raw data and smallData, against plain numpy on what was written, and on h5py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import cubeengine as ce
from cubeengine.store.read import cube_facts
from tests.picking.loops import pick_loop

pytestmark = pytest.mark.realdata

BY_DELAY = """
cube: best
run: {laser: "eventcode(`timing/raw/sequenceValues`, 90)"}
units: {scan/lxt_delay_ps: ps}
select: {on: {laser: on}}
axes: [{field: scan/lxt_delay_ps, steps: auto}]
cubes: [all, on]
signals:
  - {field: timing/raw/pulseId, name: pulse}
  - {field: jungfrau/raw/raw, name: jungfrau}
  - {field: epixs/raw/array, name: stack}
"""
DROPPED = 1 << 4


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> Mapping[str, NDArray]:
    return dict(np.load(shared_data / "xtc2" / "delayscan" / "truth.npz"))


@pytest.fixture(scope="module")
def delayscan(shared_data: Path) -> ce.Run:
    return ce.open_run(shared_data / "xtc2" / "delayscan")


@pytest.mark.parametrize(
    "which", ["largest", "smallest", "first", {"nearest": 1.0}, {"percentile": 75}], ids=str
)
def test_raw_frames_are_those_that_were_written(delayscan, truth, which):
    spec = ce.PickSpec.loads(f"{BY_DELAY}pick: {{field: ipm2/raw/TotalIntensity, which: {which}, events: 3}}")
    picked = ce.pick(delayscan, spec).compute(workers=2)

    values = np.where(truth["damage_s0"] == 0, truth["ipm"], np.nan)
    whole = truth["jf_present"] & (truth["damage_s1"] & ~DROPPED == 0) & (truth["jf_segdamage"] == 0)
    for name, kept in (("all", True), ("on", truth["laser_on"])):
        found = picked.sel(selection=name)
        wanted = np.array(pick_loop(np.where(kept, truth["step"], -1), values, 12, 3, which))
        np.testing.assert_array_equal(found["event"], wanted)
        np.testing.assert_array_equal(found["timestamp"], truth["ts"][wanted])
        np.testing.assert_array_equal(found["pulse"], truth["pulseid"][wanted])
        np.testing.assert_array_equal(found["jungfrau_valid"], whole[wanted])
        sums = (
            found["jungfrau"]
            .astype(np.int64)
            .sum([f"jungfrau_dim{i}" for i in range(found["jungfrau"].ndim - 2)])
        )
        np.testing.assert_array_equal(sums.values[whole[wanted]], truth["jf_sum"][wanted][whole[wanted]])


def test_events_without_a_frame_are_picked_and_marked(delayscan, truth):
    lacking = [123, 124, 200, 377, 411]  # absent, or damaged
    text = BY_DELAY.replace("select: {", 'derive: {number: "`timing/raw/pulseId`"}\nselect: {')
    pulse = int(truth["pulseid"][123])
    spec = ce.PickSpec.loads(f"{text}pick: {{field: number, which: {{nearest: {pulse}}}}}")
    picked = ce.pick(delayscan, spec).compute(workers=1).sel(selection="all")

    events = picked["event"].values[:, 0]
    assert 123 in events
    np.testing.assert_array_equal(picked["jungfrau_valid"].values[:, 0], ~np.isin(events, lacking))
    assert (picked["jungfrau"].values[:, 0][events == 123] == 65_535).all()
    assert cube_facts(picked)["left_out"]["jungfrau"]["all"]["missing"] >= 1


def test_frames_are_those_of_the_reader_of_the_run(delayscan):
    spec = ce.PickSpec.loads(f"{BY_DELAY}pick: {{which: {{random: 3}}, events: 2}}")
    picked = ce.pick(delayscan, spec).compute(workers=2)

    for name, field in (("jungfrau", "jungfrau/raw/raw"), ("stack", "epixs/raw/array")):
        frames = delayscan[field].read(missing="mask")
        valid = frames["valid"].values
        events, there = picked["event"].values, picked[f"{name}_valid"].values
        np.testing.assert_array_equal(there, valid[events])
        np.testing.assert_array_equal(picked[name].values[there], frames.values[events[there]])


@pytest.mark.parametrize("number", [12, 13])
@pytest.mark.parametrize("which", ["largest", {"percentile": 50}], ids=str)
def test_smalldata_frames_are_those_that_h5py_reads(shared_data, number, which):
    path = shared_data / "smalldata_lcls1" / f"xpptest01_Run{number:04d}.h5"
    run = ce.open_run(path)
    edges = [0.3, 0.6, 0.9, 1.2, 1.5, 9.0, 99.0]
    spec = ce.PickSpec.from_dict(
        {
            "cube": "best",
            "units": {"ipm2/sum": ""},
            "select": {"on": {"laser": "on"}},
            "axes": [{"field": "ipm2/sum", "edges": edges}],
            "cubes": ["on"],
            "signals": [{"field": "epix/ROI_0_area", "name": "roi"}],
            "pick": {"field": "ipm3/sum", "which": which, "events": 2},
        }
    )
    picked = ce.pick(run, spec).compute(workers=2).isel(selection=0)

    with h5py.File(path) as file:
        i0, other = file["ipm2/sum"][:], file["ipm3/sum"][:]
        frames, laser = file["epix/ROI_0_area"][:], file["lightStatus/laser"][:]
        fiducials = file["fiducials"][:]
    bins = np.where((i0 >= edges[0]) & (i0 <= edges[-1]) & (laser == 1), np.digitize(i0, edges) - 1, -1)
    order = np.arange(len(i0)) if run.rows is None else run.rows
    wanted = np.array(pick_loop(bins[order], other[order], 6, 2, which))
    there = wanted >= 0
    np.testing.assert_array_equal(picked["event"], wanted)
    np.testing.assert_array_equal(picked["row"].values[there], order[wanted[there]])
    np.testing.assert_array_equal(picked["roi"].values[there], frames[order[wanted[there]]])
    np.testing.assert_array_equal(picked["fiducials"].values[there], fiducials[order[wanted[there]]])
    assert np.isnan(picked["roi"].values[~there]).all()
    assert not there[5].any()


def test_store_is_opened_by_xarray_alone(shared_data, tmp_path):
    run = ce.open_run(shared_data / "smalldata_lcls1" / "xpptest01_Run0012.h5")
    spec = ce.PickSpec(
        cube="best", signals=["epix/ROI_0_area"], pick=ce.Pick(field="ipm2/sum", which="largest", events=4)
    )
    ce.pick(run, spec).to_zarr(tmp_path / "best.zarr", workers=1)

    with xr.open_zarr(tmp_path / "best.zarr") as dataset:
        assert dataset["epix__ROI_0_area"].dims[:2] == ("selection", "pick")
        assert dataset["time"].dtype.kind == "M"
        np.testing.assert_array_equal(dataset["time"].values[0], run.time[dataset["event"].values[0]])
        assert dataset.attrs["content"] == "picked events"
        assert cube_facts(dataset)["spec"]["pick"]["events"] == 4
