"""Why a strategy was chosen, or not, in one sentence."""

from __future__ import annotations

from cubeengine.budget import Budget, format_size
from cubeengine.planning.plan import SignalPlan
from cubeengine.planning.shape import SignalShape
from cubeengine.schema.texts import counted


def reason(plan: SignalPlan, shape: SignalShape) -> str:
    """Say why this plan was chosen."""
    size, parts = format_size(plan.part_nbytes), len(plan.parts)
    if plan.strategy == "stream":
        return (
            f"the partial cube ({size}) is small against the input ({format_size(shape.input_nbytes)}), "
            f"which is read once, in {counted(plan.n_leaves, 'leaf', 'leaves')}"
        )
    if plan.strategy == "by_bin":
        groups = counted(parts, "group")
        return f"frames can be read one by one, so {groups} of bins read only their own events"
    return f"{counted(parts, 'part')} of the frame need {size} each; the cube of a whole frame is too large"


def why_not(plan: SignalPlan, best: SignalPlan, budget: Budget) -> str:
    """Say why this plan was not chosen."""
    need = plan.memory(1)
    if need > budget.usable:
        name, _ = plan.worst_task
        return (
            f"task {name!r} and its partials need {format_size(need)}, "
            f"a worker has {format_size(budget.usable)} for data"
        )
    if plan.read_nbytes > 1.5 * best.read_nbytes:
        return f"would decode {plan.read_nbytes / max(best.read_nbytes, 1):.1f} times the bytes"
    ratio = plan.seconds / max(best.seconds, 1e-9)
    cost = f"estimated {ratio:.2f} times the cost" if ratio > 1.005 else "no cheaper"
    leaves = counted(plan.n_leaves, "leaf", "leaves")
    return f"{cost}: {leaves} in {counted(len(plan.parts), 'part')}"
