"""Selections made of open intervals, under the original's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.compat.fields import Fields, Filter
from cubeengine.compat.printing import show
from cubeengine.compat.reduced import VariableName, open_interval, read_region
from cubeengine.compat.writing import note_replaced
from cubeengine.errors import FieldNotFound, SpecError, nearest_names
from cubeengine.schema.texts import check_name
from cubeengine.spec.resolve import ALL_EVENTS
from cubeengine.spec.selections import Selection
from cubeengine.types import BoolArray

LASER = "lightStatus/laser"
NEEDS_LASER = (LASER, "enc/lasDelay", "enc/lasDelay2", "ttCorr/*", "tt/*", "delay")
"""Fields that mean nothing while the laser is off; the original knows all but `enc/lasDelay2`, `delay` and
the rest of `tt/`."""
ORIGINAL_IGNORES = (LASER, "enc/lasDelay", "ttCorr/tt", "tt/ttCorr", "tt/*AMPL", "tt/*FLTPOS*")

State: TypeAlias = Literal["on", "off"] | None


@dataclass(frozen=True, slots=True)
class OpenCut:
    """low < variable < high.

    Attributes
    ----------
    field : str
        The field that is cut on.
    text : str
        The variable as an expression, one number per event.
    low, high : float
        The limits; values equal to them are out.
    """

    field: str
    text: str
    low: float
    high: float

    @property
    def expression(self) -> str:
        """The cut as a spec has it."""
        return open_interval(self.text, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a selection: a cut put in, one taken out, or another selection put in.

    A selection is the list of its changes, done again whenever it is used: so it follows the selections
    in it.
    """

    kind: Literal["cut", "remove", "include"]
    name: str
    cut: OpenCut | None = None


@dataclass(frozen=True, slots=True)
class NamedCuts:
    """The cuts of a selection, as `Sels` shows them.

    Attributes
    ----------
    found : tuple of OpenCut
        All of them must hold.
    """

    found: tuple[OpenCut, ...]

    @property
    def cuts(self) -> list[list[str | float]]:
        """[variable, low, high] of every cut."""
        return [[cut.field, cut.low, cut.high] for cut in self.found]


Changes: TypeAlias = "Mapping[str, tuple[Change, ...]]"


def cuts_of(changes: Changes, name: str) -> tuple[OpenCut, ...]:
    """Return the cuts of a selection: its changes in order. A cut replaces that on the same field."""
    cuts: list[OpenCut] = []
    for change in changes[name]:
        if change.kind == "include":
            cuts += cuts_of(changes, change.name)
            continue
        cuts = [cut for cut in cuts if cut.field != change.name]
        if change.cut is not None:
            cuts.append(change.cut)
    return tuple(dict.fromkeys(cuts))


def cut_lines(cuts: Sequence[OpenCut]) -> Iterator[str]:
    """Yield a line for each cut."""
    for number, cut in enumerate(cuts):
        yield f"Cut {number}: {cut.low:g} < {cut.field} < {cut.high:g}"


def contains(changes: Changes, name: str) -> frozenset[str]:
    """Return the names of the selections in a selection, itself included."""
    inner = [change.name for change in changes.get(name, ()) if change.kind == "include"]
    return frozenset({name}).union(*(contains(changes, one) for one in inner))


def read_state(name: str) -> tuple[str, State]:
    """Split `name__on` and `name__off`.

    Examples
    --------
    >>> read_state("good__off")
    ('good', 'off')
    """
    base, _, state = name.partition("__")
    known: Mapping[str, State] = {"on": "on", "off": "off"}
    return base, known.get(state.lower())


