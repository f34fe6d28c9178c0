"""From a spec's file to its run and its cube, as a notebook goes."""

from __future__ import annotations

from pathlib import Path

import pytest

import cubeengine as ce
from tests.makers.smalldata import write_lcls1

SPEC = """\
cube: one
run: {experiment: xpptest01, run: 7, smalldata: "data/xpptest01_Run{run:04d}.h5"}
signals: [ipm2/sum]
"""


@pytest.fixture
def spec_path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for run, n_events in ((7, 40), (8, 60)):
        write_lcls1(tmp_path / "data" / f"xpptest01_Run{run:04d}.h5", n_events=n_events)
    path = tmp_path / "cube.yaml"
    path.write_text(SPEC)
    return path


def test_spec_file_leads_to_its_run_and_its_cube(spec_path: Path) -> None:
    spec, run = ce.open_spec(spec_path)

    assert (spec.cube, run.n_events, str(run.run_id)) == ("one", 40, "xpptest01:7")
    assert ce.plan(run, spec).compute(workers=1)["n_events"].item() == 40


def test_another_run_of_the_same_spec(spec_path: Path) -> None:
    spec, run = ce.open_spec(str(spec_path), overrides={"run.run": 8})

    assert (spec.run.run, run.n_events) == (8, 60)


def test_run_that_the_file_name_does_not_follow_is_refused(spec_path: Path) -> None:
    spec_path.write_text(SPEC.replace("{run:04d}", "0007"))

    with pytest.raises(ce.SpecError, match=r"run 8 changes nothing.*write \{run:04d\} in it"):
        ce.open_spec(spec_path, overrides={"run.run": 8})
    assert ce.open_spec(spec_path, overrides={"run.run": 7})[1].n_events == 40


def test_run_that_is_not_there_and_run_that_is_not_named(spec_path: Path) -> None:
    with pytest.raises(ce.SourceFormatError, match="xpptest01_Run0009"):
        ce.open_spec(spec_path, overrides={"run.run": 9})
    spec_path.write_text("cube: one")
    with pytest.raises(ce.SpecError, match="names no run"):
        ce.open_spec(spec_path)
