"""``cubeengine check``: every problem of a spec at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable, say
from cubeengine.cli.options import SpecArguments, force_option, spec_options

if TYPE_CHECKING:
    from cubeengine.schema.problems import Problem
    from cubeengine.spec.check import Checked


@click.command("check", cls=Command, short_help="Check a spec against its run and report every problem.")
@spec_options
@force_option
@click.pass_context
def command(
    ctx: click.Context,
    spec: str,
    experiment: str | None,
    run: int | None,
    settings: tuple[str, ...],
    force: bool,
) -> None:
    """Check SPEC by itself and against its run, and report every problem with its line.

    Warns of what is allowed but probably not meant. Ends with 2 if there are errors, and with 3 if it is but
    a file named in SPEC that cannot be read.
    """
    from cubeengine.cli.progress import working
    from cubeengine.picking.spec import kind_of_spec
    from cubeengine.schema.problems import exit_code
    from cubeengine.spec.check import check_document, read_text

    arguments = SpecArguments.of(spec, experiment, run, settings)
    text = read_text(arguments.path)
    kind = kind_of_spec(text, arguments.overrides)
    checked = check_document(text, arguments.overrides, kind)
    problems = list(checked.problems)
    try:
        with working("checking: reading times and scalars of all events"):
            problems += _against_run(arguments, checked, force=force)
    finally:
        # Also where the run cannot be opened: what is wrong with the spec is known by then.
        errors = _print(problems, spec)
    if errors:
        ctx.exit(exit_code(errors))
    click.echo(f"{printable(spec)}: no errors")


def _against_run(arguments: SpecArguments, checked: Checked, *, force: bool) -> list[Problem]:
    """Return the problems that show on the run only; plans where there are no errors so far."""
    from cubeengine.errors import SpecError
    from cubeengine.picking.api import plan_any
    from cubeengine.planning.bind import chosen_events, signal_problems
    from cubeengine.planning.warn import crowded_bins
    from cubeengine.schema.problems import problems_in
    from cubeengine.spec.check import check_fields

    if checked.remains is None:
        return []
    run = arguments.open_run(checked.remains)
    known = chosen_events(run, checked.remains)
    found = check_fields(checked.remains, checked.positions, known.fields, f"run {known.label}")
    errors = any(problem.severity == "error" for problem in found)
    folder = arguments.path.parent
    if checked.spec is None or errors:
        return found + signal_problems(known, checked.remains.at(folder), checked.positions)
    try:
        plan = plan_any(run, checked.spec.at(folder), force=True)
        warnings = plan.warnings
    except SpecError as err:
        return found + problems_in(err)
    refused = () if force else crowded_bins(plan.bound)
    messages = [problem.message for problem in refused]
    return [
        *found,
        *(checked.positions.problem(problem.path, problem.message) for problem in refused),
        *(
            checked.positions.problem(warning.path, warning.message, "warning")
            for warning in warnings
            if not any(message.startswith(warning.message) for message in messages)
        ),
    ]


def _print(problems: Sequence[Problem], name: str) -> list[Problem]:
    """Print problems as they stand in the text and return the errors."""
    from cubeengine.schema.problems import in_order

    ordered = in_order(problems)
    for problem in ordered:
        colour = "red" if problem.severity == "error" else "yellow"
        say(printable(problem.format(name)), colour)
    errors = [problem for problem in ordered if problem.severity == "error"]
    if errors:
        say(f"{len(errors)} error{'s' if len(errors) > 1 else ''}", "red")
    return errors
