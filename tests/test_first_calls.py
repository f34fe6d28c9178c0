"""What is written first in Python: it works, or one line says what to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.cli.app import run_command
from cubeengine.errors import FieldNotFound, SpecError
from tests.makers.smalldata import write_lcls1

SPEC = """\
cube: delay
units: {ipm2/sum: ""}
axes: [{field: ipm2/sum, quantiles: 3}]
signals: [ipm3/sum]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("first")
    write_lcls1(home / "xpptest01_Run0007.h5", n_events=60)
    (home / "delay.yaml").write_text(SPEC)
    ce.plan(home / "xpptest01_Run0007.h5", home / "delay.yaml").to_zarr(home / "delay.zarr")
    return home


def test_plan_takes_paths_dicts_and_sessions(folder: Path) -> None:
    path = folder / "xpptest01_Run0007.h5"
    run, spec = ce.open_run(path), ce.CubeSpec.loads(SPEC)
    session = ce.explore(run, saved=None)
    wanted = ce.plan(run, spec).bound.n_events

    for given in ((run, folder / "delay.yaml"), (str(path), spec), (run, spec.to_dict()), (session, spec)):
        np.testing.assert_array_equal(ce.plan(*given).bound.n_events, wanted)
    assert ce.explore(session) is session


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (lambda run, spec: ce.plan(spec, run), r"the run comes first: ce.plan\(run, spec\)"),
        (lambda run, _: ce.plan(run, SPEC), r"read by CubeSpec.loads\(text\)"),
        (lambda run, _: ce.plan(run, 3), "takes a CubeSpec or the path of its file, not 3"),
        (lambda _, spec: ce.plan(xr.Dataset(), spec), "takes a run, from ce.open_run, .* not a mapping"),
        (lambda *_: ce.open_cube(xr.Dataset()), "this is a Dataset already"),
        (lambda *_: ce.plot_cube(3), "not a int"),
        (lambda run, _: ce.explore(run, 3), "the run is open already"),
    ],
)
def test_what_is_not_taken_is_told(folder: Path, swap, message: str) -> None:
    run, spec = ce.open_run(folder / "xpptest01_Run0007.h5"), ce.CubeSpec.loads(SPEC)

    with pytest.raises(SpecError, match=message):
        swap(run, spec)


def test_cubes_may_be_named_by_their_path(folder: Path) -> None:
    path = folder / "delay.zarr"

    assert ce.describe_cube(path) == ce.describe_cube(ce.open_cube(path))
    assert ce.plot_cube(str(path)).axes
    xr.testing.assert_identical(ce.sem(path, "ipm3/sum"), ce.sem(ce.open_cube(path), "ipm3/sum"))


@pytest.mark.parametrize("name", ["view", "plot", "show"])
def test_names_that_are_not_there_lead_to_those_that_are(name: str) -> None:
    with pytest.raises(AttributeError, match=r"drawn by ce.plot_cube\('x.zarr'\)"):
        getattr(ce, name)


def test_fields_are_searched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ce.open_run(folder / "xpptest01_Run0007.h5")

    assert set(run.fields.match("ipm*")) == {name for name in run.fields if name.startswith("ipm")}
    assert set(run.fields.match("SUM")) == {name for name in run.fields if "sum" in name.lower()}
    with pytest.raises(FieldNotFound):
        run.fields.match("nothing*")
    assert run_command(["fields", str(folder / "xpptest01_Run0007.h5"), "--match", "ipm2*"]) == 0
    shown = capsys.readouterr().out
    assert "ipm2/sum" in shown
    assert "ipm3/sum" not in shown


def test_notebooks_show_short_left_aligned_escaped_tables(folder: Path) -> None:
    run, spec = ce.open_run(folder / "xpptest01_Run0007.h5"), ce.CubeSpec.loads(SPEC)
    plan = ce.plan(run, spec)

    assert repr(spec) == "<CubeSpec 'delay': 1 axes, 0 selections, 1 signals>"
    assert str(spec) == spec.to_yaml()
    evil = ce.CubeSpec(cube="x", derive={"a": "b < 1"})
    for shown in (plan._repr_html_(), run.fields._repr_html_(), evil._repr_html_()):
        assert "text-align:left" in shown
    assert "b &lt; 1" in evil._repr_html_()
    assert "ipm2__sum: 3 bins" in plan._repr_html_()
