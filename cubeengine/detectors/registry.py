"""The stages by name. For one of your own: subclass `Options`, and `register` it before the spec is read."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TypeVar

from cubeengine.detectors.base import Options
from cubeengine.errors import SpecError, nearest_names

_BUILT_IN = {
    "calibrate": "calibrate",
    "threshold": "threshold",
    "mask": "mask",
    "roi": "roi",
    "rebin": "rebin",
    "project": "project",
    "sum": "total",
    "assemble": "assemble",
    "azav": "azav",
}
"""Name in a spec -> module of this package, imported on first use; each has a class `StageOptions`."""

_registered: dict[str, type[Options]] = {}  # filled by `register` alone

AnyOptions = TypeVar("AnyOptions", bound=type[Options])


def register(options: AnyOptions) -> AnyOptions:
    """Make a stage known under `options.name`; also usable as a decorator of the class.

    Raises
    ------
    SpecError
        If it has no name, or a name that is taken.
    """
    if not options.name.isidentifier():
        raise SpecError(
            f"stage {options.__name__}: {options.name!r} is not a valid name for a stage; use letters and _"
        )
    if options.name in _BUILT_IN or _registered.get(options.name, options) is not options:
        raise SpecError(f"stage {options.name!r} already exists; give your stage another name")
    _registered[options.name] = options
    return options


def stage_names() -> tuple[str, ...]:
    """Return the names of all stages."""
    return (*_BUILT_IN, *_registered)


def stage_options(name: str) -> type[Options]:
    """Return the class that reads the options of a stage.

    Raises
    ------
    SpecError
        If there is no such stage; names the nearest ones.
    """
    if name in _registered:
        return _registered[name]
    if name not in _BUILT_IN:
        near = nearest_names(name, stage_names())
        hint = f"nearest: {', '.join(map(repr, near))}" if near else f"known: {', '.join(stage_names())}"
        if name == "mean":
            hint = "write  {sum: {how: mean}}  for the mean of a frame's elements"
        raise SpecError(f"there is no stage {name!r}; {hint}")
    return _built_in(name)


@cache
def _built_in(name: str) -> type[Options]:
    options: type[Options] = import_module(f"cubeengine.detectors.{_BUILT_IN[name]}").StageOptions
    return options
