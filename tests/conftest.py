"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from tests.waiting import heed_signals

CLUSTER = "a Slurm, or mpirun: by themselves, with python -m pytest -m cluster"

settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")

heed_signals()  # here, so that the workers of pytest-xdist do so too


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files, which lies beside the checkout where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared folder of real files is not beside this checkout")
    return folder


@pytest.hookimpl(trylast=True)  # when those who know have marked their tests
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Leave out what fills all cores, unless it is asked for."""
    if "cluster" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason=CLUSTER))
