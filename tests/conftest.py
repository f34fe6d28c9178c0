"""Fixtures shared by all tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.waiting import heed_signals

APART = ("cluster", "slow")
"""Marks of tests that run only when they are asked for: `python -m pytest -m slow`."""

QUICK_CASES = 3
"""Cases of a test that are no long tests."""

settings.register_profile("quick", max_examples=20, deadline=None, print_blob=True)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=100)
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


def mark_most_cases_slow(items: Sequence[pytest.Item]) -> None:
    """Mark the cases of each test slow, but for some, evenly spaced, of those that are not."""
    cases = defaultdict(list)
    for item in items:
        if not item.get_closest_marker("slow"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for found in cases.values():
        if len(found) > QUICK_CASES:
            kept = {round(i * (len(found) - 1) / (QUICK_CASES - 1)) for i in range(QUICK_CASES)}
            for number, item in enumerate(found):
                if number not in kept:
                    item.add_marker("slow")


@pytest.hookimpl(wrapper=True)  # around the folders' own conftest.py, and the choice of -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Leave out slow tests, and those that need a cluster, unless -m or the test's own name asks for them."""
    mark_most_cases_slow(items)
    yield
    apart = [mark for mark in APART if mark not in config.getoption("markexpr")]
    named = any("::" in argument for argument in config.args)
    if named or not apart:
        return
    kept, left_out = [], []
    for item in items:
        (left_out if any(item.get_closest_marker(mark) for mark in apart) else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
