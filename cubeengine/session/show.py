"""What a session says of itself, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from cubeengine.events.selections import describe
from cubeengine.session.notes import Notes
from cubeengine.spec.derived import Derived
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import resolve_selection
from cubeengine.spec.shots import laser_shots
from cubeengine.spec.writing import flow
from cubeengine.types import Column

if TYPE_CHECKING:
    from cubeengine.session.session import Session

Line = tuple[str, str]
SHOWN = 12


def summary(session: Session) -> list[Line]:
    """Return what the run is, and what was added and selected, as titles and texts."""
    run, notes = session.run, session.notes
    lines = [tuple(line.split(maxsplit=1)) for line in repr(run).splitlines()]
    found: list[Line] = [(title, text) for title, text in lines]
    found.append(("scan", repr(run.scan).removeprefix("Scan: ")))
    units = notes.spec.units
    added = [f"{name}{_unit(units.get(name))}: {text}" for name, text in _added_words(notes).items()]
    found += _listed("added", added)
    selected = [f"{name}: {_selection_words(notes.spec, name)}" for name in notes.spec.select]
    found += _listed("selected", selected)
    if units:
        found.append(("units", ", ".join(f"{name} in {unit or 'no unit'}" for name, unit in units.items())))
    if notes.cube is not None:
        found.append(("cube", f"{notes.cube.cube}; run.to_yaml() gives its spec"))
    return found


def summary_text(session: Session) -> str:
    """Return the summary for a terminal."""
    return text_of(summary(session))


def summary_html(session: Session) -> str:
    """Return the summary for a notebook."""
    rows = "".join(
        f"<tr><th>{escape(title)}</th><td>{escape(text)}</td></tr>" for title, text in summary(session)
    )
    return f"<table>{rows}</table>"


def text_of(lines: Iterable[Line]) -> str:
    """Lay titles and texts out in two columns."""
    return "\n".join(f"{title:<10}{text}".rstrip() for title, text in lines)


def _listed(title: str, texts: Sequence[str]) -> list[Line]:
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    shown = [*texts[:SHOWN], *more]
    return [(title if number == 0 else "", text) for number, text in enumerate(shown)]


def replaced(before: Notes, after: Notes) -> Iterator[str]:
    """Say what of the notes before has another value now; what is gone was removed on purpose."""
    was, now = _added_words(before), _added_words(after)
    for name in was.keys() & now.keys():
        if not _is_same(before, after, name):
            yield f"variable {name!r}, which was {was[name]}"
        elif name not in after.spec.units and (unit := before.spec.units.get(name)):
            yield f"the unit of {name!r}, which was {unit}: now it has none"
    for name in _changed(before.spec.units, after.spec.units):
        yield f"the unit of {name!r}, which was {before.spec.units[name] or 'none'}"
    for name in _changed(before.spec.missing, after.spec.missing):
        yield f"what is missing of {name!r}, which was {before.spec.missing[name]!r}"
    for state in ("laser", "xray"):
        if (text := getattr(before.spec.run, state)) != getattr(after.spec.run, state):
            yield f"what {state}='on' means, which was {text}"
    for name in _changed(before.spec.select, after.spec.select):
        yield f"selection {name!r}, which was {_selection_words(before.spec, name)}"


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [name for name, value in before.items() if name in after and after[name] != value]


def _is_same(before: Notes, after: Notes, name: str) -> bool:
    """Return whether a variable has the same values, or the same recipe."""
    if name in before.variables and name in after.variables:
        return _equal(before.variables[name], after.variables[name])
    recipe = before.spec.derive.get(name)
    return recipe is not None and recipe == after.spec.derive.get(name)


def _equal(first: Column, second: Column) -> bool:
    if first is second:
        return True
    values, others = first.data, second.data
    if values.dtype != others.dtype or values.shape != others.shape:
        return False
    known, also = (
        np.ones(len(values), bool) if column.valid is None else column.valid for column in (first, second)
    )
    same = np.array_equal(values[known], others[known], equal_nan=values.dtype.kind == "f")
    return same and np.array_equal(known, also)


def _added_words(notes: Notes) -> dict[str, str]:
    given = {name: _array_words(column) for name, column in notes.variables.items()}
    return {**given, **{name: _derived_words(item) for name, item in notes.spec.derive.items()}}


def _unit(unit: str | None) -> str:
    return f" [{unit}]" if unit else ""


def _array_words(column: Column) -> str:
    shape = "x".join(map(str, column.data.shape[1:]))
    n_missing = 0 if column.valid is None else int(np.count_nonzero(~column.valid))
    missing = f", {n_missing:,} missing" if n_missing else ""
    return f"array of {column.data.dtype}{', ' + shape + ' per event' if shape else ''}{missing}"


def _derived_words(derived: Derived) -> str:
    plain = derived.to_plain()
    return plain if isinstance(plain, str) else " ".join(f"{key} {flow(item)}" for key, item in plain.items())


def _selection_words(spec: CubeSpec, name: str) -> str:
    node = resolve_selection(spec, name)
    parts = getattr(node, "parts", ())
    return " and ".join(map(describe, parts)) or "all events"


def greeting(session: Session) -> str:
    """Say what the run is, what was loaded from last time, and three things to try."""
    lines = [*summary(session)]
    lines.insert(len(repr(session.run).splitlines()) + 1, ("laser", _laser_words(session)))
    path = session.loaded_from
    lines.append(("loaded", f"from {path}, saved last time" if path else "nothing from last time"))
    lines += [("", remark) for remark in session.remarks]
    tries = "\n".join(f"  {line}" for line in _tries(session))
    return f"{text_of(lines)}\n\ntry:\n{tries}\n"


def _laser_words(session: Session) -> str:
    shots = laser_shots(session.run)
    if shots.text is None:
        return "the run does not record when it was on"
    on, off = (int(np.count_nonzero(mask)) for mask in (shots.on, shots.off))
    confirm = "; event codes by the usual convention, please confirm" if shots.by_code else ""
    return f"{on:,} events on, {off:,} off, by {shots.text}{confirm}"


def _tries(session: Session) -> list[str]:
    i0 = next((name for name in ("ipm2/sum", "gas_detector/f_11_ENRC") if name in session), None)
    scalar = i0 or next((name for name, info in session.fields.items() if not info.shape), "NAME")
    short = scalar.replace("/", "__")
    return [
        "run.fields          # all of them; run['<TAB> completes their names",
        f'run.add("twice", "2 * {short}")',
        "run.overview()      # a first overview, as a picture"
        if session.notes.spec.select or not i0
        else f'run.hist("{scalar}")',
    ]
