"""What a session says of itself, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from cubeengine.events.selections import describe
from cubeengine.spec.derived import Derived
from cubeengine.spec.resolve import resolve_selection
from cubeengine.spec.shots import laser_shots
from cubeengine.spec.writing import flow
from cubeengine.types import Column

if TYPE_CHECKING:
    from cubeengine.session.session import Session

Line = tuple[str, str]
SHOWN = 12


def summary(session: Session) -> list[Line]:
    """Give what the run is, and what was added and selected, as titles and texts."""
    run, notes = session.run, session.notes
    lines = [tuple(line.split(maxsplit=1)) for line in repr(run).splitlines()]
    found: list[Line] = [(title, text) for title, text in lines]
    found.append(("scan", repr(run.scan).removeprefix("Scan: ")))
    given = {name: _array_words(column) for name, column in notes.variables.items()}
    derived = {name: _derived_words(item) for name, item in notes.spec.derive.items()}
    units = notes.spec.units
    found += _listed(
        "added", [f"{name}{_unit(units.get(name))}: {text}" for name, text in {**given, **derived}.items()]
    )
    found += _listed("selected", [f"{name}: {_selection_words(session, name)}" for name in notes.spec.select])
    if units:
        found.append(("units", ", ".join(f"{name} in {unit or 'no unit'}" for name, unit in units.items())))
    if notes.cube is not None:
        found.append(("cube", f"{notes.cube.cube}; run.to_yaml() gives its spec"))
    return found


def summary_text(session: Session) -> str:
    """Give the summary for a terminal."""
    return text_of(summary(session))


def summary_html(session: Session) -> str:
    """Give the summary for a notebook."""
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


def _selection_words(session: Session, name: str) -> str:
    node = resolve_selection(session.notes.spec, name)
    parts = getattr(node, "parts", ())
    return " and ".join(map(describe, parts)) or "all events"


def greeting(session: Session) -> str:
    """Say what the run is, what was loaded from last time, and three things to try."""
    lines = [*summary(session)]
    lines.insert(len(repr(session.run).splitlines()) + 1, ("laser", _laser_words(session)))
    path = session.loaded_from
    lines.append(("loaded", f"from {path}, as saved last time" if path else "nothing from last time"))
    lines += [("", remark) for remark in session.remarks]
    tries = "\n".join(f"  {line}" for line in _tries(session))
    return f"{text_of(lines)}\n\ntry:\n{tries}\n"


def _laser_words(session: Session) -> str:
    shots = laser_shots(session.run)
    if shots.text is None:
        return "the run does not say when it was on"
    on, off = (int(np.count_nonzero(mask)) for mask in (shots.on, shots.off))
    confirm = "; codes by the usual convention, please confirm" if shots.by_code else ""
    return f"{on:,} events on, {off:,} off, by {shots.text}{confirm}"


def _tries(session: Session) -> list[str]:
    i0 = next((name for name in ("ipm2/sum", "gas_detector/f_11_ENRC") if name in session), None)
    scalar = i0 or next((name for name, info in session.fields.items() if not info.shape), "NAME")
    short = scalar.replace("/", "__")
    return [
        "run.fields          # all of them; run['<TAB> completes their names",
        f'run.add("twice", "2 * {short}")',
        "run.overview()      # what one looks at first, as a picture"
        if session.notes.spec.select or not i0
        else f'run.hist("{scalar}")',
    ]
