"""Files written by the facility's own LCLS-II writer: opened, listed, binned, against what was put in."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from cubeengine import api
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.spec.model import CubeSpec
from cubeengine.types import FieldKind

pytestmark = pytest.mark.realdata

MADE = ("serial_21", "mpi_22")  # one file; two parts joined by virtual datasets, out of time order
EPX = ("epx/ROI_0_sum", "epx/npix", "epx/azav_azav", "epx/ROI_0_area")

BY_MOTOR = f"""
cube: motor
units: {{scan/motor1: mm}}
missing: {{{", ".join(f"{name}: leading_zeros" for name in (*EPX, "late/anint", "late/afloat"))}}}
select:
  on: {{laser: on}}
  off: {{laser: off}}
axes: [{{field: scan/motor1, steps: auto}}]
cubes: [all, on, off]
signals: [fim/pulse, fim/wave, {", ".join(EPX)}, late/anint, late/afloat, fim/var_peaks_len]
"""


def open_made(shared_data: Path, name: str) -> Run:
    return api.open_run(shared_data / "smalldata_lcls2" / f"{name}.h5")


def truth_of(shared_data: Path, name: str) -> np.ndarray:
    truth = np.load(shared_data / "smalldata_lcls2" / f"{name}.truth.npy")
    return truth[np.argsort(truth["ts"])]


def make(run: Run, text: str) -> xr.Dataset:
    return api.plan(run, CubeSpec.loads(text)).compute(workers=2)


@pytest.fixture(scope="module")
def motor_cubes(shared_data: Path) -> dict[str, xr.Dataset]:
    return {name: make(open_made(shared_data, name), BY_MOTOR) for name in MADE}


@pytest.mark.parametrize("name", MADE)
def test_events_are_in_time_order_with_the_values_of_the_truth(shared_data, name):
    run, truth = open_made(shared_data, name), truth_of(shared_data, name)
    np.testing.assert_array_equal(run.timestamps, truth["ts"])
    for field, key in (("fim/pulse", "pulse"), ("scan/motor1", "motor1"), ("fim/var_peaks_len", "npk")):
        np.testing.assert_array_equal(run[field].read(), truth[key])
    assert (run.rows is None) == (name == "serial_21")


@pytest.mark.parametrize("name", MADE)
def test_scan_is_found(shared_data, name):
    scan, truth = open_made(shared_data, name).scan, truth_of(shared_data, name)
    assert scan.variables == ("scan/motor1",)
    np.testing.assert_array_equal(scan.values["scan/motor1"], np.unique(truth["motor1"]))
    np.testing.assert_array_equal(scan.step_index, truth["step"])


@pytest.mark.parametrize("name", MADE)
def test_every_setting_is_one_bin_with_its_events(shared_data, motor_cubes, name):
    truth, cube = truth_of(shared_data, name), motor_cubes[name]
    settings, events = np.unique(truth["motor1"], return_counts=True)
    np.testing.assert_allclose(cube.scan__motor1, settings, rtol=1e-15)
    np.testing.assert_array_equal(cube.n_events.sel(selection="all"), events)
    np.testing.assert_array_equal(cube.n_events.sel(selection=["on", "off"]).sum("selection"), events)
    np.testing.assert_array_equal(cube.scan__motor1_mean.sel(selection="all"), settings)
    assert np.all(cube.scan__motor1_std == 0)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(("signal", "key"), [("fim__pulse", "pulse"), ("fim__var_peaks_len", "npk")])
def test_sums_are_those_of_the_truth(shared_data, motor_cubes, name, signal, key):
    truth, cube = truth_of(shared_data, name), motor_cubes[name].sel(selection="all")
    for i, setting in enumerate(np.unique(truth["motor1"])):
        values = truth[key][truth["motor1"] == setting]
        np.testing.assert_allclose(cube[f"{signal}_mean"][i], values.mean(), rtol=1e-13)
        np.testing.assert_allclose(cube[f"{signal}_std"][i], values.std(), rtol=1e-12)
        assert cube[f"{signal}_count"][i] == len(values)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("signal", EPX)
def test_missing_images_are_counted_out_those_before_the_first_too(shared_data, motor_cubes, name, signal):
    truth, cube = truth_of(shared_data, name), motor_cubes[name].sel(selection="all")
    count = cube[f"{signal.replace('/', '__')}_count"].values
    count = count.reshape(len(count), -1)
    assert (count == count[:, :1]).all()
    expected = [truth["has_epx"][truth["motor1"] == setting].sum() for setting in np.unique(truth["motor1"])]
    np.testing.assert_array_equal(count[:, 0], expected)


@pytest.mark.parametrize("name", MADE)
def test_images_average_to_what_plain_numpy_gives(shared_data, motor_cubes, name):
    truth, cube = truth_of(shared_data, name), motor_cubes[name].sel(selection="all")
    images = open_made(shared_data, name).column("epx/ROI_0_area").data.astype(np.float64)
    for i, setting in enumerate(np.unique(truth["motor1"])):
        kept = images[(truth["motor1"] == setting) & truth["has_epx"]]
        np.testing.assert_allclose(cube.epx__ROI_0_area_mean[i], kept.mean(0), rtol=1e-12)
        np.testing.assert_allclose(cube.epx__ROI_0_area_std[i], kept.std(0), rtol=1e-12)


@pytest.mark.parametrize("name", MADE)
def test_declared_leading_zeros_never_enter_a_mean(shared_data, motor_cubes, name):
    late = open_made(shared_data, name).column("late/anint").data
    first_step = truth_of(shared_data, name)["step"] == 0
    kept = late[first_step & (late != 0)]
    cube = motor_cubes[name].sel(selection="all").isel(scan__motor1=0)
    for signal in ("late__anint", "late__afloat"):
        assert cube[f"{signal}_count"] == len(kept)
    np.testing.assert_allclose(cube.late__anint_mean, kept.mean(), rtol=1e-14)


@pytest.mark.parametrize("name", MADE)
def test_zeros_before_the_first_value_are_warned_of_until_declared(shared_data, name):
    run, declared = open_made(shared_data, name), CubeSpec.loads(BY_MOTOR)
    undeclared = declared.model_copy(update={"missing": {}})
    warned = [problem.message for problem in api.plan(run, undeclared).warnings]
    for field in (*EPX, "late/anint", "late/afloat"):
        assert any(f"missing: {{{field}: leading_zeros}}" in message for message in warned), field
    assert not [problem for problem in api.plan(run, declared).warnings if problem.path == ("missing",)]


def test_fields_of_one_part_alone_are_missing_elsewhere(shared_data):
    run = open_made(shared_data, "mpi_22")
    cube = make(run, "cube: rare\nsignals: [rare/aligned, rare/iflag]")
    flag = run.column("rare/iflag")
    assert flag.valid is not None
    np.testing.assert_array_equal(flag.valid, ~np.isnan(run.column("rare/aligned").data))
    assert cube.rare__aligned_count == cube.rare__iflag_count == 114  # events of part 0
    np.testing.assert_allclose(cube.rare__iflag_mean, flag.data[flag.valid].mean(), rtol=1e-14)


@pytest.mark.parametrize("name", MADE)
def test_align_group_makes_a_cube_of_its_own_events(shared_data, name):
    truth = truth_of(shared_data, name)
    run = open_made(shared_data, name)
    cube = make(run, "cube: slow\nrun: {events: intg}\nsignals: [intg/slow/temp]")
    aligned = run.aligned("intg")
    which = np.searchsorted(truth["ts"], aligned.timestamps)
    np.testing.assert_array_equal(truth["ts"][which], aligned.timestamps)
    assert cube.n_events.item() == cube.intg__slow__temp_count.item() == aligned.n_events == 24
    shot = (aligned.timestamps & 0xFFFFFFFF) / 1_000_000  # every tenth one has a temperature
    np.testing.assert_array_equal(shot % 10, 0)
    np.testing.assert_allclose(cube.intg__slow__temp_mean, [np.mean(20 + shot / 100)], rtol=1e-12)


def test_padded_rows_of_an_align_group_are_no_events(shared_data):
    run = open_made(shared_data, "mpi_22")
    cube = make(run, "cube: odd\nrun: {events: rareintg}\nsignals: [rareintg/odd/temp]")
    assert cube.n_events.item() == 29  # of 155 rows
    timestamps = run.aligned("rareintg").timestamps
    assert np.isin(timestamps, truth_of(shared_data, "mpi_22")["ts"]).all()
    np.testing.assert_allclose(cube.rareintg__odd__temp_mean, np.arange(0, 113, 4).mean())


def test_align_group_rows_are_no_signal_of_the_run_and_the_error_says_how(shared_data):
    with pytest.raises(SpecError, match=r"run: \{events: intg\}"):
        make(open_made(shared_data, "serial_21"), "cube: c\nsignals: [intg/slow/temp]")


@pytest.mark.parametrize("name", MADE)
def test_ragged_data_are_listed_and_refused(shared_data, name):
    run = open_made(shared_data, name)
    info = run.fields["fim/var_peaks/height"]
    assert info.kind is FieldKind.RAGGED
    assert info.n_rows == truth_of(shared_data, name)["npk"].sum()
    assert "fim/var_peaks/height" in repr(run.fields)
    with pytest.raises(SpecError, match=r"'fim/var_peaks/height' cannot be a signal: .* different number"):
        make(run, "cube: c\nsignals: [fim/var_peaks/height]")


def test_ragged_data_are_refused_in_cuts_and_axes_too(shared_data):
    axis = "axes: [{field: fim/var_peaks/pos, quantiles: 2}]"
    text = f"cube: c\nselect: {{a: ['`fim/var_peaks/pos` > 1']}}\n{axis}\n"
    with pytest.raises(SpecError, match="has 2 problems"):
        make(open_made(shared_data, "serial_21"), text + "cubes: [a]")


def test_run_that_is_no_scan_gives_one_bin(shared_data):
    run = api.open_run(shared_data / "smalldata_lcls2" / "real_mixed_rate.h5")
    assert run.scan.variables == ()
    text = "cube: c\nunits: {scan/motor1: mm}\naxes: [{field: scan/motor1, steps: auto}]\n"
    cube = make(run, text + "signals: [xpphsd_0/fex_arrayFex, xppcspad_0/raw_arrayRaw, xpphsd_0/fex_intFex]")
    np.testing.assert_array_equal(cube.n_events, [[100]])
    np.testing.assert_allclose(cube.scan__motor1, [41.0])
    np.testing.assert_array_equal(cube.xppcspad_0__raw_arrayRaw_mean[0, 0], np.arange(18.0).reshape(3, 6))
    np.testing.assert_array_equal(
        cube.xpphsd_0__fex_arrayFex_mean[0, 0], np.arange(142.0, 148.0).reshape(2, 3)
    )
    assert np.all(cube.xpphsd_0__fex_arrayFex_std == 0)
    assert cube.xpphsd_0__fex_intFex_mean.item() == 42


def test_integrating_detectors_are_events_of_their_own(shared_data):
    run = api.open_run(shared_data / "smalldata_lcls2" / "real_intg_det.h5")
    fast = make(run, "cube: c\nsignals: [hsd_0/raw_calib]")
    assert fast.n_events.item() == 17
    np.testing.assert_array_equal(fast.hsd_0__raw_calib_mean[0], np.full((2, 2), 8.0))
    signals = "signals: [intg/andor_1/raw_calib, intg/epix_2/raw_calib]"
    slow = make(run, f"cube: c\nrun: {{events: intg}}\n{signals}")
    assert slow.n_events.item() == 6
    np.testing.assert_array_equal(slow.intg__andor_1__raw_calib_count[0], np.full((2, 2), 5))
    np.testing.assert_array_equal(slow.intg__andor_1__raw_calib_mean[0], np.full((2, 2), 9.0))
    np.testing.assert_array_equal(slow.intg__epix_2__raw_calib_count[0], np.full((2, 2), 3))


def test_newer_encoding_of_virtual_datasets_opens_or_is_named(shared_data):
    # HDF5 2.0 wrote it; an older library cannot open it, a newer one can: never a wrong value.
    path = shared_data / "smalldata_lcls2" / "hdf5v2" / "mpi_22.h5"
    if h5py.version.hdf5_version_tuple < (2,):
        with pytest.raises(OSError, match=r"hdf5v2/mpi_22.h5.*HDF5"):
            api.open_run(path)["fim/pulse"].read()
    else:
        pulse = api.open_run(path)["fim/pulse"].read()
        np.testing.assert_array_equal(pulse, truth_of(shared_data, "mpi_22")["pulse"])
