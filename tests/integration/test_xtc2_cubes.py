"""Raw files of LCLS-II binned, alone and joined with smallData, against what was written to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from cubeengine import api
from cubeengine.events.run import Run
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_facts, open_cube

pytestmark = pytest.mark.realdata

DROPPED = 1 << 4
"""Damage that says that another contribution of the datagram is absent; what is there is whole."""

BY_DELAY = """
cube: delay
run:
  laser: "eventcode(`timing/raw/sequenceValues`, 90)"
  xray: "eventcode(`timing/raw/sequenceValues`, 137)"
units: {scan/lxt_delay_ps: ps}
select:
  on: {laser: on}
  off: {laser: off}
  bright: {all: ["`ipm2/raw/TotalIntensity` > 1"], xray: on}
  tt: [{field: tmott/ttfex/ampl, min: 0}]
axes: [{field: scan/lxt_delay_ps, steps: auto}]
cubes: [all, on, off, bright, tt]
signals:
  - {field: ipm2/raw/TotalIntensity, name: i0}
  - {field: ipm2/raw/XPosition, name: x}
  - {field: timing/raw/pulseId, name: pulse}
  - {field: tmott/ttfex/fltpos, name: fltpos}
  - {field: jungfrau/raw/raw, name: jungfrau}
  - {field: epixs/0/raw/array, name: spec0}
  - {field: epixs/1/raw/array, name: spec1}
  - {field: epixs/raw/array, name: stack}
