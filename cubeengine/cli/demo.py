"""``cubeengine demo``: a run with known truth, its cube, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable

if TYPE_CHECKING:
    from cubeengine.demo import Comparison


@click.command("demo", cls=Command, short_help="Write a run with known truth and make its cube.")
@click.argument("folder", metavar="[DIR]", default="cubeengine-demo")
@click.option(
    "--events", "n_events", type=click.IntRange(min=500), default=12_000, show_default=True, metavar="N",
    help="Shots to simulate; 12.5 kB each.",
)  # fmt: skip
@click.pass_context
def command(ctx: click.Context, folder: str, n_events: int) -> None:
    """Write a seeded pump-probe run with known truth into DIR (default: ./cubeengine-demo), and a spec.

    Makes the cube, prints what came out against the truth, and saves a plot.
    """
    from cubeengine import api, demo
    from cubeengine.budget import format_size
    from cubeengine.cli.check import command as check
    from cubeengine.cli.run import command as run
    from cubeengine.cli.show import save_plot
    from cubeengine.errors import CubeEngineError
    from cubeengine.spec.model import CubeSpec
    from cubeengine.store.read import open_cube

    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    spec = demo.write_spec(home)
    data = home / f"{demo.EXPERIMENT}_Run{demo.RUN:04d}.h5"
    cube = home / f"{demo.EXPERIMENT}_r{demo.RUN:04d}_delay.zarr"
    demo.write_run(data, n_events=n_events)
    click.echo(f"wrote {data}, {n_events:,} shots, {format_size(data.stat().st_size)}; the spec is {spec}")
    click.echo(f"\n$ cubeengine check {spec}")
    ctx.invoke(check, spec=str(spec), settings=())
    click.echo(f"\n$ cubeengine plan {spec}")
    opened = api.open_run(data)
    click.echo(printable(api.plan(opened, CubeSpec.load(spec)).explain()))
    click.echo(f"\n$ cubeengine run {spec} -o {cube} --overwrite")
    ctx.invoke(run, spec=str(spec), settings=(), output=str(cube), launcher="threads", overwrite=True)
    made = open_cube(cube)
    comparison = demo.compare(made, data)
    click.echo(f"\nagainst the truth\n{comparison_text(comparison)}")
    if not comparison.good:
        raise CubeEngineError(f"the cube {cube} is not what was put into {data}: please report this")
    save_plot(made, home / "delay.png", signal="diode_ratio")
    click.echo(f"\nwrote {home / 'delay.png'}\n\n{_next(spec, cube, data)}")


def comparison_text(comparison: Comparison) -> str:
    """Write how close the cube came, a line each."""
    lines = []
    for curve in comparison.curves:
        same = "as plain numpy counts them" if curve.same_counts else "NOT as plain numpy counts them"
        lines.append(f"  laser {curve.name}: {curve.n_events:,} events in the bins, {same}")
        lines.append(
            f"    diode / i0 against the known response: chi2 {curve.chi2:.1f} for {curve.n_bins} bins, "
            f"worst bin {curve.worst:.1f} standard errors"
        )
    off_by = abs(comparison.amplitude - comparison.true_amplitude) / comparison.amplitude_error
    lines.append(
        f"  step at time zero: {comparison.amplitude:.4f} +- {comparison.amplitude_error:.4f}, "
        f"put in {comparison.true_amplitude:.4f} ({off_by:.1f} standard errors away)"
    )
    lines.append(f"  mean frame against plain numpy: {comparison.frame_difference:.1e} of its largest pixel")
    return "\n".join(lines)


def _next(spec: Path, cube: Path, data: Path) -> str:
    tries = (
        f"cubeengine show {cube}",
        f"cubeengine show {cube} --plot frames.png --signal frame --difference on,off",
        f"cubeengine show {cube} --plot azav.png --signal azav --over ipm2/sum --difference on,off",
        f"cubeengine fields {data} --stats",
        f"cubeengine run {spec} --set axes.0.centers.step=0.25 -o finer.zarr",
    )
    return "try next:\n" + "\n".join(f"  {line}" for line in tries)
