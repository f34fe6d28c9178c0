"""``cubeengine demo``: a run with known truth, its cube, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable

if TYPE_CHECKING:
    from cubeengine.demo import Comparison


@click.command("demo", cls=Command, short_help="Simulate a run with known truth and make its cube.")
@click.argument("folder", metavar="[DIR]", default="cubeengine-demo")
@click.option(
    "--events", "n_events", type=click.IntRange(min=500), default=6000, show_default=True, metavar="N",
    help="Shots to simulate; 20 kB each.",
)  # fmt: skip
@click.pass_context
def command(ctx: click.Context, folder: str, n_events: int) -> None:
    """Write a seeded pump-probe run with known truth into DIR (default: ./cubeengine-demo), and a spec.

    The run is a smallData file, raw data (xtc2) in four streams, and constants to calibrate them with; a dark
    run is beside it. Makes the cube of both, prints what came out against the truth, and saves a plot.
    """
    from cubeengine import api, demo
    from cubeengine.budget import format_size
    from cubeengine.cli.check import command as check
    from cubeengine.cli.progress import working
    from cubeengine.cli.run import command as run
    from cubeengine.cli.show import save_figure
    from cubeengine.errors import CubeEngineError
    from cubeengine.plots import plot_cube
    from cubeengine.spec.model import CubeSpec
    from cubeengine.store.read import open_cube

    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    demo.check_folder(home)
    spec = demo.write_spec(home)
    data, raw, cube = home / demo.DATA_NAME, home / demo.RAW_FOLDER, home / demo.CUBE_NAME
    with working("writing the runs"):
        demo.write_run(home, n_events=n_events)
        demo.write_dark_run(home / demo.DARK_FOLDER)
    click.echo(f"wrote {data}, {n_events:,} shots, {format_size(data.stat().st_size)}; the spec is {spec}")
    click.echo(f"wrote {raw}, {_raw_text(raw)}")
    dark = home / demo.DARK_FOLDER
    click.echo(f"wrote {dark}, a run without X-rays in three gain modes, {_raw_text(dark)}")
    click.echo(f"\n$ cubeengine check {spec}")
    ctx.invoke(check, spec=str(spec), settings=())
    click.echo(f"\n$ cubeengine plan {spec}")
    opened = api.open_run(data, xtc=raw)
    click.echo(printable(api.plan(opened, CubeSpec.load(spec)).explain()))
    click.echo(f"\n$ cubeengine run {spec} -o {cube} --overwrite")
    ctx.invoke(run, spec=str(spec), settings=(), output=str(cube), launcher="threads", overwrite=True)
    made = open_cube(cube)
    comparison = demo.compare(made, data)
    click.echo(f"\nagainst the truth\n{comparison_text(comparison)}")
    if not comparison.good:
        raise CubeEngineError(f"the cube {cube} does not match the truth in {home}: please report this")
    done = save_figure(plot_cube(made, "diode_ratio"), home / "delay.png")
    click.echo(f"\n{done} {home / 'delay.png'}\n\n{_next(spec, cube, home)}")


def _raw_text(folder: Path) -> str:
    """Describe raw files in one line."""
    from cubeengine.budget import format_size

    files = sorted(folder.glob("*.xtc2"))
    streams = {path.name.rpartition("-")[0] for path in files}
    size = format_size(sum(path.stat().st_size for path in files))
    return f"{len(streams)} streams in {len(files)} files, {size}"


def comparison_text(comparison: Comparison) -> str:
    """Write how close the cube came, a line each."""
    lines = []
    for curve in comparison.curves:
        same = (
            "the same as counted with plain numpy"
            if curve.same_counts
            else ("NOT the same as counted with plain numpy")
        )
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
    difference = f"{comparison.frame_difference:.1e} of its largest pixel"
    lines.append(f"  mean calibrated frame against plain numpy: {difference}")
    lines.append(f"    against the photons put in: chi2 {comparison.frame_chi2:.2f} per pixel")
    return "\n".join(lines)


def _next(spec: Path, cube: Path, home: Path) -> str:
    from cubeengine.demo import CONSTANTS_FOLDER, DARK_FOLDER

    tries = (
        f"cubeengine show {cube}",
        f"cubeengine show {cube} --plot frames.png --signal frame --difference on,off",
        f"cubeengine show {cube} --plot azav.png --signal azav --difference on,off",
        f"cubeengine fields {home} --stats",
        f"cubeengine pedestal {home / DARK_FOLDER} --detector jungfrau --merge "
        f"{home / CONSTANTS_FOLDER / 'jungfrau.h5'} -o dark.h5 --plot dark.png",
        f"cubeengine run {spec} --set axes.0.centers.step=0.25 -o finer.zarr",
    )
    return "try next:\n" + "\n".join(f"  {line}" for line in tries)
