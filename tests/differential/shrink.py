"""Cutting a case down to what still differs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tests.differential.case import Case, Run
from tests.differential.trial import trial

PLAIN = {
    "chunk_events": None,
    "filters": {},
    "strategy": None,
    "window": 2**20,
    "launcher": "lazy",
    "workers": 1,
}


def shrink(case: Case, most: int = 400) -> Case:
    """Return a smaller case that differs in the same thing, trying at most so many."""
    wanted = _kind(case)
    tries = 0
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(case):
            tries += 1
            if tries > most:
                return case
            if _kind(candidate) == wanted:
                case, smaller = candidate, True
                break
    return case


def _kind(case: Case) -> str:
    """Name what differs first: `ipm2__sum_mean`, `fates of on`, `failed: IndexError`."""
    try:
        found = trial(case).differences
    except Exception:
        return ""
    first, *rest = (found or [""])[0].split(":")
    return f"{first}: {rest[0][:30]}" if first in ("failed", "refused") else first


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases with less in them, those that lack most first."""
    for key in ("signals", "axes", "cubes"):
        for i in range(len(case.spec.get(key, []))):
            yield _with(case, key, [*case.spec[key][:i], *case.spec[key][i + 1 :]])
    for key in ("select", "derive", "missing", "units"):
        for name in case.spec.get(key, {}):
            yield _with(case, key, {k: v for k, v in case.spec[key].items() if k != name})
    for name, selection in case.spec.get("select", {}).items():
        for simpler in _simpler(selection):
            yield _with(case, "select", {**case.spec["select"], name: simpler})
    for number, signal in enumerate(case.spec.get("signals", [])):
        stages = signal.get("stages", []) if isinstance(signal, dict) else []
        for i in range(len(stages)):
            fewer = {**signal, "stages": [*stages[:i], *stages[i + 1 :]]}
            yield _with(
                case, "signals", [*case.spec["signals"][:number], fewer, *case.spec["signals"][number + 1 :]]
            )
    for key, value in PLAIN.items():
        if case.how.get(key) != value:
            yield replace(case, how={**case.how, key: value})
    for name in case.files:
        yield replace(case, files={k: v for k, v in case.files.items() if k != name})
    if len(case.runs) > 1:
        yield replace(case, runs=case.runs[:1])
    for number, run in enumerate(case.runs):
        for fewer in _fewer(run):
            yield replace(case, runs=(*case.runs[:number], fewer, *case.runs[number + 1 :]))


def _simpler(selection: Any) -> Iterator[Any]:
    if isinstance(selection, list):
        for i in range(len(selection)):
            yield [*selection[:i], *selection[i + 1 :]]
    elif isinstance(selection, dict) and "field" not in selection:
        for key, value in selection.items():
            rest = {k: v for k, v in selection.items() if k != key}
            yield rest
            if isinstance(value, list):
                yield from (
                    {**rest, key: [*value[:i], *value[i + 1 :]]} for i in range(len(value)) if len(value) > 1
                )


def _fewer(run: Run) -> Iterator[Run]:
    """Yield runs of fewer parts, of fewer events, and of fewer fields."""
    if len(run.parts) > 1:
        for number in range(len(run.parts)):
            yield replace(run, parts=(*run.parts[:number], *run.parts[number + 1 :]))
    for number, part in enumerate(run.parts):
        n = len(part["time"])
        for size in (n // 2, n // 4, 1):
            for first in range(0, n, size) if size else ():
                keep = np.r_[0:first, min(first + size, n) : n]
                fewer = {name: values[keep] for name, values in part.items()}
                if run.n_events > size and len(keep):
                    yield replace(run, parts=(*run.parts[:number], fewer, *run.parts[number + 1 :]))
    for name in {name for part in run.parts for name in part} - {"time"}:
        yield replace(run, parts=tuple({k: v for k, v in part.items() if k != name} for part in run.parts))


def _with(case: Case, key: str, value: Any) -> Case:
    spec = copy.copy(case.spec)
    spec[key] = value
    if key == "cubes" and not value:
        del spec[key]
    return replace(case, spec=spec)
