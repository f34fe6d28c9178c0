"""``cubeengine submit``: a batch job per run; or the runs one after another, here and now."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cubeengine.cli.base import Command, printable, say
from cubeengine.cli.batch import Request, batch_options, read_request, run_options
from cubeengine.cli.many import Outcome, each_run, show_outcomes, worst_code
from cubeengine.cli.options import force_option
from cubeengine.progress import PLANNING

if TYPE_CHECKING:
    from cubeengine.events.run import Run
    from cubeengine.spec.model import CubeSpec
    from cubeengine.submit.script import JobScript


@click.command("submit", cls=Command, short_help="Make the cubes of many runs in batch jobs.")
@run_options
@force_option
@batch_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Submit a batch job for each of RUNS that makes its cube of SPEC; `cubeengine jobs` shows how they are.

    Runs that cannot be opened, or lack fields, are reported and left out. A job that ended before its cube
    was made continues from there when it is submitted again. With --interactive the cubes are made here, one
    after another. Ends with 0 if all is well, else with the highest code of a run.
    """
    from cubeengine.launch import taking_part

    outcomes: list[Outcome] = []
    # Before anything else is imported: see there.
    with taking_part(_launcher_here(options)):
        request, runs = read_request(options, os.environ)
        with data_root_set(request):
            _act(request, runs, outcomes)
        if not options["dry_run"]:
            show_outcomes(outcomes)
        ctx.exit(worst_code(outcomes))


def _launcher_here(options: Mapping[str, Any]) -> str:
    """Return the launcher of runs that are made here and now."""
    return (options["launcher"] if options["interactive"] else None) or "threads"


def _act(request: Request, runs: Sequence[int], outcomes: list[Outcome]) -> None:
    if request.given["interactive"]:
        make_all(request, runs, outcomes)
    elif request.given["dry_run"]:
        each_run(runs, lambda run: _print_script(request, run), "left out", outcomes)
    else:
        check_command(request)
        each_run(runs, lambda run: _submit(request, run), "left out", outcomes)


def make_all(request: Request, runs: Sequence[int], outcomes: list[Outcome]) -> None:
    """Make the cubes here, one after another; what is made is told also if the user stops it."""
    launcher = _launcher_here(request.given)
    try:
        each_run(runs, lambda run: _make(request, run, launcher), "failed", outcomes)
    except BaseException:
        show_outcomes(outcomes)
        raise


def _make(request: Request, run: int, launcher: str) -> Outcome:
    from cubeengine import api
    from cubeengine.cli.progress import ProgressDisplay, working
    from cubeengine.cli.run import keeping, print_warnings

    click.echo(f"run {run}", err=True)
    with working(PLANNING):
        spec, opened = request.arguments(run).open()
        made = request.command(run, spec, opened)
        plan = api.plan(
            opened, spec, memory=made.memory, events=made.events, every=made.every, force=made.force
        )
        warnings = plan.warnings
    print_warnings(warnings)
    made.output.parent.mkdir(parents=True, exist_ok=True)
    workers = request.given["ntasks"] if launcher != "mpi" and "://" not in launcher else None
    with keeping(True), ProgressDisplay() as display:
        result = plan.to_zarr(
            made.output,
            launcher=launcher,
            workers=workers,
            overwrite=made.overwrite,
            resume=True,
            on_progress=display,
        )
    return Outcome(run, "made", str(result.path))


def _print_script(request: Request, run: int) -> Outcome:
    import cubeengine

    script = _script(request, run)
    click.echo(os.fsencode(script.text(cubeengine.__version__)), nl=False)
    click.echo(printable(f"run {run}: would be {script.path}"), err=True)
    return Outcome(run, "not submitted", str(script.path))


def _submit(request: Request, run: int) -> Outcome:
    import cubeengine
    from cubeengine.submit.slurm import submit_script

    script = _script(request, run)
    text = script.text(cubeengine.__version__)
    output = script.output
    output.parent.mkdir(parents=True, exist_ok=True)
    script.logs.mkdir(parents=True, exist_ok=True)
    script.path.write_bytes(os.fsencode(text))
    job = submit_script(script.path)
    _note(script, job, run)
    return Outcome(run, "submitted", f"{output}, log {script.log(job)}", job)


def check_command(request: Request) -> None:
    """Check that the job finds the command, and mpi4py where it needs that: it inherits this environment.

    What setup lines of the site bring along is not known here.
    """
    from cubeengine.errors import MissingExtra, SpecError

    if request.site.job.setup:
        return
    program = request.site.job.command[0]
    found = shutil.which(program)
    if found is None:
        raise SpecError(
            f"there is no command {program!r} on the PATH that jobs inherit; activate its environment "
            "first, or add setup lines under [job] in the site file"
        )
    ours = Path(found).parent == Path(sys.executable).parent
    if request.launcher == "mpi" and ours and find_spec("mpi4py") is None:
        raise MissingExtra(
            f"the jobs would use the launcher mpi, but {found} lacks mpi4py; install it with: pip install "
            "'cubeengine[mpi]', or choose --launcher threads or processes, which use one node"
        )


def _note(script: JobScript, job: str, run: int) -> None:
    from cubeengine.errors import LaunchError
    from cubeengine.submit.records import Record, append_record

    record = Record(
        job, script.name, run, str(script.output), script.log(job), script.progress(job), time.time()
    )
    try:
        append_record(record)
    except LaunchError as err:
        say(f"warning: {printable(str(err))}", "yellow")


def _script(request: Request, run: int) -> JobScript:
    if request.given["no_check"]:
        from cubeengine.spec.model import CubeSpec

        arguments = request.arguments(run)
        spec = CubeSpec.load(arguments.path, overrides=arguments.overrides)
        return request.script(run, spec, None)
    spec, opened = request.arguments(run).open()
    _check_fields(spec, opened)
    return request.script(run, spec, opened)


def _check_fields(spec: CubeSpec, run: Run) -> None:
    """Raise one error with all that a run lacks."""
    from cubeengine.planning.bind import chosen_events
    from cubeengine.schema.problems import spec_error
    from cubeengine.spec.check import check_fields

    known = chosen_events(run, spec)
    problems = check_fields(spec, None, known.fields, f"run {known.label}")
    if any(problem.severity == "error" for problem in problems):
        raise spec_error(problems)


@contextmanager
def data_root_set(request: Request) -> Iterator[None]:
    """Have runs looked up under the site's data root, where the environment names none."""
    from cubeengine.submit.job import DATA_ROOT, data_root

    if request.environment.get(DATA_ROOT):
        yield
        return
    os.environ.update(data_root(request.site, {}))
    try:
        yield
    finally:
        os.environ.pop(DATA_ROOT, None)
