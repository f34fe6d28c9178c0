"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.waiting import heed_signals

APART = {
    "cluster": "needs a Slurm, or mpirun: python -m pytest -m cluster",
    "slow": "takes long: python -m pytest -m slow",
}
"""Marks of tests that run only when they are asked for, and how to ask."""

settings.register_profile("quick", max_examples=20, deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=150)
settings.load_profile("quick")  # --hypothesis-profile=thorough takes the other

heed_signals()  # here, so that the workers of pytest-xdist do so too


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files, which lies beside the checkout where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared folder of real files is not beside this checkout")
    return folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Give each file to one worker, which makes its fixtures and compiles its kernels once."""
    return LoadFileScheduling(config, log)


@pytest.hookimpl(trylast=True)  # after the folders' own conftest.py have marked their tests
def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Skip slow tests, and those that need a cluster, unless -m asks for them."""
    for mark, reason in APART.items():
        if mark in config.getoption("markexpr"):
            continue
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))
