"""The demonstration run, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cubeengine import api, demo
from cubeengine.events.run import Run


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo.write_run(folder, n_events=1500)
    return folder


@pytest.fixture(scope="session")
def demo_run(demo_folder: Path) -> Run:
    return api.open_run(demo_folder / demo.DATA_NAME, xtc=demo_folder / demo.RAW_FOLDER)
