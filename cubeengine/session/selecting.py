"""Selections as a user gives them in a session: named ones, and whatever may stand in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.errors import SpecError, nearest_names
from cubeengine.events import states
from cubeengine.events.field import event_coords
from cubeengine.events.given import given_mask, is_mask
from cubeengine.events.run import Run
from cubeengine.events.selections import CutRow, Node
from cubeengine.events.table import html_table, text_table
from cubeengine.events.variables import check_variable_name
from cubeengine.look.selecting import with_masks
from cubeengine.schema.texts import NAME, variable_name
from cubeengine.session.notes import MASKS, changed_spec, check_against
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import ALL_EVENTS, resolve_selection
from cubeengine.spec.selections import Selection
from cubeengine.types import Column

GIVEN = "given"
"""Name of a selection that has none, in cut flows."""


def selection_of(members: Sequence[object], parts: dict[str, Any]) -> Selection:
    """Make a selection of what was given beside its name: members that must all hold, and other parts.

    Raises
    ------
    SpecError
        With everything that is wrong with them.
    """
    if len(members) == 1 and isinstance(members[0], Selection) and not parts:
        return members[0]
    together = [
        member for given in members for member in (given if isinstance(given, list | tuple) else [given])
    ]
    return Selection(**{**parts, "all": [*together, *parts.get("all", ())]})


def selection_node(spec: CubeSpec, run: Run, select: object) -> Node:
    """Return what a selection asks of events.

    Parameters
    ----------
    spec : CubeSpec
        With the named selections.
    run : Run
        The run as opened, with the arrays that were given.
    select : None, str, dict, Cut, Selection, mask, or a list of these
        None and "all" keep all events. A text is the name of a selection, or an expression. A mask are
        booleans over the events; see `events.given`.

    Raises
    ------
    SpecError
        If there is no such selection, naming the nearest, or it does not fit the run.
    """
    return with_masks(run, select, partial(_resolved, spec, run))


def _resolved(spec: CubeSpec, run: Run, select: object) -> Node:
    if select is None:
        return resolve_selection(CubeSpec(cube=GIVEN), ALL_EVENTS)
    if isinstance(select, str) and select not in spec.select:
        check_condition(run, select)
    if isinstance(select, str) and NAME.fullmatch(select):
        return resolve_selection(spec, named_selection(spec, select))
    name = next(name for name in _free_names() if name not in spec.select)
    whole = changed_spec(spec, select={**spec.select, name: selection_of([select], {})})
    check_against(whole, run)
    return resolve_selection(whole, name)


def check_condition(run: Run, text: str) -> None:
    """Raise SpecError where a text that stands for a selection is a field, or a state of the beam."""
    if text in ("laser", "xray"):
        raise SpecError(f"{text!r} is on or off: write {{{text!r}: 'on'}}")
    if text in run.fields:
        flag = run.fields[text].dtype.kind == "b"
        condition = f"write '`{text}`'" if flag else f"compare it: '{variable_name(text)} > 0.4'"
        raise SpecError(f"{text!r} is a field, not a condition; {condition}")


def _free_names() -> Iterator[str]:
    yield GIVEN
    yield from (f"{GIVEN}-{number}" for number in range(2, 10_000))


def masks_as_variables(run: Run, name: str, given: Any) -> tuple[Any, dict[str, Column]]:
    """Return what makes a selection with expressions in place of its masks, and the masks as variables.

    Parameters
    ----------
    run : Run
        The run that masks are for.
    name : str
        Name of the selection.
    given : any
        A part of the selection, or a list or dict of parts.

    Raises
    ------
    SpecError
        If a mask does not fit the run.
    """
    columns: dict[str, Column] = {}

    def plain(part: Any) -> Any:
        if is_mask(part):
            variable = check_variable_name(f"{MASKS}{name}{f'.{len(columns) + 1}' if columns else ''}")
            columns[variable] = given_mask(run, part)
            return f"`{variable}`"
        if isinstance(part, dict):
            return {key: [plain(item)] if is_mask(item) else plain(item) for key, item in part.items()}
        return [plain(item) for item in part] if isinstance(part, list | tuple) else part

    return plain(given), columns


def named_selections(spec: CubeSpec, select: object) -> list[str]:
    """Return the names of the selections that a cube is asked for: one, or a list.

    Raises
    ------
    SpecError
        If there is no such selection; for what is no name, with how to give it one.
    """
    if select is None:
        return []
    asked = [select] if is_mask(select) or not isinstance(select, list | tuple) else select
    names = [name for name in asked if isinstance(name, str)]
    if len(names) < len(asked):
        raise SpecError(
            "a cube needs named selections, which go into its spec: name one with run.select('mine', ...), "
            "then bin it with run.cube(..., select='mine')"
        )
    return [named_selection(spec, name) for name in names]


def named_selection(spec: CubeSpec, name: str) -> str:
    """Return the name if there is such a selection.

    Raises
    ------
    SpecError
        Naming the nearest ones, or how to make one.
    """
    if name in spec.select or name == ALL_EVENTS:
        return name
    near = nearest_names(name, tuple(spec.select))
    hint = f"nearest: {', '.join(map(repr, near))}" if near else f"known: {', '.join(map(repr, spec.select))}"
    hint = hint if spec.select else f"define it, e.g. run.select({name!r}, laser='on')"
    if NAME.fullmatch(name) is None:
        hint = f"give the expression a name first: run.select('mine', {name!r})"
    raise SpecError(f"there is no selection {name!r}; {hint}")


def mask_of(run: Run, node: Node) -> xr.DataArray:
    """Return which events a selection keeps: those of which it is certainly true."""
    kept = np.asarray(run.states(node) == states.TRUE)
    return xr.DataArray(kept, dims="event", coords=event_coords(run), name="selected")


class CutFlow(tuple[CutRow, ...]):
    """The lines of a cut flow; a table when shown."""

    __slots__ = ()
    _header = ("cut", "alone", "after", "kept")

    def _rows(self) -> list[tuple[str, ...]]:
        before = [row.after for row in self[:1]] + [row.after for row in self[:-1]]
        return [
            (row.label, f"{row.alone:,}", f"{row.after:,}", f"{row.after / was:.1%}" if was else "")
            for row, was in zip(self, before, strict=True)
        ]

    def __repr__(self) -> str:
        return text_table(self._header, self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._header, self._rows())