"""


def make(run: Run, text: str, **options: object) -> xr.Dataset:
    return api.plan(run, CubeSpec.loads(text), **options).compute(workers=2)


def total(cube: xr.Dataset, signal: str, selection: str) -> NDArray[np.float64]:
    """Exact sums over the events of every bin, and over the elements."""
    part = cube.sel(selection=selection)
    sums = np.round(part[f"{signal}_mean"] * part[f"{signal}_count"]).fillna(0)
    return sums.sum([dim for dim in sums.dims if str(dim).startswith(f"{signal}_dim")]).values


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> Mapping[str, NDArray]:
    return dict(np.load(shared_data / "xtc2" / "delayscan" / "truth.npz"))


@pytest.fixture(scope="module")
def delayscan(shared_data: Path) -> Run:
    return api.open_run(shared_data / "xtc2" / "delayscan")


@pytest.fixture(scope="module")
def delay_cube(delayscan: Run) -> xr.Dataset:
    return make(delayscan, BY_DELAY)


@pytest.fixture(scope="module")
def there(truth: Mapping[str, NDArray]) -> Mapping[str, NDArray[np.bool_]]:
    """Which events have each signal, whole."""
    whole1, whole3 = (truth[f"damage_{stream}"] & ~DROPPED == 0 for stream in ("s1", "s3"))
    first, second = whole1, truth["s3_present"] & whole3
    return {
        "i0": truth["damage_s0"] == 0,
        "pulse": truth["damage_s0"] == 0,
        "fltpos": second,
        "jungfrau": truth["jf_present"] & whole1 & (truth["jf_segdamage"] == 0),
        "spec0": first,
        "spec1": second,
        "stack": first & second,
    }


@pytest.fixture(scope="module")
def selected(truth: Mapping[str, NDArray], there: Mapping[str, NDArray]) -> Mapping[str, NDArray[np.bool_]]:
    return {
        "all": np.ones(len(truth["ts"]), bool),
        "on": truth["laser_on"],
        "off": ~truth["laser_on"],
        "bright": (truth["ipm"] > 1) & truth["xray_on"],
        "tt": there["spec1"] & (truth["tt_ampl"] >= 0),
    }


def by_step(truth: Mapping[str, NDArray], mask: NDArray[np.bool_], values: NDArray | None = None) -> NDArray:
    """Sum over the events of every step, one by one."""
    weights = np.ones(len(mask), np.int64) if values is None else values
    return np.array([sum(weights[mask & (truth["step"] == step)].tolist()) for step in range(12)])


def test_events_of_every_bin_are_counted(delay_cube, truth, selected):
    np.testing.assert_array_equal(delay_cube["scan__lxt_delay_ps"], truth["delays"])
    for name, mask in selected.items():
        np.testing.assert_array_equal(delay_cube.n_events.sel(selection=name), by_step(truth, mask), name)


@pytest.mark.parametrize("signal", ["i0", "pulse", "fltpos", "jungfrau", "spec0", "spec1", "stack"])
def test_missing_and_damaged_values_are_left_out_of_that_signal_alone(
    delay_cube, truth, there, selected, signal
):
    for name, mask in selected.items():
        count = delay_cube[f"{signal}_count"].sel(selection=name)
        np.testing.assert_array_equal(count, by_step(truth, mask & there[signal]), f"{signal} {name}")


@pytest.mark.parametrize("signal", ["jungfrau", "spec0", "spec1", "stack"])
def test_sums_of_frames_are_exact(delay_cube, truth, there, selected, signal):
    sums = {
        "jungfrau": truth["jf_sum"],
        "spec0": truth["spec0_sum"],
        "spec1": truth["spec1_sum"],
        "stack": truth["spec0_sum"] + truth["spec1_sum"],
    }[signal]
    for name, mask in selected.items():
        expected = by_step(truth, mask & there[signal], sums)
        np.testing.assert_array_equal(total(delay_cube, signal, name), expected, f"{signal} {name}")


@pytest.mark.parametrize(
    ("signal", "key"), [("i0", "ipm"), ("pulse", "pulseid"), ("x", "xpos"), ("fltpos", "tt_fltpos")]
)
def test_means_of_scalars_are_those_of_the_truth(delay_cube, truth, there, selected, signal, key):
    whole = there.get(signal, there["i0"])
    for name, mask in selected.items():
        for step in range(12):
            values = truth[key][mask & whole & (truth["step"] == step)].tolist()
            found = float(delay_cube[f"{signal}_mean"].sel(selection=name)[step])
            assert found == pytest.approx(math.fsum(values) / len(values), rel=1e-14)


def test_shapes_are_those_of_psana(delay_cube):
    assert delay_cube["jungfrau_mean"].shape == (5, 12, 1, 64, 96)
    assert delay_cube["stack_mean"].shape == (5, 12, 2, 32, 48)
    np.testing.assert_array_equal(delay_cube["spec0_mean"][0, 6].dims[-2:], ["spec0_dim0", "spec0_dim1"])


def test_fates_add_up_and_tell_damaged_from_missing(delay_cube, truth, there):
    fates = cube_facts(delay_cube)["fates"]
    assert all(sum(fate.values()) == 600 for fate in fates.values())
    absent = int(np.count_nonzero(~truth["s3_present"]))
    damaged = int(np.count_nonzero(~there["spec1"])) - absent
    assert fates["tt"]["damaged"] == damaged == 1
    assert fates["tt"]["nan"] + fates["tt"]["missing"] == absent == 85
    assert "join" not in delay_cube.attrs


@pytest.mark.parametrize("memory", ["400 MiB", "2 GiB"])
def test_a_store_holds_the_same(delayscan, delay_cube, tmp_path, memory):
    plan = api.plan(delayscan, CubeSpec.loads(BY_DELAY), memory=memory)
    plan.to_zarr(tmp_path / "cube.zarr", workers=2)
    again = open_cube(tmp_path / "cube.zarr").load()
    for signal in ("jungfrau", "stack", "spec1"):
        for name in ("all", "on", "tt"):
            np.testing.assert_array_equal(total(again, signal, name), total(delay_cube, signal, name))


def test_lazy_cubes_are_equal(delayscan, delay_cube):
    lazy = api.plan(delayscan, CubeSpec.loads(BY_DELAY)).lazy()
    found = lazy[["jungfrau_mean", "stack_count", "i0_std"]].compute()
    for name in found.data_vars:
        np.testing.assert_allclose(found[name], delay_cube[name], rtol=1e-13)


BY_PULSE = """
cube: pulse
units: {fim/pulse: ""}
axes: [{field: fim/pulse, edges: [95, 99, 100, 101, 105, 120]}]
signals:
  - {field: fim/raw/pulse, name: pulse}
  - {field: fim/raw/npk, name: npk}
  - {field: epx/raw/img, name: img}
  - {field: epx/raw/adu, name: adu}
  - {field: fim/raw/wave, name: wave}
