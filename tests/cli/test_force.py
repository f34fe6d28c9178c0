"""A unit that is wrong by 10^12 puts all events in one bin: an error, unless it is forced."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import cubeengine as ce
from cubeengine.cli.app import run_command

SPEC = """cube: c
run: {smalldata: run.h5}
units: {scan/lxt: %s}
axes:
  - {field: scan/lxt, centers: {start: -1, stop: 3, step: 0.5}, unit: ps}
signals: [v]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with h5py.File("run.h5", "w") as file:
        file["event_time"] = np.arange(180, dtype=np.uint64) + (1_425_000_000 << 32)
        file["scan/lxt"] = np.repeat(np.arange(-1, 3.1, 0.5), 20) * 1e-12
        file["v"] = np.arange(180.0)
    for unit in ("ps", "s"):
        Path(f"{unit}.yaml").write_text(SPEC % unit)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["check"], ["plan"], ["plan", "--json"], ["run", "-o", "c.zarr"]])
def test_all_events_in_one_bin_end_with_2_unless_forced(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*command, "ps.yaml"]) == 2
    err = capsys.readouterr().err
    assert "180 of 180 events are in one bin of 9" in err
    assert "--force" in err
    assert not Path("c.zarr").exists()
    assert run_command([*command, "ps.yaml", "--force"]) == 0
    assert run_command([*command, "s.yaml", *(["--overwrite"] if command[0] == "run" else [])]) == 0


@pytest.mark.usefixtures("folder")
def test_the_line_of_the_axes_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["check", "ps.yaml"])
    line = next(line for line in capsys.readouterr().err.splitlines() if "one bin" in line)
    assert line.startswith("ps.yaml:4:1: axes: selection 'all'")


@pytest.mark.usefixtures("folder")
def test_a_session_refuses_it_as_well() -> None:
    session = ce.explore("run.h5", saved=None)
    session.declare({"scan/lxt": "ps"})
    centers = {"start": -1, "stop": 3, "step": 0.5}
    with pytest.raises(ce.SpecError, match="in one bin of 9"):
        session.cube("scan/lxt", centers=centers, unit="ps")
    cube = session.cube("scan/lxt", centers=centers, unit="ps", force=True).compute()
    assert cube["n_events"].values.tolist() == [[0, 0, 180, 0, 0, 0, 0, 0, 0]]
