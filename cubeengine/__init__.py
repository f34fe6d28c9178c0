"""cubeengine bins the event data of an X-ray free-electron laser into cubes.

The names below load what they need on first use, so that ``import cubeengine`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cubeengine import look
    from cubeengine.api import Plan, open_run, open_spec, plan
    from cubeengine.combine.merge import merge_cubes
    from cubeengine.combine.rebin import rebin_cube
    from cubeengine.errors import (
        BudgetExceeded,
        CubeEngineError,
        FieldNotFound,
        LaunchError,
        MissingExtra,
        PlanError,
        SourceFormatError,
        SpecError,
        StoreMismatch,
    )
    from cubeengine.events.run import Run
    from cubeengine.picking.api import PickPlan, pick
    from cubeengine.picking.spec import Pick, PickSpec
    from cubeengine.plots import describe_cube, plot_cube
    from cubeengine.progress import ProgressBar
    from cubeengine.session.explore import explore
    from cubeengine.session.session import Session
    from cubeengine.sources.memory import MemorySource
    from cubeengine.spec.axes import Axis
    from cubeengine.spec.delays import DelayOffer, delay_recipes
    from cubeengine.spec.derived import DelayRecipe, Derived, Neighbours, Running, Shift
    from cubeengine.spec.model import CubeSpec, Resources, RunSpec, Signal
    from cubeengine.spec.selections import Cut, Selection
    from cubeengine.spec.timetool import TimeTool, timetool_fields
    from cubeengine.store.read import cube_facts, cube_hash, is_cube, open_cube, sem

__version__ = "0.1.0"

_HOMES = {
    "api": ("Plan", "open_run", "open_spec", "plan"),
    "combine.merge": ("merge_cubes",),
    "combine.rebin": ("rebin_cube",),
    "errors": (
        "BudgetExceeded", "CubeEngineError", "FieldNotFound", "LaunchError", "MissingExtra", "PlanError",
        "SourceFormatError", "SpecError", "StoreMismatch",
    ),
    "events.run": ("Run",),
    "pedestals": ("NotDark", "Pedestal", "pedestal"),
    "picking.api": ("PickPlan", "pick"),
    "picking.spec": ("Pick", "PickSpec"),
    "plots": ("describe_cube", "plot_cube"),
    "session.explore": ("explore",),
    "session.session": ("Session",),
    "progress": ("ProgressBar",),
    "sources.memory": ("MemorySource",),
    "spec.axes": ("Axis",),
    "spec.delays": ("DelayOffer", "delay_recipes"),
    "spec.derived": ("DelayRecipe", "Derived", "Neighbours", "Running", "Shift"),
    "spec.model": ("CubeSpec", "Resources", "RunSpec", "Signal"),
    "spec.selections": ("Cut", "Selection"),
    "spec.timetool": ("TimeTool", "timetool_fields"),
    "store.read": ("cube_facts", "cube_hash", "is_cube", "open_cube", "sem"),
}  # fmt: skip
_PACKAGES = ("look",)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Axis", "BudgetExceeded", "CubeEngineError", "CubeSpec", "Cut", "DelayOffer", "DelayRecipe",
    "Derived", "FieldNotFound", "LaunchError", "MemorySource", "MissingExtra", "Neighbours", "NotDark",
    "Pedestal", "Pick", "PickPlan", "PickSpec", "Plan", "PlanError", "ProgressBar", "Resources", "Run",
    "RunSpec", "Running", "Selection", "Session", "Shift", "Signal", "SourceFormatError", "SpecError",
    "StoreMismatch", "TimeTool", "__version__", "cube_facts", "cube_hash", "delay_recipes", "describe_cube",
    "explore", "is_cube", "look", "merge_cubes", "open_cube", "open_run", "open_spec", "pedestal", "pick",
    "plan", "plot_cube", "rebin_cube", "sem", "timetool_fields",
]  # fmt: skip


_DRAWN = "draw a cube with ce.plot_cube('x.zarr'), describe it with ce.describe_cube('x.zarr')"
_OPENED = "ce.open_run opens a run, ce.open_cube a cube, ce.open_spec a spec and its run"
_MEANT = {
    **dict.fromkeys(("view", "plot", "show"), _DRAWN),
    **dict.fromkeys(("open", "load", "read", "DataSource"), _OPENED),
    **dict.fromkeys(
        ("load_spec", "read_spec"), "ce.open_spec opens a spec and its run, ce.CubeSpec.load a spec"
    ),
    "run": "spec, run = ce.open_spec('delay.yaml'); ce.plan(run, spec).to_zarr('delay.zarr') makes a cube",
    "merge": "merge cubes with ce.merge_cubes(['a.zarr', 'b.zarr'], 'both.zarr')",
    "rebin": "join bins with ce.rebin_cube('x.zarr', 'coarse.zarr', by={'delay': 2})",
    "SmallDataAna": "from cubeengine.compat import SmallDataAna",
}
"""What is written first, and what to write instead."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"cubeengine.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        if name.startswith("__"):
            raise AttributeError(name)
        from cubeengine.schema.calls import no_attribute

        no_attribute("module 'cubeengine'", name, __all__, _MEANT.get(name, ""))
    return getattr(import_module(f"cubeengine.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
