"""One spec, many runs: what became of each, with one exit code for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cubeengine.cli.base import printable, say, show_table


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run."""

    run: int  # run number
    state: str
    """E.g. "made", "submitted", "left out"."""
    detail: str  # where the cube is, or why there is none
    job: str = ""  # number of the batch job
    code: int = 0  # exit code that this run alone would have


def each_run(
    runs: Iterable[int], make: Callable[[int], Outcome], failed: str, outcomes: list[Outcome]
) -> None:
    """Do the same for every run; an error of one is noted, told, and does not stop the others."""
    from cubeengine.errors import CubeEngineError

    for run in runs:
        try:
            outcomes.append(make(run))
        except (CubeEngineError, MemoryError, OSError) as err:
            code = getattr(err, "exit_code", 4 if isinstance(err, MemoryError) else 5)
            outcomes.append(Outcome(run, failed, _in_a_line(err), code=code))
            say(f"run {run}: {printable(str(err))}", "red")


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the table of all runs."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    jobs = any(outcome.job for outcome in outcomes)
    table.add_column("run", justify="right", no_wrap=True)
    for title in ("state", *(("job",) if jobs else ())):
        table.add_column(title, no_wrap=True)
    table.add_column("cube, or why it was not made", overflow="fold")
    for outcome in outcomes:
        cells = (str(outcome.run), outcome.state, *((outcome.job,) if jobs else ()), outcome.detail)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    show_table(table)


def worst_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code: 0 if all is well, else the highest."""
    return max((outcome.code for outcome in outcomes), default=0)


def _in_a_line(error: BaseException) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines()) or type(error).__name__
