"""Picked events in words, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cubeengine.budget import Budget, format_size
from cubeengine.picking.plan import PickWork, Variable
from cubeengine.picking.spec import PickSpec
from cubeengine.planning.bind import Bound
from cubeengine.planning.explain import aligned, bin_lines, event_lines
from cubeengine.schema.problems import Problem
from cubeengine.schema.texts import counted


def explain_picks(
    bound: Bound, spec: PickSpec, work: PickWork, budget: Budget, warnings: Sequence[Problem]
) -> str:
    """Describe for people: cut flow and fates, bins, what was picked, what is read, memory, warnings."""
    sections = [
        "\n".join(event_lines(bound)),
        "\n".join(bin_lines(bound)),
        "\n".join(_picked(spec, work)),
        "\n".join(_work(work, budget)),
        *(f"warning: {warning.message}" for warning in warnings),
    ]
    return "\n\n".join(sections)


def pick_facts(
    bound: Bound, spec: PickSpec, work: PickWork, budget: Budget, warnings: Sequence[Problem]
) -> dict[str, Any]:
    """Return the same as plain data, for ``--json``."""
    return {
        "cube": spec.cube,
        "pick": {**spec.pick.to_plain(), "events": spec.pick.events},
        "events": {"run": bound.run.n_events, "considered": bound.considered, "sample": str(bound.sample)},
        "n_events": bound.n_events.tolist(),
        "n_candidates": work.picked.n_candidates.tolist(),
        "n_picked": work.picked.n_picked.tolist(),
        "variables": [
            {
                "name": variable.name,
                "field": variable.field,
                "shape": list(variable.info.shape),
                "dtype": str(variable.info.dtype),
                "tasks": variable.n_tasks,
                "read_nbytes": variable.read_nbytes,
                "task_nbytes": variable.task_nbytes,
            }
            for variable in work.variables
        ],
        "n_tasks": work.n_tasks,
        "read_nbytes": work.read_nbytes,
        "output_nbytes": work.output_nbytes,
        "memory": {"per_worker": budget.per_worker, "projected": work.projected_memory()},
        "warnings": [warning.message for warning in warnings],
    }


def _picked(spec: PickSpec, work: PickWork) -> Iterator[str]:
    yield f"picked: {spec.pick}"
    most, rows = spec.pick.events, []
    short = f"fewer than {most:,}" if most > 1 else ""
    found = zip(work.selections, work.picked.n_picked, work.picked.n_candidates, strict=True)
    for name, n, candidates in found:
        few = [f"{np.count_nonzero((n > 0) & (n < most)):,}"] if short else []
        row = (f"{n.sum():,}", f"{candidates.sum():,}", f"{np.count_nonzero(n == most):,}")
        rows.append((name, *row, *few, f"{np.count_nonzero(n == 0):,}"))
    head = (
        "selection",
        "events",
        "of",
        "full bins",
        *([f"bins with {short}"] if short else []),
        "empty bins",
    )
    yield from aligned([head, *rows], indent=2)


def _work(work: PickWork, budget: Budget) -> Iterator[str]:
    yield (
        f"work: {counted(work.n_tasks, 'task')} read {format_size(work.read_nbytes)} and write "
        f"{format_size(work.output_nbytes)} before compression"
    )
    yield (
        f"  memory: {format_size(work.projected_memory())} projected with one thread, "
        f"{format_size(budget.per_worker)} allowed per worker"
    )
    head = ("", "field", "shape", "type", "to read", "tasks", "worst task")
    yield from aligned([head, *(tuple(_row(variable)) for variable in work.variables)], indent=2)


def _row(variable: Variable) -> Iterator[str]:
    yield from (variable.name, variable.field)
    yield " x ".join(map(str, variable.info.shape)) or "scalar"
    yield str(variable.info.dtype)
    yield format_size(variable.read_nbytes)
    yield f"{variable.n_tasks:,}"
    yield format_size(variable.task_nbytes)
