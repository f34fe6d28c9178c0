"""What is asked, bound to a run: the raw frames of a detector, the events that should be dark."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from cubeengine.detectors.base import Context, Frame
from cubeengine.detectors.constants import open_constants
from cubeengine.detectors.kinds import KINDS, Kind, kind_named
from cubeengine.detectors.panels import Panels, panels_of
from cubeengine.errors import SpecError, nearest_names
from cubeengine.events import states
from cubeengine.events.given import Array, is_mask, masked_events
from cubeengine.events.run import Run
from cubeengine.pedestals.dark import check_names
from cubeengine.pedestals.limits import Limits
from cubeengine.pedestals.merging import Others, read_others
from cubeengine.pedestals.slots import Slots, slots_of
from cubeengine.planning.percentiles import with_numbers
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import resolve_selection
from cubeengine.spec.selections import Cut, Selection
from cubeengine.types import BoolArray, DetectorInfo, IntArray

Select: TypeAlias = str | Mapping[str, Any] | Sequence[Any] | Cut | Selection | Array | None
"""An expression, what a spec has under `select`, or booleans over the events; None for all events."""

FEWEST_FOR_MEDIAN = 16
"""Values of a pixel in a gain range that a window around their median needs."""

RAW = "/raw/raw"
"""Ends the name of the field with the raw frames of a detector."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How values become constants."""

    clip: float  # values farther than so many standard deviations from the median are rejected
    fewest: int  # values that a pixel needs in a gain range
    limits: Limits  # what a good pixel is
    accepted: frozenset[str]  # checks of dark events that are passed over

    def __post_init__(self) -> None:
        if not 3 <= self.clip <= 20:
            raise SpecError(f"clip must be 3 to 20 standard deviations, got {self.clip:g}")
        if self.fewest < FEWEST_FOR_MEDIAN:
            raise SpecError(
                f"a pixel needs at least {FEWEST_FOR_MEDIAN} values to recognise outliers, got {self.fewest}"
            )
        check_names(self.accepted)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked of a run.

    Attributes
    ----------
    run : Run
        The run.
    field : str
        Raw frames.
    kind, panels, detector : Kind, Panels, DetectorInfo or None
        The detector.
    slots : Slots
        How its raw pixels are told apart.
    chosen : (n_events,) bool
        Events that should be dark.
    select : str
        What chose them, in words; "" for all.
    rule : Rule
        How values become constants.
    others : Others
        What comes from another file.
    """

    run: Run
    field: str
    kind: Kind
    panels: Panels
    detector: DetectorInfo | None
    slots: Slots
    chosen: BoolArray
    select: str
    rule: Rule
    others: Others

    @property
    def n_events(self) -> int:
        """Events that should be dark."""
        return int(np.count_nonzero(self.chosen))

    @property
    def rows(self) -> IntArray:
        """(n,) int64 storage rows of these events, in time order."""
        events = np.flatnonzero(self.chosen)
        return events if self.run.rows is None else self.run.rows[events]

    @property
    def label(self) -> str:
        """Name the events, for messages."""
        which = f"selected by {self.select}" if self.select else "all events of the run"
        return f"the {self.n_events:,} events ({which}) of {self.run.label}"

    def key(self) -> str:
        """Return a hash of what is asked, to name tasks by."""
        rule = f"{self.rule.clip} {self.rule.fewest} {self.rule.limits.rejected}"
        text = f"{self.run.identity} {self.field} {self.kind.name} {rule}"
        return hashlib.sha256(text.encode() + np.packbits(self.chosen).tobytes()).hexdigest()[:16]


def make_request(
    run: Run, detector: str, rule: Rule, *, select: Select, kind: str | None, merge: Path | None
) -> Request:
    """Bind what is asked to a run; reads scalars only.

    Raises
    ------
    SpecError
        If there is no such detector, its frames are not raw, too little is selected, or the other file
        does not fit.
    """
    field = raw_field(run, detector)
    known = run.detector(field)
    chosen_kind = _kind(kind, known, merge, field)
    info = run.fields[field]
    _check_raw(field, info.dtype, chosen_kind)
    panels = panels_of(Frame(info.shape, info.dtype), Context(field, Path(), known))
    rule.limits.check(chosen_kind)
    chosen, text = _choose(run, field, select)
    if np.count_nonzero(chosen) < rule.fewest:
        raise SpecError(
            f"{np.count_nonzero(chosen):,} of {run.n_events:,} events are selected, but a pixel needs "
            f"{rule.fewest} values; select more events, or lower --min-events"
        )
    others = read_others(merge, chosen_kind, panels, known)
    slots = slots_of(chosen_kind, panels, known)
    return Request(run, field, chosen_kind, panels, known, slots, chosen, text, rule, others)


def raw_field(run: Run, detector: str) -> str:
    """Return the field of the raw frames of a detector, or the field of that name.

    Raises
    ------
    SpecError
        If there is none, naming the detectors that have some.
    """
    for name in (f"{detector}{RAW}", detector):
        if name in run.fields:
            run.field(name).require_event()
            return run.fields.resolve(name)
    known = [name.removesuffix(RAW) for name, info in run.fields.items() if _is_raw(name, info.shape)]
    near = nearest_names(detector, known)
    hint = f"nearest: {near[0]!r}; " if near else ""
    listed = ", ".join(known) if known else "none; give the raw data with --xtc"
    raise SpecError(
        f"{detector!r} has no raw frames in run {run.label}; {hint}detectors with raw frames: {listed}"
    )


def _is_raw(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(RAW) and len(shape) in (2, 3)


def _kind(wanted: str | None, detector: DetectorInfo | None, merge: Path | None, field: str) -> Kind:
    """Return the kind of the detector: as the user, the raw data and the other file say."""
    if wanted is not None and kind_named(wanted) is None:
        raise SpecError(f"{wanted!r} is not a kind of detector; known: {', '.join(KINDS)}")
    said = [wanted or "", detector.kind if detector else "", open_constants(merge).kind if merge else ""]
    found = next((kind for name in said if name and (kind := kind_named(name)) is not None), None)
    if found is None:
        names = ", ".join(repr(name) for name in said if name) or "nothing"
        raise SpecError(
            f"unknown kind of detector for {field!r}: the data name {names}; add --kind with one of "
            f"{', '.join(KINDS)}"
        )
    return found


def _check_raw(field: str, dtype: np.dtype[Any], kind: Kind) -> None:
    right = dtype == np.uint16 if kind.ranges > 1 else dtype.kind in "iu" and dtype.itemsize <= 4
    if not right:
        wanted = "uint16 with gain bits" if kind.ranges > 1 else "whole numbers of up to 32 bits"
        raise SpecError(
            f"field {field!r}: has values of {dtype}; kind {kind.name!r} needs raw frames: {wanted}"
        )


def _choose(run: Run, field: str, select: Select) -> tuple[BoolArray, str]:
    """Choose the events; gives also what chose them, in words."""
    if select is None:
        chosen, text = np.ones(run.n_events, bool), ""
    elif is_mask(select):
        chosen = masked_events(run, select)
        text = "a mask"
    else:
        spec = CubeSpec(cube="pedestal", select={"dark": select}, signals=[field])
        chosen = run.states(with_numbers(run, resolve_selection(spec, "dark"))) == states.TRUE
        text = select if isinstance(select, str) else str(spec.to_dict()["select"]["dark"])
    if not chosen.any():
        raise SpecError(f"no events left: {text or 'the run is empty'} keeps none of {run.n_events:,}")
    return chosen, text
