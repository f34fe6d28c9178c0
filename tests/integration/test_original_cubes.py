"""Cubes of the stepped and the fast scan against independent numpy binning, and against the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine import api
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_facts

pytestmark = pytest.mark.realdata

NOMINAL = {12: ("scan/lxt", "s"), 13: ("enc/lasDelay", "ps")}
SELECTIONS = {"all": "every", "on": "on", "off": "off"}  # name in the reference -> name in the cube
ONE_DIMENSIONAL = [(12, "all"), (12, "on"), (12, "off"), (13, "on"), (13, "off")]
SIGNALS = ("ipm2/sum", "ipm3/sum", "diode2/channels", "epix/ROI_0_area", "epix/azav_azav", "epix/ROI_0_sum")
IPM2_EDGES = (
    0.3,
    0.58,
    0.86,
    1.14,
    1.42,
    1.7,
)  # of the two-dimensional cube; its centres are 0.44, 0.72, ...

SPEC = """
cube: reference
units: {{{nominal}: {unit}, tt/ttCorr: ps}}
derive:
  delay: {{delay: {{nominal: {nominal}, timetool: tt/ttCorr, laser: none}}}}
select:
  every: ["0.5 < `lightStatus/xray` < 1.5", "0.3 < `ipm2/sum` < 2.0"]
  on: {{all: [every], laser: on}}
  off: {{all: [every], laser: off}}
axes: {axes}
cubes: [every, on, off]
signals: {signals}
"""


def make_cube(shared_data: Path, run: int, axes: list[dict[str, object]]) -> xr.Dataset:
    nominal, unit = NOMINAL[run]
    text = SPEC.format(nominal=nominal, unit=unit, axes=axes, signals=list(SIGNALS))
    opened = api.open_run(shared_data / "smalldata_lcls1" / f"xpptest01_Run{run:04d}.h5")
    return api.plan(opened, CubeSpec.loads(text)).compute(workers=2)


def load(shared_data: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared_data / "original_cubes" / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def cubes(shared_data: Path) -> dict[int, xr.Dataset]:
    edges = {run: load(shared_data, f"numpy_ref_r{run}_1d_on")["delay_edges"].tolist() for run in NOMINAL}
    axes = {run: [{"field": "delay", "edges": edges[run], "unit": "ps"}] for run in NOMINAL}
    return {run: make_cube(shared_data, run, axes[run]) for run in NOMINAL}


@pytest.fixture(scope="module")
def cube_2d(shared_data: Path) -> xr.Dataset:
    edges = load(shared_data, "numpy_ref_r12_2d_on")["delay_edges"].tolist()
    delay = {"field": "delay", "edges": edges, "unit": "ps"}
    return make_cube(shared_data, 12, [delay, {"field": "ipm2/sum", "edges": list(IPM2_EDGES)}])


def assert_agrees(cube: xr.Dataset, reference: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(cube.n_events, reference["nEntries"])
    for field in SIGNALS:
        name = field.replace("/", "__")
        count, mean, std = (cube[f"{name}_{statistic}"].values for statistic in ("count", "mean", "std"))
        n_valid = reference[f"nvalid_{name}"]
        np.testing.assert_array_equal(count, n_valid, err_msg=name)
        filled = n_valid > 0
        wanted = reference[f"sum_{name}"][filled] / n_valid[filled]
        np.testing.assert_allclose(mean[filled], wanted, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(std[filled], reference[f"std_{name}"][filled], rtol=1e-12, err_msg=name)
        assert np.isnan(mean[~filled]).all()
        assert np.isnan(std[~filled]).all()


@pytest.mark.parametrize(("run", "selection"), ONE_DIMENSIONAL)
def test_one_dimension_agrees_with_plain_numpy(shared_data, cubes, run, selection):
    reference = load(shared_data, f"numpy_ref_r{run}_1d_{selection}")
    assert_agrees(cubes[run].sel(selection=SELECTIONS[selection]), reference)


def test_two_dimensions_agree_with_plain_numpy(shared_data, cube_2d):
    assert cube_2d.n_events.dims == ("selection", "delay", "ipm2__sum")
    assert_agrees(cube_2d.sel(selection="on"), load(shared_data, "numpy_ref_r12_2d_on"))


@pytest.mark.parametrize(("run", "selection"), ONE_DIMENSIONAL)
def test_sums_agree_with_the_original(shared_data, cubes, run, selection):
    # The original adds images in float32, has NaN for the entries of an empty bin, and its ipm3 sums lack
    # nothing but what is NaN: sums are what it has right.
    original = load(shared_data, f"orig_r{run}_1d_{selection}")
    cube = cubes[run].sel(selection=SELECTIONS[selection])
    np.testing.assert_array_equal(cube.n_events, np.nan_to_num(original["nEntries"]))
    for field in SIGNALS:
        name = field.replace("/", "__")
        filled = cube[f"{name}_count"].values > 0
        total = (cube[f"{name}_mean"] * cube[f"{name}_count"]).values
        np.testing.assert_allclose(total[filled], original[name][filled], rtol=1e-4, err_msg=name)


def test_original_means_of_the_delay_lie_in_their_bins(shared_data, cubes):
    on = cubes[12].sel(selection="on")
    where = on.delay_mean.values
    assert (on.delay_bnds[:, 0] <= where).all()
    assert (where <= on.delay_bnds[:, 1]).all()
    original = load(shared_data, "orig_r12_1d_on")
    np.testing.assert_allclose(where * on.n_events, original["delay"], rtol=1e-4)


def test_element_coordinates_are_those_of_the_file(cubes):
    cube = cubes[12]
    assert cube["epix__azav_azav_dim0"].attrs["long_name"] == "q"
    assert cube["epix__azav_azav_dim0"].size == cube.sizes["epix__azav_azav_dim0"] == 30
    assert cube["epix__ROI_0_area_dim0"].attrs["long_name"] == "row"
    assert np.all(np.diff(cube["epix__ROI_0_area_dim1"]) == 1)


@pytest.mark.parametrize("run", [12, 13])
def test_fates_add_up_to_the_events_of_the_run(cubes, run):
    attrs = cube_facts(cubes[run])
    for name, fates in attrs["fates"].items():
        assert sum(fates.values()) == attrs["n_events_total"]
        assert fates["binned"] == int(cubes[run].n_events.sel(selection=name).sum())
