"""The cubes of the original, made through the facade: equal where the original is right.

What is compared, for every `orig_*.npz`:

* `nEntries`: equal; an empty bin has 0 here and NaN there.
* sums: the original adds what is there, so its sums are compared with ours times
  `nEntries_<name> / nEntries`, to 1e-4, as it adds images in float32. Ours itself is mean * nEntries, so
  that a division by `nEntries` gives the mean; that the mean is right is shown against `numpy_ref_*.npz`,
  to 1e-12.
* `std_*`: the original has them for two axes only, and there they are right. For one axis they are compared
  with `numpy_ref_*.npz`.
* `epix/azav_azav`: the file holds numbers for events in which the epix was damaged. The original (and the
  reference) add them, as its cut on damage is never applied. Ours leaves them out: compared in bins without
  such events, and with plain numpy in the others.
* labels: the original has left edges (one axis), or right ones (first of two): ours are the centres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from cubeengine.compat import SmallDataAna

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.filterwarnings("ignore::cubeengine.compat.differences.SmallDataAnaWarning"),
]

CUBES = ("r12_1d_all", "r12_1d_on", "r12_1d_off", "r13_1d_on", "r13_1d_off", "r12_2d_on")
SIGNALS = ["ipm2/sum", "ipm3/sum", "diode2/channels", "epix/ROI_0_area", "epix/azav_azav", "epix/ROI_0_sum"]
UNDAMAGED = [name for name in SIGNALS if name != "epix/azav_azav"]
IPM2_EDGES = [0.3, 0.58, 0.86, 1.14, 1.42, 1.7]


def load(shared_data: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared_data / "original_cubes" / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def made(shared_data: Path) -> dict[str, tuple[SmallDataAna, xr.Dataset]]:
    return {name: make(shared_data, name) for name in CUBES}


def make(shared_data: Path, name: str) -> tuple[SmallDataAna, xr.Dataset]:
    run, selection = int(name[1:3]), name.rpartition("_")[2]
    edges = load(shared_data, f"numpy_ref_{name}")["delay_edges"]
    ana = SmallDataAna("xpptest01", run, str(shared_data / "smalldata_lcls1"), saved=None)
    ana.addCut("lightStatus/xray", 0.5, 1.5, "good")
    ana.addCut("ipm2/sum", 0.3, 2.0, "good")
    state = "" if selection == "all" else f"__{selection}"
    added = {"ipm2/sum": IPM2_EDGES} if "2d" in name else None
    ana.addCube("delay", "delay", edges, f"good{state}", addBinVars=added)
    ana.addToCube("delay", SIGNALS)
    return ana, ana.makeCubeData("delay")


@pytest.mark.parametrize("name", CUBES)
def test_entries_are_those_of_the_original(shared_data, made, name):
    original, (_, cube) = load(shared_data, f"orig_{name}"), made[name]

    np.testing.assert_array_equal(cube.nEntries, np.nan_to_num(original["nEntries"]))
    np.testing.assert_array_equal(cube.nEntries == 0, np.isnan(original["nEntries"]))


@pytest.mark.parametrize("name", CUBES)
def test_sums_of_what_is_there_are_those_of_the_original(shared_data, made, name):
    original, (_, cube) = load(shared_data, f"orig_{name}"), made[name]

    for variable in [*(field.replace("/", "__") for field in UNDAMAGED), "delay"]:
        there = (cube[variable] / cube.nEntries * cube[f"nEntries_{variable}"]).values
        filled = cube[f"nEntries_{variable}"].values > 0
        assert filled.any()
        wanted = original[variable][filled]
        np.testing.assert_allclose(there[filled], wanted, rtol=1e-4, atol=1e-12, err_msg=variable)


@pytest.mark.parametrize("name", CUBES)
def test_sum_over_entries_is_the_mean(shared_data, made, name):
    reference, (_, cube) = load(shared_data, f"numpy_ref_{name}"), made[name]

    for variable in (field.replace("/", "__") for field in UNDAMAGED):
        n_valid = reference[f"nvalid_{variable}"]
        np.testing.assert_array_equal(cube[f"nEntries_{variable}"], n_valid, err_msg=variable)
        filled = n_valid > 0
        mean = (cube[variable] / cube.nEntries).values[filled]
        wanted = reference[f"sum_{variable}"][filled] / n_valid[filled]
        np.testing.assert_allclose(mean, wanted, rtol=1e-12, err_msg=variable)
        assert np.isnan(cube[variable].values[~filled]).all()


@pytest.mark.parametrize("name", CUBES)
def test_standard_deviations_are_there_and_right(shared_data, made, name):
    reference, (_, cube) = load(shared_data, f"numpy_ref_{name}"), made[name]
    original = load(shared_data, f"orig_{name}")

    for variable in (field.replace("/", "__") for field in UNDAMAGED):
        filled = cube[f"nEntries_{variable}"].values > 0
        found = cube[f"std_{variable}"].values[filled]
        np.testing.assert_allclose(found, reference[f"std_{variable}"][filled], rtol=1e-12, err_msg=variable)
        assert (f"std_{variable}" in original) == ("2d" in name)
        if "2d" in name:
            wanted = original[f"std_{variable}"][filled]
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6, err_msg=variable)


@pytest.mark.parametrize("name", CUBES)
def test_damaged_events_are_left_out_of_their_detector_alone(shared_data, made, name):
    original, (ana, cube) = load(shared_data, f"orig_{name}"), made[name]
    entries = cube.nEntries.values[..., None]
    count = cube.nEntries_epix__azav_azav.values
    whole = (count == entries) & (entries > 0)

    np.testing.assert_allclose(
        cube.epix__azav_azav.values[whole], original["epix__azav_azav"][whole], rtol=1e-4
    )
    assert whole.any()
    for place in zip(*np.nonzero((count < entries).any(axis=-1)), strict=True):
        wanted = events_of(ana, name, place) & (ana.getVar("damage/epix") == 1)
        mean = ana.getVar("epix/azav_azav", wanted).mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(cube.epix__azav_azav.values[place] / cube.nEntries.values[place], mean)


def events_of(ana: SmallDataAna, name: str, place: tuple[Any, ...]) -> np.ndarray:
    kept = ana.getFilter("good" if name.endswith("all") else f"good__{name.rpartition('_')[2]}")
    cube = ana.getCube("delay")
    for (variable, edges), number in zip(cube.axes, place, strict=True):
        values = ana.getVar(variable)
        kept = kept & (values >= edges[number]) & (values < edges[number + 1])
    return kept


@pytest.mark.parametrize("name", CUBES)
def test_names_are_those_of_the_original(shared_data, made, name):
    original, (_, cube) = load(shared_data, f"orig_{name}"), made[name]
    # With several axes these are sums and spreads of the number of the bin: no values of anything.
    meaningless = {"binVar", "binVar_bins", "std_binVar_bins"} if "2d" in name else set()

    assert set(original) - set(cube.variables) == meaningless
    for variable in set(original) - meaningless:
        assert cube[variable].shape == original[variable].shape, variable


def test_labels_are_centres_where_the_original_has_edges(shared_data, made):
    one, two = made["r12_1d_on"][1], made["r12_2d_on"][1]
    edges = load(shared_data, "numpy_ref_r12_1d_on")["delay_edges"]

    np.testing.assert_array_equal(load(shared_data, "orig_r12_1d_on")["binVar_bins"], edges[:-1])
    np.testing.assert_array_equal(load(shared_data, "orig_r12_2d_on")["bins_delay"], edges[1:])
    for labels in (one.binVar_bins, two.bins_delay):
        np.testing.assert_allclose(labels, (edges[1:] + edges[:-1]) / 2, rtol=1e-12)
    np.testing.assert_allclose(
        two.bins_ipm2_sum, load(shared_data, "orig_r12_2d_on")["bins_ipm2_sum"], rtol=1e-12
    )


def test_a_scan_of_21_settings_has_21_bins(shared_data):
    ana = SmallDataAna("xpptest01", 12, str(shared_data / "smalldata_lcls1"), saved=None)
    ana.addCube("steps", "delay", [])
    ana.addToCube("steps", "ipm2/sum")

    # The original makes 881 bins of it: one for each distinct corrected delay.
    assert ana.makeCubeData("steps").nEntries.values.tolist() == [50] * 21
