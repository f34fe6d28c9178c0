"""The examples in docstrings of the session run."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from cubeengine.events import variables
from cubeengine.session import recipes, session


@pytest.mark.parametrize("module", [variables, recipes, session], ids=lambda module: module.__name__)
def test_examples_run(module: ModuleType) -> None:
    found = doctest.testmod(module)

    assert found.attempted > 0
    assert found.failed == 0
