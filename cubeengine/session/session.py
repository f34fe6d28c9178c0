"""The session: a run, and what a user tells about it, a step at a time.

It wraps an immutable `Run`. What changes is one thing, `Notes`: a frozen value that is replaced by a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import xarray as xr

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.field import Field
from cubeengine.events.given import given_column
from cubeengine.events.group import FieldGroup
from cubeengine.events.run import Run, attribute_hint
from cubeengine.events.selections import Node
from cubeengine.events.variables import check_variable_name
from cubeengine.planning.bind import chosen_events, with_declared
from cubeengine.planning.derive import add_derived
from cubeengine.planning.percentiles import with_numbers
from cubeengine.planning.warn_units import unit_words
from cubeengine.schema.calls import as_mapping, no_attribute, told_methods
from cubeengine.schema.texts import NAME, kind_of
from cubeengine.session.cubing import Cubing
from cubeengine.session.data import SessionData, new_variables
from cubeengine.session.keeping import Keeper
from cubeengine.session.looking import Looking
from cubeengine.session.notes import FRAGMENT, Notes, check_against
from cubeengine.session.place import run_spec
from cubeengine.session.recipes import as_derived, is_recipe
from cubeengine.session.saving import Opened, Saved, open_saved
from cubeengine.session.selecting import (
    CutFlow,
    mask_of,
    masks_as_variables,
    named_selection,
    selection_node,
    selection_of,
)
from cubeengine.session.show import greeting, replaced, summary_html, summary_text
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.selections import Cut

_LOG = logging.getLogger(__name__)

_CALLS = {
    "add": "as run.add('ratio', 'diode2__channels[3] / ipm2__sum') or "
    "run.add('delay', ce.DelayRecipe(nominal=..., timetool=...))",
    "declare": "as run.declare({'scan/lxt': 's'})",
    "select": "as run.select('bright', '`ipm2/sum` > 1')",
    **{name: f"as run.{name}({{'laser': 'on'}})" for name in ("mask", "cut_flow")},
}
"""How methods are called that are often called in another way."""


@told_methods("run", _CALLS)
class Session(Cubing, Looking):
    """A run to explore: fields, your own variables, selections, cubes.

    Made by `explore`. What is added, declared and selected is checked at once, and is saved when the session
    ends, and with `save`.

    Parameters
    ----------
    run : Run
        The run as opened.
    saved : "check", "accept", "recipes", "ignore", path, or None
        What is taken over from last time; see `explore`.

    Examples
    --------
    >>> import numpy as np
    >>> from cubeengine import MemorySource, Run
    >>> run = Session(Run(MemorySource({"diode": np.arange(4.0), "i0": np.full(4, 2.0)})))
    >>> run.add("ratio", "diode / i0")
    >>> run["ratio"].read().values
    array([0. , 0.5, 1. , 1.5])
    >>> run.select("bright", "ratio >= 1")
    >>> int(run.mask("bright").sum())
    2
    """

    def __init__(self, run: Run, *, saved: Saved | None = None) -> None:
        fresh = Notes(CubeSpec(cube=FRAGMENT, run=run_spec(run)).at(Path.cwd()))
        opened = Opened(fresh) if saved is None else open_saved(run, fresh, saved)
        self._opened = run
        self._data: SessionData | None = None
        self._keeper = Keeper(run, opened, unasked=saved is not None)
        self._base, self._run = _runs_of(run, opened.notes)
        if saved is not None:
            self._keeper.close_with(self)

    # What the run is -----------------------------------------------------------------------------------

    @property
    def run(self) -> Run:
        """The immutable run, with all that was added."""
        return self._run

    @property
    def notes(self) -> Notes:
        """What was told so far."""
        return self._keeper.notes

    def __getitem__(self, name: str) -> Field | FieldGroup:
        """Return a field, or a variable that was added; see `Run`, also for the errors."""
        if isinstance(name, str) and name in self.notes.spec.select and name not in self.fields:
            raise SpecError(
                f"{name!r} is a selection, no field: run.mask({name!r}) says which events it keeps, "
                f"run.cut_flow({name!r}) how many; run['ipm2/sum'][run.mask({name!r})] reads a field in these"
            )
        return super().__getitem__(name)

    def __getattr__(self, name: str) -> NoReturn:
        # A property that is there and failed comes here too: asked again, it raises its own error.
        if name.startswith("_") or hasattr(type(self), name):
            object.__getattribute__(self, name)
        hint = _instead(name) or attribute_hint(self.run, name)
        no_attribute("a session", name, [*dir(type(self)), *self.fields], hint)

    def __repr__(self) -> str:
        return summary_text(self)

    def _repr_html_(self) -> str:
        return summary_html(self)

    @property
    def greeting(self) -> str:
        """What the run is, what there is from last time, and what to try."""
        return greeting(self)

    # Variables -----------------------------------------------------------------------------------------

    def add(self, name: str, value: object, *, unit: str | None = None) -> None:
        """Add a variable, or give one that was added another value.

        Parameters
        ----------
        name : str
            Its name; `/` may stand in the name of an array, `__` means the same.
        value : str, recipe or array
            A formula of fields, ``"diode2__channels[3] / ipm2__sum"``; a recipe, as ``ce.DelayRecipe(...)``;
            or values for all events in time order, as ``run[field].read()`` gives them: (n_events, ...)
            numbers of any type and rank. They are copied. What is missing is NaN; of integers of a DataArray,
            what its boolean coordinate `valid` says, and of a masked array what is masked.
        unit : str, optional
            Its unit. Without, none is known: also of a variable of that name that had one before.

        Raises
        ------
        SpecError
            If the run has a field of that name, or the value does not fit the run: names the nearest fields.
        """
        if not isinstance(name, str):
            raise SpecError(f"run.add() takes the name first, not {kind_of(name)}; {_CALLS['add']}")
        full = check_variable_name(name)
        if full in self._opened.fields:
            raise SpecError(f"{full!r} is a field of {self._opened.label}; give your variable another name")
        if is_recipe(value):
            if "/" in full:
                raise SpecError(
                    f"{name!r}: the name of a derived variable cannot contain '/' or '__'; the "
                    "name of an array can"
                )
            notes = self.notes.without(full)
            notes = notes.with_spec(derive={**notes.spec.derive, full: as_derived(value)})
        else:
            column = given_column(self._opened, f"variable {full!r}", value)
            notes = self.notes.without(full).with_variable(full, column)
        if unit is not None:
            notes = notes.with_spec(units={**notes.spec.units, full: unit})
        self._become(notes)
        if full in notes.spec.derive:
            for message in unit_words(notes.spec, notes.spec.derive[full].expression or ""):
                _LOG.warning("%s: %s", name, message)

    def remove(self, name: str) -> None:
        """Remove a variable that was added.

        Raises
        ------
        FieldNotFound
            If none of that name was added.
        SpecError
            If others, or selections, are made of it.
        """
        full = check_variable_name(name)
        added = (*self.notes.variables, *self.notes.spec.derive)
        if full not in added:
            raise FieldNotFound(full, "the added variables", added)
        try:
            self._become(self.notes.without(full))
        except SpecError as err:
            raise SpecError(f"{full!r} is still used: {err}", err.problems) from err

    def declare(
        self,
        units: Mapping[str, str] | None = None,
        *,
        missing: Mapping[str, object] | None = None,
        laser: str | None = None,
        xray: str | None = None,
    ) -> None:
        """Declare what files do not say.

        Parameters
        ----------
        units : mapping of field to unit, optional
            E.g. ``{"scan/lxt": "s"}``; "" says that there is none.
        missing : mapping of field to number, "leading_zeros", or a list of these, optional
            What stands for missing values in a field: these numbers; zeros before the first other value. An
            empty list says that nothing does.
        laser, xray : str, optional
            What ``laser="on"`` and ``xray="on"`` mean: a field that is 1 or 0, or an expression.
        """
        units = as_mapping(units, "units", "{'scan/lxt': 's'}")
        missing = as_mapping(missing, "missing", "{'ipm2/sum': -99999}")
        spec, states = self.notes.spec, {"laser": laser, "xray": xray}
        told = {key: text for key, text in states.items() if text is not None}
        run = type(spec.run)(**{**spec.run.to_plain(), **told})
        self._become(
            self.notes.with_spec(
                units={**spec.units, **{self._known(name): unit for name, unit in units.items()}},
                missing={
                    **spec.missing,
                    **{self._known(name): marks for name, marks in missing.items()},
                },
                run=run,
            )
        )

    @property
    def data(self) -> SessionData:
        """What is in memory, as an xarray.Dataset; what is assigned to it is added.

        What is missing in it is NaN, so that arithmetic keeps it missing; see `Run.data`.
        ``run.data["x"] = ...``, ``run.data.assign(x=...)`` and ``run.data = run.data.assign(x=...)`` all add
        the variable; what is assigned to datasets made of it stays theirs.
        """
        if self._data is None:
            self._data = SessionData.of(self._run.data, self._take)
        return self._data

    @data.setter
    def data(self, dataset: xr.Dataset) -> None:
        self._take(new_variables(self.data, dataset))

    def _take(self, assigned: Mapping[str, xr.DataArray]) -> None:
        for name, array in assigned.items():
            self.add(name, array, unit=array.attrs.get("units") if "field" not in array.attrs else None)

    # Selections ----------------------------------------------------------------------------------------

    def select(self, name: str, *members: object, **parts: Any) -> None:
        """Define a selection, or define it anew.

        Parameters
        ----------
        name : str
            Its name.
        *members : str, dict, Cut, Selection or mask
            What must hold: an expression, a cut as ``{"field": "ipm2/sum", "min": 0.3}``, another selection,
            or booleans over the events, as ``run["ipm2/sum"] > 0.3``; a DataArray is aligned by its times.
            A mask becomes a variable, ``selected/<name>``, and is saved with the session.
        **parts
            As in a spec: `all`, `any`, `not_`, ``laser="on"``, ``xray="on"``, ``without=["tt/*"]``.

        Raises
        ------
        SpecError
            If it does not fit the run: names the nearest fields.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise SpecError(f"run.select() takes a name first, not {kind_of(name)}; {_CALLS['select']}")
        keys = Cut.keys()
        if cut := {key.rstrip("_"): value for key, value in parts.items() if key.rstrip("_") in keys}:
            raise SpecError(f"a cut is a condition of its own: run.select({name!r}, {cut!r})")
        (plain, others), columns = masks_as_variables(self._opened, name, (members, parts))
        chosen = selection_of(plain, others)
        notes = self.notes.without_masks(name)
        for variable, column in columns.items():
            notes = notes.with_variable(variable, column)
        self._become(notes.with_spec(select={**notes.spec.select, name: chosen}))

    def deselect(self, name: str) -> None:
        """Remove a selection.

        Raises
        ------
        SpecError
            If there is none of that name, or others are made of it.
        """
        select = self.notes.spec.select
        named_selection(self.notes.spec, name)
        kept = {other: selection for other, selection in select.items() if other != name}
        try:
            self._become(self.notes.with_spec(select=kept).without_masks(name))
        except SpecError as err:
            raise SpecError(f"selection {name!r} is still used: {err}", err.problems) from err

    def node(self, select: object = None) -> Node:
        """Return what a selection asks of events; see `selecting.selection_node`."""
        return with_numbers(self._run, selection_node(self.notes.spec, self._base, select))

    def mask(self, select: object = None) -> xr.DataArray:
        """Return which events a selection keeps, as booleans over `event`.

        Parameters
        ----------
        select : str, dict, list, Cut, Selection or mask; or None for all events
            The name of a selection, or an expression, a cut, or booleans over the events.
        """
        return mask_of(self._run, self.node(select))

    def cut_flow(self, select: object = None) -> CutFlow:
        """Count the events that each cut of a selection keeps: alone, and after those before it."""
        return CutFlow(self._run.cut_flow(self.node(select)))

    # Cubes ---------------------------------------------------------------------------------------------

    @property
    def spec(self) -> CubeSpec:
        """What was declared, added and selected, as a spec without a cube."""
        return self.notes.spec

    # Keeping -------------------------------------------------------------------------------------------

    def save(self, *, overwrite: bool = False) -> Path:
        """Save what was added, declared and selected, and the last cube's spec; it is there next time.

        Returns the file: beside the data, or in your own folder where that cannot be written to.

        Parameters
        ----------
        overwrite : bool
            Whether to take the place of a session that this one has not loaded, as another has saved it
            meanwhile, or this one began with ``saved="ignore"``. It is kept under another name.

        Raises
        ------
        StoreMismatch
            If such a session is there.
        StoreWriteError
            If it cannot be written; what was saved before is untouched.
        SpecError
            If the run is in memory only.
        """
        return self._keeper.save(overwrite=overwrite)

    def close(self) -> Path | None:
        """Save what is not saved yet, as at the end of the process.

        A session that this one has not loaded stays in its place; this one is then saved beside it, and a
        message says where. Returns the file; None where there was nothing to save.
        """
        return self._keeper.close()

    @property
    def is_saved(self) -> bool:
        """Whether nothing was told since the session was loaded or saved."""
        return self._keeper.is_saved

    @property
    def loaded_from(self) -> Path | None:
        """The file that was loaded; None where nothing was taken over."""
        return self._keeper.loaded_from

    @property
    def remarks(self) -> tuple[str, ...]:
        """What could not be taken over from last time, and why."""
        return self._keeper.remarks

    def _become(self, notes: Notes) -> None:
        """Check new notes against the run, and take them on."""
        before = self.notes
        base, run = _runs_of(self._opened, notes)
        if notes.extends(before):
            run.whole.share_computed(self._run.whole)
        for text in replaced(before, notes):
            _LOG.warning("replaced: %s", text)
        self._base, self._run, self._data, self._keeper.notes = base, run, None, notes

    def _known(self, name: str) -> str:
        """Return the name of a field as the run has it; one it does not have is told by the check."""
        return self.fields.resolve(name) if name in self.fields else name


def _instead(name: str) -> str:
    """Say what of a session is meant by a name that it does not have; "" if unknown."""
    if name in ("plot", "show"):
        return "pictures: run.hist, run.hist2d, run.trace, run.scan_plot, run.average_image, run.overview"
    return ""


def _runs_of(opened: Run, notes: Notes) -> tuple[Run, Run]:
    """Return the run with the arrays that were given, as a plan wants it, and with all that was added."""
    base = opened.with_columns(notes.variables)
    check_against(notes.spec, base)
    run, units = add_derived(with_declared(chosen_events(base, notes.spec), notes.spec), notes.spec)
    return base, run.with_units({name: unit for name, unit in units.items() if name in run.fields})