"""


@pytest.fixture(scope="module", params=[("x21", "serial_21"), ("x22", "mpi_22")], ids=lambda pair: pair[0])
def pair(request, shared_data: Path) -> tuple[Run, Run, NDArray]:
    """smallData joined with raw data, the raw data alone, and the truth in time order."""
    raw, small = request.param
    folder = shared_data / "xtc2" / raw
    joined = api.open_run(shared_data / "smalldata_lcls2" / f"{small}.h5", xtc=folder)
    return joined, api.open_run(folder), np.sort(np.load(folder / "truth.npy"), order="ts")


def test_all_events_are_matched_by_time(pair):
    joined, raw, truth = pair
    assert joined.join.facts == {"matched": 240, "only_smalldata": 0, "only_raw": 0}
    np.testing.assert_array_equal(joined.timestamps, truth["ts"])
    np.testing.assert_array_equal(joined["fim/raw/pulse"].read(), truth["pulse"])
    np.testing.assert_array_equal(joined["fim/pulse"].read(), truth["pulse"])
    np.testing.assert_array_equal(joined["epx/raw/img"].read(), raw["epx/raw/img"].read())


def test_raw_fields_are_binned_in_a_variable_of_smalldata(pair):
    joined, raw, truth = pair
    cube = make(joined, BY_PULSE)
    edges = np.array([95, 99, 100, 101, 105, 120])
    frames, waves = raw["epx/raw/img"].read().values, raw["fim/raw/wave"].read().values
    assert int(cube.n_events.sum()) == np.count_nonzero((truth["pulse"] >= 95) & (truth["pulse"] <= 120))
    for number in range(5):
        inside = (truth["pulse"] >= edges[number]) & (truth["pulse"] < edges[number + 1])
        shot, framed = truth[inside], inside & truth["has_epx"]
        part = cube.isel(fim__pulse=number, selection=0)
        assert int(part.n_events) == len(shot)
        assert int(part.img_count) == np.count_nonzero(framed)
        assert float(part.pulse_mean) == pytest.approx(math.fsum(shot["pulse"]) / len(shot), rel=1e-14)
        assert round(float(part.npk_mean * part.npk_count)) == shot["npk"].sum()
        np.testing.assert_array_equal(
            np.round(part.img_mean * part.img_count), frames[framed].sum(0, dtype=np.int64)
        )
        np.testing.assert_array_equal(
            np.round(part.wave_mean * part.wave_count), waves[inside].sum(0, dtype=np.int64)
        )
    assert cube_facts(cube)["join"] == {"matched": 240, "only_smalldata": 0, "only_raw": 0}
    assert {Path(file["path"]).suffix for file in cube_facts(cube)["inputs"]} == {".h5", ".xtc2"}


def test_an_align_group_of_smalldata_is_joined_too(pair):
    joined, _, truth = pair
    group = joined.aligned("intg")
    assert group.join.matched == group.n_events < 240
    rows = np.searchsorted(truth["ts"], group.timestamps)
    np.testing.assert_array_equal(group["fim/raw/pulse"].read(), truth["pulse"][rows])


def test_a_spec_names_both(shared_data, tmp_path):
    text = f"""
cube: pulse
run:
  smalldata: {shared_data}/smalldata_lcls2/serial_21.h5
  xtc: {shared_data}/xtc2/x21
units: {{fim/pulse: ""}}
axes: [{{field: fim/pulse, quantiles: 3}}]
signals: [epx/raw/img, "fim/raw/wave"]
"""
    (tmp_path / "cube.yaml").write_text(text)
    spec, run = api.open_spec(tmp_path / "cube.yaml")
    assert run.join.matched == 240
    plan = api.plan(run, spec)
    assert "joined: 240 events in smallData and raw data, 0 only in smallData" in str(plan)
    assert plan.to_dict()["join"]["matched"] == 240
    cube = plan.compute(workers=2)
    assert int(cube["fim__raw__wave_count"].sum()) == 240
