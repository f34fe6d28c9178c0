"""Fixtures: a run as the maker writes it, and the facade on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cubeengine.compat import SmallDataAna
from tests.compat.files import open_ana, write_run
from tests.makers.smalldata import Truth


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    return write_run(tmp_path)


@pytest.fixture
def ana(truth: Truth) -> SmallDataAna:
    return open_ana(truth)
