"""What a user has is replaced only where that was asked for, and never without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine import CubeSpec, Session, StoreMismatch


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_variable_of_other_values_is_told(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    session.add("mine", np.arange(6), unit="mm")
    session.add("ratio", "diode / i0")
    assert said(caplog) == []

    session.add("mine", np.arange(6) + 1, unit="mm")
    assert said(caplog) == ["replaced: variable 'mine', which was array of int64"]
    session.add("ratio", "i0 / diode")
    assert said(caplog) == ["replaced: variable 'ratio', which was diode / i0"]
    session.add("mine", "2 * diode", unit="mm")
    assert said(caplog) == ["replaced: variable 'mine', which was array of int64"]
    session.data["ratio"] = np.zeros(6)
    assert said(caplog) == ["replaced: variable 'ratio', which was i0 / diode"]


def test_cell_that_is_run_again_says_nothing(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    missing = np.ma.masked_array(np.arange(6), np.arange(6) == 2)
    for _ in range(2):
        session.declare({"diode": "V"}, laser="lightStatus/laser")
        session.add("mine", np.where(np.arange(6) == 3, np.nan, 1.0), unit="mm")
        session.add("whole", missing)
        session.add("ratio", "diode / i0")
        session.select("on", "ratio > 1", laser="on")
        session.remove("ratio") if "on" not in session.spec.select else session.deselect("on")

    assert said(caplog) == []


def test_other_missing_values_are_other_values(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    session.add("whole", np.ma.masked_array(np.arange(6), np.arange(6) == 2))
    session.add("whole", np.ma.masked_array(np.arange(6), np.arange(6) == 3))

    assert said(caplog) == ["replaced: variable 'whole', which was array of int64, 1 missing"]


def test_declarations_and_selections_are_told(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    session.declare({"diode": "V"})
    session.add("mine", np.arange(6), unit="mm")
    session.select("bright", "diode > 1")

    session.declare({"diode": "mV"}, laser="`lightStatus/laser` == 0")
    assert said(caplog) == [
        "replaced: the unit of 'diode', which was V",
        "replaced: what laser='on' means, which was lightStatus/laser",
    ]
    session.add("mine", np.arange(6))
    assert said(caplog) == ["replaced: the unit of 'mine', which was mm: now it has none"]
    session.select("bright", "diode > 2")
    assert said(caplog) == ["replaced: selection 'bright', which was `diode` > 1"]


def test_spec_of_other_content_stays(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    session.select("bright", "diode > 1")
    first = session.to_yaml(path)
    assert session.to_yaml(path) == first  # the same once more
    session.select("dark", "diode <= 1")

    with pytest.raises(StoreMismatch, match=r"spec.yaml: already exists .* overwrite=True"):
        session.to_yaml(path)
    assert path.read_text() == first
    second = session.to_yaml(path, overwrite=True)
    assert path.read_text() == second != first


def test_spec_is_written_under_the_same_rule(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    path.write_bytes(b"\x89HDF")

    with pytest.raises(StoreMismatch, match=r"data.h5: already exists"):
        CubeSpec(cube="x").to_yaml(path)
    CubeSpec(cube="x").to_yaml(tmp_path / "x.yaml")

    assert CubeSpec.load(tmp_path / "x.yaml") == CubeSpec(cube="x")
    assert path.read_bytes() == b"\x89HDF"


def test_script_of_the_session_is_told_before_it_is_saved(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = ce.explore(data)
    first.add("ratio", "ipm2__sum / 2")
    first.save()
    second = ce.explore(data)
    second.add("ratio", "ipm2__sum / 3")

    assert said(caplog) == ["replaced: variable 'ratio', which was ipm2__sum / 2"]
