"""The examples in the docstrings of this package run, and there is one for each public function."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest

import cubeengine as ce
from cubeengine import look
from cubeengine.events.run import Run

MODULES = [f"cubeengine.look.{module.name}" for module in iter_modules(look.__path__)]
FUNCTIONS = [name for name in look.__all__ if inspect.isfunction(getattr(look, name))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, demo_run: Run, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    monkeypatch.chdir(demo_folder)
    module = import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    given = {**vars(module), "look": look, "run": demo_run, "np": np, "ce": ce}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in finder.find(module, globs=given):
        runner.run(example)

    assert runner.failures == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_have_an_example_and_say_what_they_take(name: str) -> None:
    function = getattr(look, name)
    text = inspect.getdoc(function) or ""

    assert "Examples\n--------\n>>>" in text
    assert "Returns\n-------" in text
    sections = text.partition("Parameters\n----------")[2].partition("\n\n")[0]
    for parameter in inspect.signature(function).parameters:
        assert parameter in sections or "Parameters" not in text, parameter


def test_look_is_had_from_the_root() -> None:
    assert ce.look is look