def matches(field: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a field is one of those that patterns name."""
    return any(fnmatchcase(field, pattern) for pattern in patterns)


class Cuts(Fields):
    """Selections; see `Fields` for how a run is opened."""

    _changes: Changes = MappingProxyType({})

    @property
    def Sels(self) -> Mapping[str, NamedCuts]:
        """Name -> cuts of every selection."""
        return {name: NamedCuts(cuts_of(self._changes, name)) for name in self._changes}

    def addCut(
        self, varName: VariableName, varmin: float = 0, varmax: float = 0, useFilter: str | None = None
    ) -> None:
        """Add a cut to a selection: varmin < variable < varmax; or, without limits, another selection.

        A cut takes the place of an earlier one on the same variable. A variable with several values per
        event is cut on their sum.

        Parameters
        ----------
        varName : str, or [str, region]
            Variable; or the name of a selection, where there are no limits.
        varmin, varmax : float
            Open interval: values equal to a limit are out, as are NaN and missing ones.
        useFilter : str
            The selection, which is made if there is none of this name.

        Raises
        ------
        SpecError
            If no selection is named, or a selection would contain itself.
        FieldNotFound
            If there is no such variable.
        """
        if not useFilter:
            raise SpecError("addCut needs the name of the selection: useFilter='good'")
        if "__" in useFilter:
            raise SpecError(
                f"{useFilter!r} is not a valid selection name: '__' separates the name from the laser state"
            )
        check_name(useFilter)
        if varmin == varmax:
            self._change(useFilter, Change("include", self._included(varName, useFilter)))
            return
        field = read_region(varName).field
        cut = OpenCut(field, self._text(varName), float(varmin), float(varmax))
        _ = cut.expression  # which says what is wrong with the limits
        self._change(useFilter, Change("cut", field, cut))

    def removeCut(self, varName: str, useFilter: str) -> None:
        """Take the cut on a variable out of a selection."""
        self._known(useFilter)
        self._change(useFilter, Change("remove", read_region(varName).field))

    def _included(self, name: VariableName, into: str) -> str:
        if not isinstance(name, str):
            raise SpecError(
                f"{name!r} is not a selection; a cut on a field of this name needs two different limits"
            )
        if name not in self._changes and name in self._table():
            raise SpecError(f"the cut on {name!r} has equal limits, so it would keep no event")
        if into in contains(self._changes, self._known(name)):
            raise SpecError(f"selection {into!r} would contain itself")
        return name

    def _change(self, name: str, change: Change) -> None:
        for other in self._changes:
            if other != name and name in contains(self._changes, other):
                self._teller.tell("follows", name=other, changed=name)
        changes = (*self._changes.get(name, ()), change)
        self._changes = MappingProxyType({**self._changes, name: changes})

    def _known(self, name: str) -> str:
        if name not in self._changes:
            near = nearest_names(name, tuple(self._changes))
            hint = f"; nearest: {', '.join(map(repr, near))}" if near else "; make it with addCut"
            raise SpecError(f"there is no selection {name!r}{hint}")
        return name

    # -- masks ------------------------------------------------------------------------------------

    def getFilter(
        self, useFilter: str | None = None, ignoreVar: Sequence[str] = (), *, debug: bool = False
    ) -> BoolArray:
        """Return the events that a selection keeps.

        Parameters
        ----------
        useFilter : str, optional
            A selection; with `__on` or `__off` those with the laser surely on, or surely off, where cuts
            that need the laser are left out. All events by default.
        ignoreVar : sequence of str
            Variables whose cuts are left out, in this call only.
        debug : bool
            Whether to print what each cut keeps.

        Returns
        -------
        (n_events,) bool
        """
        selection = self._selection(useFilter or "", tuple(ignoreVar))
        if debug:
            show([repr(self.session.cut_flow(selection))])
        mask: BoolArray = self.session.mask(selection).to_numpy()
        return mask

    def getFilterLaser(self, useFilter: str, ignoreVar: Sequence[str] = ()) -> list[BoolArray]:
        """Return the events that a selection keeps with the laser on, and with the laser off."""
        base, _ = read_state(useFilter)
        return [self.getFilter(f"{base}__{state}", ignoreVar) for state in ("on", "off")]

    def _selection(self, name: str, ignored: tuple[str, ...] = (), state: State = None) -> Selection:
        """Return a selection as a spec has it.

        Parameters
        ----------
        name : str
            Of the selection, perhaps with `__on` or `__off`; "" for all events.
        ignored : tuple of str
            Variables whose cuts are left out.
        state : "on" or "off", optional
            Takes the place of what the name says.
        """
        base, named = read_state(name)
        state = state or named
        cuts = list(cuts_of(self._changes, self._known(base))) if base else []
        kept = [cut for cut in cuts if cut.field not in ignored]
        if state == "off":
            self._tell_ignored(base, kept)
            kept = [cut for cut in kept if not matches(cut.field, NEEDS_LASER)]
        if state is not None and not self._knows_laser:
            raise FieldNotFound(LASER, self._run.label, tuple(self._run.fields), hint=f"{name!r} needs it")
        return Selection(all=[cut.expression for cut in kept], laser=state)

    def _selected(self, name: str, state: State = None) -> str:
        """Have a selection in the session, and give its name there; see `_selection`."""
        base, named = read_state(name)
        state = state or named
        if not base and state is None:
            return ALL_EVENTS
        own = f"{base or ALL_EVENTS}{'' if state is None else f'__{state}'}"
        self.session.select(own, self._selection(name, state=state))
        return own

    @property
    def _knows_laser(self) -> bool:
        """Whether the run tells when the laser is on: by its field, or by event codes."""
        return LASER in self._run.fields or self.session.spec.run.laser != LASER

    def _tell_ignored(self, name: str, cuts: list[OpenCut]) -> None:
        ours = {cut.field for cut in cuts if matches(cut.field, NEEDS_LASER)}
        more = sorted(field for field in ours if not matches(field, ORIGINAL_IGNORES))
        if more:
            self._teller.tell("off-ignores", name=name, fields=", ".join(more))

    def _mask(self, wanted: Filter) -> BoolArray:
        return self.getFilter(wanted) if isinstance(wanted, str) else super()._mask(wanted)

    # -- listings ---------------------------------------------------------------------------------

    def printSelections(self, selName: str | None = None, brief: bool = True) -> None:
        """Print the selections; with a name, or with `brief` False, their cuts and how many events pass."""
        show(self._described(selName, brief))

    def printCuts(self, selName: str | None = None, brief: bool = True) -> None:
        """Do the same as `printSelections`."""
        self.printSelections(selName, brief)

    def _described(self, name: str | None, brief: bool) -> Iterator[str]:
        for one in self._changes if name is None else (self._known(name),):
            if name is None:
                yield one
            if name is not None or not brief:
                yield from cut_lines(cuts_of(self._changes, one))
                kept = self.getFilter(one)
                yield f"of {len(kept)} events {kept.sum()} pass filter"

    def saveFilter(
        self,
        baseName: str = "boolArray",
        useFilter: str | None = None,
        ignoreVar: Sequence[str] = (),
    ) -> None:
        """Write the events that a selection keeps, 1 or 0 per line, to `<baseName>_Run<run>.txt`."""
        kept = self.getFilter(useFilter, ignoreVar)
        note_replaced(file := Path(f"{baseName}_{self.runLabel}.txt"))
        np.savetxt(file, kept.astype(bool), fmt="%5i")

    def getSelIdx(self, useFilter: str | None = None) -> list[tuple[int, ...]]:
        """Return (fiducial, time) of the events that a selection keeps; of LCLS-II, (timestamp,) alone."""
        columns = self._addresses(self.getFilter(useFilter))
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def _addresses(self, events: NDArray[np.generic]) -> tuple[NDArray[np.generic], ...]:
        """Return what the facility addresses events by: fiducial and packed time, or that time alone."""
        packed = self._run.timestamps[events].astype(np.int64)
        field = next((name for name in ("fiducials", "EvtID/fid") if name in self._run.fields), None)
        return (packed,) if field is None else (self._run.column(field).data[events], packed)
