"""The cube on disk: names, dimensions, types and attributes of the contract, opened by xarray alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from cubeengine import api
from cubeengine.store.read import cube_facts
from tests.makers.smalldata import write_lcls1
from tests.planning.runs import DELAY, memory_run, plan_of

SPEC = (
    DELAY
    + """
select:
  on: {laser: on}
  off: {laser: off}
axes:
  - {field: delay, centers: {start: -2, stop: 8, step: 0.5}, unit: ps}
  - {field: ipm2/sum, edges: [0, 0.8, 1.2, 4]}
cubes: [on, off]
signals:
  - ipm3/sum
  - {field: epix/ROI_0_area, name: roi, dtype: float32}
  - jungfrau/ROI_0_area
  - epix/azav_azav
  - evr/code_90
"""
)
BINS = ("selection", "delay", "ipm2__sum")
FRAMES = {  # signal -> shape, whether its count is per element
    "delay": ((), True),
    "ipm2__sum": ((), True),
    "ipm3__sum": ((), True),
    "roi": ((12, 14), True),
    "jungfrau__ROI_0_area": ((12, 14), False),
    "epix__azav_azav": ((10,), True),
    "evr__code_90": ((), False),
}
FIELDS = {name: name.replace("__", "/") for name in FRAMES} | {"roi": "epix/ROI_0_area"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cube")
    truth = write_lcls1(folder / "run.h5", n_events=210)
    plan = plan_of(api.open_run(truth.path), SPEC)
    return plan.to_zarr(folder / "cube.zarr", workers=2).path


@pytest.fixture(scope="module")
def cube(store):
    with xr.open_zarr(store) as dataset:  # consolidated, and without any help of ours
        return dataset.load()


def test_events_that_selections_share_are_counted() -> None:
    run = memory_run({"x": np.arange(10.0)})
    text = "select: {low: ['x < 6'], high: ['x >= 6'], odd: ['x > 3', 'x < 8']}\n"
    text += "axes: [{field: x, edges: [0.5, 9.5]}]\ncubes: [low, high, odd]\nsignals: [x]\n"
    shared = cube_facts(plan_of(run, text).lazy())["shared_events"]

    assert shared == {"low": {"odd": 2}, "high": {"odd": 2}}


def test_variables_are_those_of_the_contract(cube):
    statistics = {f"{name}_{statistic}" for name in FRAMES for statistic in ("count", "mean", "std")}
    assert set(cube.data_vars) == {"n_events", *statistics}
    axes = {"selection", "delay", "ipm2__sum", "delay_bnds", "ipm2__sum_bnds"}
    elements = {"roi_dim0", "roi_dim1", "epix__azav_azav_dim0"}
    assert set(cube.coords) == axes | elements


@pytest.mark.parametrize("name", FRAMES)
def test_dimensions_and_types_of_signals(cube, name):
    frame, per_element = FRAMES[name]
    elements = tuple(f"{name}_dim{i}" for i in range(len(frame)))
    for statistic in ("mean", "std"):
        array = cube[f"{name}_{statistic}"]
        assert array.dims == (*BINS, *elements)
        assert array.shape == (2, 21, 3, *frame)
        assert array.dtype == (np.float32 if name == "roi" else np.float64)
        assert array.attrs["field"] == FIELDS[name]
        assert array.attrs["units"] == ("ps" if name == "delay" else "")
    count = cube[f"{name}_count"]
    assert count.dims == ((*BINS, *elements) if per_element else BINS)
    assert count.dtype == np.int64
    assert count.attrs["field"] == FIELDS[name]


def test_spread_says_what_it_is(cube):
    attrs = cube.roi_std.attrs
    assert attrs["ddof"] == 0
    assert attrs["comment"] == ("spread of single events; standard error of the mean = std / sqrt(count - 1)")


def test_axes_have_centres_edges_and_units(cube):
    assert cube.delay.attrs == {"units": "ps", "long_name": "delay", "bounds": "delay_bnds"}
    np.testing.assert_allclose(cube.delay, np.arange(-2, 8.1, 0.5), atol=1e-12)
    assert cube.delay_bnds.dims == ("delay", "bnds")
    np.testing.assert_allclose(cube.delay_bnds, np.stack([cube.delay - 0.25, cube.delay + 0.25], 1))
    assert cube.ipm2__sum.attrs["long_name"] == "ipm2/sum"
    np.testing.assert_allclose(cube.ipm2__sum_bnds, [[0, 0.8], [0.8, 1.2], [1.2, 4]])


def test_selection_is_a_string_array_in_the_order_of_the_spec(store, cube):
    assert cube.selection.values.tolist() == ["on", "off"]
    group = zarr.open_group(store, mode="r")
    assert group.metadata.zarr_format == 3
    assert "string" in json.loads((store / "selection" / "zarr.json").read_text())["data_type"]


def test_event_counts_are_whole_numbers_over_all_bins(cube):
    assert cube.n_events.dims == BINS
    assert cube.n_events.dtype == np.int64
    for name in cube.selection.values:
        assert int(cube.n_events.sel(selection=name).sum()) == cube_facts(cube)["fates"][name]["binned"]


def test_empty_bins_have_count_zero_and_no_mean(cube):
    empty = (cube.n_events == 0).values
    assert empty.any()
    for name in FRAMES:
        assert (cube[f"{name}_count"].values[empty] == 0).all()
        assert np.isnan(cube[f"{name}_mean"].values[empty]).all()
        assert np.isnan(cube[f"{name}_std"].values[empty]).all()


def test_element_dimensions_have_the_coordinates_of_the_file(cube):
    np.testing.assert_array_equal(cube.roi_dim0, np.arange(4, 16))
    np.testing.assert_array_equal(cube.roi_dim1, np.arange(8, 22))
    assert cube.roi_dim0.attrs["long_name"] == "row"
    np.testing.assert_allclose(cube.epix__azav_azav_dim0, np.linspace(0.1, 2.0, 10))
    assert "jungfrau__ROI_0_area_dim0" not in cube.coords  # the file does not know them


def test_axis_means_lie_in_their_bins(cube):
    filled = (cube.n_events > 0).values
    low, high = (cube.delay_bnds[:, i].values[None, :, None] for i in (0, 1))
    mean = cube.delay_mean.values
    assert ((low <= mean) & (mean <= high))[filled].all()


def test_attributes_tell_how_the_cube_was_made(store, cube):
    attrs = cube_facts(cube)
    assert attrs["spec"]["cube"] == "test"
    assert attrs["ddof"] == 0
    assert attrs["n_events_total"] == 210
    assert "partial_run" not in attrs
    assert attrs["delays"]["delay"]["laser"] == "lightStatus/laser"
    for name, fates in attrs["fates"].items():
        assert sum(fates.values()) == 210
        assert attrs["cut_flow"][name][-1][2] == fates["binned"] + fates["outside"]
    (source,) = attrs["inputs"]
    assert source["path"].endswith("run.h5")
    assert source["size"] > 0
    assert source["mtime_ns"] > 0
    assert {"python", "numpy", "numba", "zarr"} <= set(attrs["versions"])
    for signal in attrs["plan"]["signals"].values():
        leaves = [leaf for part in signal["parts"] for leaf in part["leaves"]]
        assert leaves
        assert signal["merge_order"]


def test_spec_in_the_cube_makes_the_same_cube(cube):
    from cubeengine.spec.model import CubeSpec

    assert CubeSpec.loads(cube.attrs["spec_yaml"]) == CubeSpec.loads("cube: test\n" + SPEC)
    assert CubeSpec.from_dict(cube_facts(cube)["spec"]) == CubeSpec.loads("cube: test\n" + SPEC)


def test_quick_try_is_marked_as_such():
    cube = plan_of(memory_run({"x": np.arange(9.0)}), "signals: [x]", events=4).compute()
    assert cube.attrs["partial_run"] == "the first 4 events"
    assert cube.attrs["n_events_total"] == 4
    assert cube.x_mean.item() == 1.5


def test_lazy_cube_has_the_same_arrays(store, cube, tmp_path):
    truth = write_lcls1(tmp_path / "run.h5", n_events=210)
    lazy = plan_of(api.open_run(truth.path), SPEC).lazy()
    assert set(lazy.variables) == set(cube.variables)
    for name in cube.variables:
        assert lazy[name].dims == cube[name].dims
        assert lazy[name].attrs == cube[name].attrs, name
        np.testing.assert_array_equal(lazy[name].values, cube[name].values, err_msg=name)


def test_cube_without_axes_or_signals_is_a_count(tmp_path):
    path = plan_of(memory_run({"x": np.arange(9.0)}), "").to_zarr(tmp_path / "c.zarr").path
    with xr.open_zarr(path) as cube:
        assert list(cube.data_vars) == ["n_events"]
        assert cube.n_events.values.tolist() == [9]


def test_a_mean_beyond_float32_is_infinite(tmp_path):
    values = np.array([1e39, 3e39, 5.0])
    run = memory_run({"x": np.array([0.5, 0.5, 1.5]), "i0": values})
    text = "axes: [{field: x, edges: [0, 1, 2], unit: ''}]\nsignals: [{field: i0, dtype: float32}]"
    path = plan_of(run, text).to_zarr(tmp_path / "cube.zarr").path
    found = xr.open_zarr(path)["i0_mean"].values.squeeze()
    np.testing.assert_array_equal(found, np.array([np.inf, 5], np.float32))
