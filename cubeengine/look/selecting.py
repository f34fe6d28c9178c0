"""Which events are looked at: selections in whatever form, for a run or a session, as trees of cuts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events import states
from cubeengine.events.conditions import condition_fields
from cubeengine.events.expressions import Expression
from cubeengine.events.given import Array, given_mask, is_mask
from cubeengine.events.opening import HasRun, as_source
from cubeengine.events.run import Run
from cubeengine.events.selections import Combine, Given, Node, describe, leaves, needed_fields
from cubeengine.events.selections import Cut as ResolvedCut
from cubeengine.events.window import Window
from cubeengine.planning.percentiles import with_numbers
from cubeengine.schema.calls import told
from cubeengine.spec.model import CubeSpec, RunSpec
from cubeengine.spec.resolve import resolve_selection
from cubeengine.spec.selections import Cut, Selection
from cubeengine.spec.shots import LASER, XRAY, laser_shots, xray_shots
from cubeengine.types import BoolArray

ALL_EVENTS = "all events"
_NAME = "selected"

_BRACKETED = re.compile(r"(^|[<>=] )\((-[0-9.e+-]+)\)(?= [<>=]|, |\)|$)")
"""A negative number at a comparison, which needs no brackets to be read."""


Select: TypeAlias = str | Cut | Selection | Mapping[str, Any] | Sequence[Any] | Node | Array | None
"""Which events: all (None), an expression, a cut or selection (as the class, or as it stands in YAML), a mask
(booleans over the events of the run; a DataArray is aligned by its times), a list of these, or what these
were resolved to."""


RunLike: TypeAlias = Run | HasRun
"""A run, or what holds one."""


P = ParamSpec("P")
R = TypeVar("R")


def looks(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function of this package: its run may be a path, and a wrong call is `told`."""
    checked = told(f"ce.look.{function.__name__}")(function)

    @wraps(function)
    def opening(*args: P.args, **kwargs: P.kwargs) -> R:
        given: tuple[Any, ...] = (as_source(args[0]), *args[1:]) if args else args
        return checked(*given, **kwargs)

    return opening


def run_of(source: RunLike) -> Run:
    """Return the run."""
    return source if isinstance(source, Run) else source.run


def node_of(source: RunLike, select: Select) -> Node | None:
    """Resolve a selection; None stays None, for all events.

    Raises
    ------
    SpecError
        If it cannot be resolved.
    FieldNotFound
        If it asks for a field that the run does not have.
    """
    if select is None:
        return None
    run = run_of(source)
    if isinstance(select, ResolvedCut | Combine):
        node: Node = select
    elif isinstance(source, Run):
        node = with_masks(run, select, partial(_resolved, run))
    else:
        node = source.node(select)
    for cut in leaves(node):
        if isinstance(cut.condition, Expression):
            run.fields.infos(cut.condition)
        for name in condition_fields(cut.condition):
            run.fields.resolve(name)
    for name in sorted(needed_fields(node)):
        run.fields.resolve(name)
    return with_numbers(run, node)


def with_masks(run: Run, select: object, resolve: Callable[[Any], Node]) -> Node:
    """Resolve a selection that may be a mask, or a list with masks in it; `resolve` does all else.

    Raises
    ------
    SpecError
        If a mask does not fit the run.
    """
    if is_mask(select):
        return ResolvedCut("", Given.of(given_mask(run, select)))
    if isinstance(select, list | tuple) and any(map(is_mask, select)):
        return Combine("all", tuple(with_masks(run, part, resolve) for part in select))
    return resolve(select)


def _resolved(run: Run, select: Any) -> Node:
    """Resolve a selection that refers to no other, with the units that the run declares."""
    units = {name: unit for name in run.fields if (unit := run.fields.unit(name)) is not None}
    spec = CubeSpec(cube="look", units=units, select={_NAME: select})
    told = {what: text(run) for what, text in _TEXTS.items() if _asks(spec.select[_NAME], what)}
    return _only(resolve_selection(spec.model_copy(update={"run": RunSpec(**told)}), _NAME))


def _asks(selection: Selection, what: str) -> bool:
    """Return whether a selection asks for the state of the laser, or of the X-rays, somewhere in it."""
    inner = [member for _, members in selection.parts for member in members if isinstance(member, Selection)]
    return getattr(selection, what) is not None or any(_asks(member, what) for member in inner)


def _laser_text(run: Run) -> str:
    return LASER if LASER in run.fields else laser_shots(run).text or LASER


def _xray_text(run: Run) -> str:
    return XRAY if XRAY in run.fields else xray_shots(run).text or XRAY


_TEXTS = {"laser": _laser_text, "xray": _xray_text}
"""What tells the state of laser and X-rays: a field or an expression; the usual field if nothing does."""


def states_of(source: RunLike, what: Literal["laser", "xray"]) -> tuple[Node, Node] | None:
    """Return what keeps events with the laser, or the X-rays, surely on, and surely off.

    Returns
    -------
    (on, off), or None
        None where the run does not say.
    """
    try:
        on, off = (node_of(source, {what: state}) for state in ("on", "off"))
    except (SpecError, FieldNotFound):  # what would tell is not in the run
        return None
    return None if on is None or off is None else (on, off)


def _only(node: Node) -> Node:
    """Return a selection of one part as that part, so that it is named by what it asks."""
    if isinstance(node, Combine) and node.how == "all":
        return _only(node.parts[0]) if len(node.parts) == 1 else Combine("all", node.parts)
    return node


def words(node: Node | None) -> str:
    """Say what a selection asks for: its name, or its conditions."""
    if node is None:
        return ALL_EVENTS
    if isinstance(node, Combine) and node.how == "all" and not node.label:
        return " and ".join(map(words, node.parts)) or ALL_EVENTS
    return _BRACKETED.sub(r"\1\2", describe(node).replace("`", ""))


def origin(run: Run, node: Node | None) -> dict[str, Any]:
    """Return where data come from, as attributes: run and selection."""
    return {"run": str(run.run_id or run.label), "selection": words(node)}


def kept_events(window: Window, node: Node | None) -> BoolArray:
    """Tell which events of a window a selection keeps."""
    if node is None:
        return np.ones(window.n_events, bool)
    kept: BoolArray = window.states(node) == states.TRUE
    return kept
