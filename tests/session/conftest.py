"""A run of files and one in memory, and a place for sessions that is nobody's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cubeengine import MemorySource, Run, Session
from tests.makers.smalldata import write_lcls1

FILE = "xpptest01_Run0007.h5"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for data, which must not be that of whoever runs the tests."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CUBEENGINE_SESSIONS", raising=False)
    return tmp_path / "home" / "cubeengine" / "sessions"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A smallData file, in the working directory."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_lcls1(folder / FILE, n_events=420)
    monkeypatch.chdir(folder)
    return folder / FILE


ARRAYS = {
    "diode": np.array([4.0, 3.0, np.nan, 1.0, 0.0, 8.0]),
    "i0": np.array([2.0, 1.0, 1.0, 1.0, 0.5, 2.0]),
    "lightStatus/laser": np.array([1, 0, 1, 0, 1, -1]),
    "steps": np.array([0, 0, 1, 1, 2, 2]),
    "frame": np.arange(6 * 2 * 3).reshape(6, 2, 3),
}


@pytest.fixture
def session() -> Session:
    """A session on six events in memory; the fourth has no step."""
    there = np.array([True, True, True, False, True, True])
    return Session(Run(MemorySource(ARRAYS, valid={"steps": there})))
