"""docs/smalldataana.md: its notebook runs, its tables name what there is."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cubeengine
from cubeengine import look
from cubeengine.compat import DIFFERENCES, SmallDataAna, SmallDataAnaWarning
from cubeengine.demo import write_run as write_demo
from cubeengine.session.session import Session

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "smalldataana.md").read_text()


@pytest.mark.slow
def test_the_notebook_runs_with_the_import_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUBEENGINE_SESSIONS", str(tmp_path))
    (tmp_path / "cubeengine-demo").mkdir()
    write_demo(tmp_path / "cubeengine-demo", n_events=1500)
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        exec(compile(code, "smalldataana.md", "exec"), names)

    assert {one.category for one in told} == {SmallDataAnaWarning}
    assert {one.filename for one in told} == {"smalldataana.md"}  # they point to the notebook's own lines
    printed = capsys.readouterr().out
    assert "scan of lxt with 21 points" in printed
    assert "Cut 1: 0.4 < ipm2/sum < 2" in printed
    cube, off, scan = names["cube"], names["cube_off"], names["scan"]
    assert cube.nEntries.sum() == names["on"].sum() - outside(names)
    assert off.nEntries.sum() > 0
    assert names["image"].shape == (48, 64)
    here = cube.ratio / cube.nEntries
    assert float(here.max() - here[0]) > 0.1  # the laser does something
    assert scan["scan"].shape == (21,)
    names.clear()


def outside(names: dict[str, Any]) -> int:
    delay = names["ana"].getDelay()[names["on"]]
    return int(np.count_nonzero(~((delay >= -2.25) & (delay <= 8.25))))


def test_every_difference_that_is_told_stands_in_the_table():
    keys = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE)

    assert sorted(keys) == sorted(set(keys))
    assert set(keys) == set(DIFFERENCES)


def test_the_methods_that_are_named_exist():
    table = PAGE[PAGE.index("## What is there") : PAGE.index("Not supported:")]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}

    known = set(dir(SmallDataAna)) | {"session"}
    assert named <= known
    public = {name for name in dir(SmallDataAna) if not name.startswith("_")}
    assert public - {"session"} == named - {"session"}


def test_what_takes_their_place_exists():
    table = PAGE[PAGE.index("## From here") :]

    assert set(re.findall(r"ce\.(\w+)", table)) <= set(cubeengine.__all__)
    assert set(re.findall(r"look\.(\w+)", table)) <= set(look.__all__)
    assert set(re.findall(r"run\.(\w+)", table)) <= set(dir(Session))
    assert set(re.findall(r"ana\.session\.(\w+)", PAGE)) <= set(dir(Session))


def test_a_difference_is_told_once_per_object(tmp_path):
    from tests.compat.files import open_ana, write_run

    truth = write_run(tmp_path)
    for _ in range(2):
        ana = open_ana(truth)
        with pytest.warns(SmallDataAnaWarning, match="time tool|same motion"):
            ana.getDelay()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ana.getDelay(reset=True)
