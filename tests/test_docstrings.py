"""The examples in docstrings run, beside the demonstration run and its cube; what users call has one."""

from __future__ import annotations

import doctest
import inspect
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine import demo
from cubeengine.compat import SmallDataAnaWarning

PACKAGE = Path(ce.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text() and path.parent.name != "look"  # tests/look runs those, with a run at hand
)
FUNCTIONS = [name for name in ce.__all__ if inspect.isfunction(getattr(ce, name))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as users have it after `cubeengine demo` and `cubeengine run -o delay.zarr`."""
    folder = tmp_path_factory.mktemp("examples")
    home = folder / "cubeengine-demo"
    demo.write_run(home, n_events=1500)
    demo.write_dark_run(home / demo.DARK_FOLDER)
    spec, run = ce.open_spec(demo.write_spec(home))
    ce.plan(run, spec).to_zarr(folder / "delay.zarr")
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    module = import_module(name)
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallDataAnaWarning)  # it says where it differs
        for example in finder.find(module, globs={**vars(module), "np": np, "ce": ce}):
            runner.run(example)

    assert runner.tries > 0
    assert runner.failures == 0


def test_no_example_is_left_out() -> None:
    assert [path.name for path in PACKAGE.rglob("*.py") if "doctest: +SKIP" in path.read_text()] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_users_call_has_an_example(name: str) -> None:
    assert "Examples\n--------\n>>>" in (inspect.getdoc(getattr(ce, name)) or "")
