"""The command line with a plan of many slow leaves: python -m tests.chaos.victim STRATEGY SECONDS run ..."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from cubeengine import api
from cubeengine.cli.app import main
from cubeengine.graph.inputs import SignalInput
from tests.chaos.slow import SlowReader
from tests.makers.frames import forced_plan

LEAVES = 20


def use_slow_plans(strategy: str, seconds: float) -> None:
    """Have the command line plan this strategy, with many leaves that take this long each."""
    plain_plan, plain_inputs = api.plan, api.Plan._inputs.fget  # type: ignore[attr-defined]

    def plan(run: Any, spec: Any, **_: object) -> api.Plan:
        api.plan = plain_plan
        return forced_plan(run, strategy, leaves=LEAVES, spec=spec)

    def inputs(self: api.Plan) -> dict[str, SignalInput]:
        return {
            name: replace(item, reader=SlowReader(item.reader, seconds))
            for name, item in plain_inputs(self).items()
        }

    api.plan = plan
    api.Plan._inputs = property(inputs)  # type: ignore[assignment]


if __name__ == "__main__":  # worker processes import this module again
    use_slow_plans(sys.argv[1], float(sys.argv[2]))
    main(sys.argv[3:])
