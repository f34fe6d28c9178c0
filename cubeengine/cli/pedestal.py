"""``cubeengine pedestal``: constants of a detector from dark events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cubeengine.cli.base import Command, printable
from cubeengine.cli.options import open_source, source_options
from cubeengine.cli.show import save_figure

if TYPE_CHECKING:
    from cubeengine.events.run import Run
    from cubeengine.pedestals.result import Pedestal

MAKING = (
    click.option(
        "--detector", required=True, metavar="D", help="Detector, e.g. jungfrau, or field of raw frames."
    ),
    click.option("--select", metavar="EXPR", help="Expression for the dark events, e.g. '`lightStatus/xray` "
    "== 0'."),
    click.option("-o", "--output", metavar="FILE", help="Default: ./<detector>_<run>_dark.h5; or .npz"),
    click.option(
        "--merge", type=click.Path(), metavar="FILE",
        help="File that supplies the constants missing here: gains, masks, geometry, further gain ranges.",
    ),
    click.option("--plot", type=click.Path(), metavar="FILE", help="Save a picture of the constants."),
    click.option("--overwrite", is_flag=True, help="Replace the file if it already exists."),
)  # fmt: skip
JUDGING = (
    click.option(
        "--pedestal-range", multiple=True, metavar="[RANGE=]LOW:HIGH",
        help="Good pedestals in ADU, e.g. 2000:4000 or g0=2000:4000. May be repeated.",
    ),
    click.option(
        "--noise-range", multiple=True, metavar="[RANGE=]LOW:HIGH",
        help="Good noise in ADU.  [default: from a quarter of the median pixel's noise to four times it]",
    ),
    click.option(
        "--max-rejected", type=click.FloatRange(0, 1, min_open=True), metavar="PART",
        help="Largest fraction of a good pixel's values that may be rejected.  [default: 0.02]",
    ),
    click.option(
        "--clip", type=float, metavar="K",
        help="Reject values more than K standard deviations away.  [default: 5]",
    ),
    click.option(
        "--min-events", type=click.IntRange(min=16), metavar="N",
        help="Values that a pixel needs in a gain range.  [default: 50]",
    ),
    click.option("--kind", metavar="KIND", help="Kind of detector, if the data do not record it."),
    click.option(
        "--accept", multiple=True, metavar="CHECK",
        help="Continue although this check finds that the events are not dark; recorded in the file.",
    ),
)  # fmt: skip
WORKING = (
    click.option(
        "--launcher", default="threads", show_default=True, metavar="NAME",
        help="threads, processes, local (with a dashboard), slurm, mpi, or a scheduler's address.",
    ),
    click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads or worker processes."),
    click.option("--memory", metavar="SIZE", help="Memory per worker, e.g. '4 GiB'."),
)  # fmt: skip


def _options(command: Any) -> Any:
    for option in reversed((*MAKING, *JUDGING, *WORKING)):
        command = option(command)
    return command


@click.command("pedestal", cls=Command, short_help="Make a detector's constants from dark events.")
@source_options
@_options
def command(source: str, xtc: tuple[str, ...], **options: Any) -> None:
    """Find pedestal, noise and bad pixels of a detector from the dark events of SOURCE.

    Writes the file of constants that `calibrate` reads. Events that are not dark are refused.

    To bring runs of several gain modes together, name the file of the last with --merge.
    """
    from cubeengine.launch import taking_part

    # Before anything else is imported: see there.
    with taking_part(options["launcher"]):
        from cubeengine.cli.progress import working
        from cubeengine.errors import StoreMismatch

        with working("opening the run"):
            run = open_source(source, xtc)
        target = Path(options["output"] or default_output(run, options["detector"]))
        if target.exists() and not options["overwrite"]:
            raise StoreMismatch(
                f"{target} already exists; choose another name with -o, or replace it with --overwrite"
            )
        result = _measured(run, target.parent, options)
        click.echo(printable(result.summary()))
        result.save(target, overwrite=options["overwrite"])
        click.echo(f"\nwrote {printable(str(target))}")
        if options["plot"] is not None:
            done = save_figure(result.plot(), Path(options["plot"]))
            click.echo(f"{done} {printable(options['plot'])}")


def _measured(run: Run, folder: Path, options: dict[str, Any]) -> Pedestal:
    from cubeengine.cli.progress import ProgressDisplay
    from cubeengine.pedestals import Limits, pedestal
    from cubeengine.pedestals.limits import MOST_REJECTED

    limits = Limits.parse(
        pedestal=options["pedestal_range"],
        noise=options["noise_range"],
        rejected=options["max_rejected"] or MOST_REJECTED,
    )
    named = {"clip": "clip", "fewest": "min_events", "memory": "memory"}
    given = {name: options[option] for name, option in named.items() if options[option] is not None}
    with ProgressDisplay() as display:
        return pedestal(
            run,
            options["detector"],
            select=options["select"],
            merge=options["merge"],
            limits=limits,
            kind=options["kind"],
            accept=options["accept"],
            launcher=options["launcher"],
            workers=options["workers"],
            folder=folder,
            on_progress=display,
            **given,
        )


def default_output(run: Run, detector: str) -> str:
    """Name the file in the working directory, e.g. `jungfrau_xppdemo20_r0013_dark.h5`."""
    name = detector.replace("__", "/").split("/")[0]
    if run.run_id is not None:
        return f"{name}_{run.run_id.experiment}_r{run.run_id.run:04d}_dark.h5"
    return f"{name}_{run.source.files[0].path.stem}_dark.h5"
