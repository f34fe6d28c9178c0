"""Steps that the data acquisition made, seen in raw data and smallData: without a motor, and repeated."""

from __future__ import annotations

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.cli.app import run_command
from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service
from cubeengine.spec.starter import starter
from tests.makers.smalldata import write_lcls2
from tests.makers.xtc2 import EXPERIMENT, RUN, write_small_run
from tests.makers.xtc2_frames import write_frame_run
from tests.makers.xtc2_times import Clock

SETTINGS = (1.0, 2.0, 1.0, 3.0, 2.0)
PER_STEP = 30
SCAN = OutNames("scan", (OutField("motor", "f8"),))
BEAM = OutNames("beam", (OutField("x", "f8"),))


def write_repeated(folder, *, small_data=True):
    """Five steps, two of them at settings of before, an event before the first; what stream 1 has is late."""
    clock, step, x = Clock(), [], []
    with RunWriter(folder, EXPERIMENT, RUN, streams=(0, 1), small_data=small_data) as out:
        out.configure(clock.now(), [OutStream(0, (SCAN,)), OutStream(1, (BEAM,))])
        out.begin_run(clock.now())
        for number, setting in enumerate((None, *SETTINGS)):
            if setting is not None:
                out.transition(Service.BEGIN_STEP, clock.now(), [OutData(SCAN, {"motor": setting})])
                out.transition(Service.ENABLE, clock.now())
            for _ in range(PER_STEP if setting is not None else 1):
                step.append(number - 1)
                x.append(len(x) * 0.5)
                out.event(clock.now(), [OutData(BEAM, {"x": x[-1]})])
    return np.array(step), np.array(x)


@pytest.fixture
def repeated(tmp_path):
    step, x = write_repeated(tmp_path / "xtc")
    return ce.open_run(tmp_path / "xtc"), step, x


def test_every_begin_of_a_step_counts(repeated):
    run, step, _ = repeated
    found = run.column("scan/step_index")
    assert found.data.dtype == np.int64
    np.testing.assert_array_equal(found.valid, step >= 0)
    np.testing.assert_array_equal(found.data[step >= 0], step[step >= 0])


def test_steps_are_those_of_any_stream_with_and_without_small_data(tmp_path):
    for name, small_data in (("with", True), ("without", False)):
        made = write_small_run(tmp_path / name, small_data=small_data)
        run = ce.open_run(tmp_path / name)
        np.testing.assert_array_equal(run.column("scan/step_index").data, made.step)


def test_repeated_steps_are_shown_and_binned(repeated):
    run, step, x = repeated
    assert (run.scan.variables, run.scan.n_steps, run.scan.n_counted) == (("scan/motor",), 3, 5)
    assert "5 steps by scan/step_index" in repr(run.scan)
    spec = ce.CubeSpec(
        cube="c",
        units={"scan/motor": "mm"},
        axes=[ce.Axis(field="scan/motor", steps="scan/step_index")],
        signals=["beam/raw/x"],
    )
    plan = ce.plan(run, spec)
    assert plan.bound.fates["all"].missing == 1
    cube = plan.compute()
    assert cube["scan__motor"].values.tolist() == [0, 1, 2, 3, 4]
    assert cube["scan__motor"].attrs["units"] == ""
    assert cube["scan__motor"].attrs["long_name"] == "scan/step_index"
    assert cube["scan__motor_mean"].values.tolist() == [list(SETTINGS)]
    assert cube["scan__motor_mean"].attrs["units"] == "mm"
    means = [x[step == number].mean() for number in range(5)]
    np.testing.assert_allclose(cube["beam__raw__x_mean"][0], means, rtol=1e-14)
    assert cube["n_events"].values.tolist() == [[PER_STEP] * 5]


def test_steps_without_a_motor_are_a_scan(tmp_path):
    made = write_frame_run(tmp_path, n_events=60, shape=(4, 6), n_steps=3)
    run = ce.open_run(tmp_path)
    assert (run.scan.variables, run.scan.n_steps) == (("scan/step_index",), 3)
    text = starter(run)
    assert "the data acquisition made 3 steps" in text
    spec = ce.CubeSpec.loads(text)
    assert [axis.to_plain() for axis in spec.axes] == [
        {"field": "scan/step_index", "steps": "auto", "unit": ""}
    ]
    cube = ce.plan(run, ce.CubeSpec(cube="c", axes=spec.axes, signals=["beam/raw/x"])).compute()
    means = made.x.reshape(3, 20).mean(axis=1)
    np.testing.assert_allclose(cube["beam__raw__x_mean"][0], means, rtol=1e-14)


def test_one_step_is_no_scan(tmp_path):
    write_frame_run(tmp_path, n_events=10, shape=(4, 6))
    run = ce.open_run(tmp_path)
    assert run.column("scan/step_index").data.tolist() == [0] * 10
    assert run.scan.variables == ()
    assert "# No scan variable moves" in starter(run)


def test_starter_says_how_to_bin_repeated_steps(repeated):
    text = starter(repeated[0])
    assert "The data acquisition made 5 steps at 3 settings" in text
    assert "# - {field: scan/motor, steps: scan/step_index}" in text


def test_steps_of_small_data_are_those_the_file_counts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = write_lcls2(tmp_path / "run.h5")
    run = ce.open_run(tmp_path / "run.h5")
    counted = run.column("scan/step_value").data
    np.testing.assert_array_equal(run.column("scan/step_index").data, counted)
    (tmp_path / "c.yaml").write_text(
        "cube: c\nrun: {smalldata: run.h5}\naxes: [{field: scan/step_index, steps: auto, unit: ''}]\n"
    )
    assert run_command(["check", "c.yaml"]) == 0
    assert run_command(["run", "c.yaml", "-o", "c.zarr"]) == 0
    cube = ce.open_cube("c.zarr")
    values, counts = np.unique(truth.columns["scan/step_value"], return_counts=True)
    assert cube["scan__step_index"].values.tolist() == values.tolist()
    assert cube["n_events"].values.tolist() == [counts.tolist()]
    capsys.readouterr()
    assert run_command(["fields", "run.h5"]) == 0
    assert "scan/motor1" in capsys.readouterr().out
