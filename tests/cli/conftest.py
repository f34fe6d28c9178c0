"""A run in the LCLS-I layout and a spec for it, and the command line called in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cubeengine.cli.app import run_command
from tests.makers.smalldata import write_lcls1
from tests.waiting import without_waits

SPEC = """\
cube: delay
run:
  experiment: xpptest01
  run: 7
  smalldata: xpptest01_Run{run:04d}.h5
units: {scan/lxt: s, tt/ttCorr: ps, ipm2/sum: ""}
derive:
  delay: {delay: {nominal: scan/lxt, timetool: tt/ttCorr}}
select:
  good:
    - {field: lightStatus/xray, equal: 1}
    - {field: ipm2/sum, min: 0.3, max: 2.0}
  on: {all: [good], laser: on}
  off: {all: [good], laser: off}
axes:
  - {field: delay, centers: {start: -2, stop: 8, step: 0.5}, unit: ps}
cubes: [on, off]
signals:
  - ipm2/sum
  - {field: epix/ROI_0_area, name: roi}
"""


@dataclass(frozen=True)
class Outcome:
    """What a call printed and how it ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a run and a spec."""
    write_lcls1(tmp_path / "xpptest01_Run0007.h5", n_events=420)
    (tmp_path / "delay.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""

    def called(*args: object) -> Outcome:
        capfd.readouterr()
        code = run_command([str(arg) for arg in args])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, without_waits(captured.err))

    return called
