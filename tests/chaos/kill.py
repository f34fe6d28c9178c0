"""Kills runs at random moments, goes on with them, and compares: python -m tests.chaos.kill --trials 20.

A trial starts `cubeengine run` on a made run of some seconds, kills (SIGKILL) one of its processes at a
random moment, and looks: at the target there must be the older cube, if there was one, or the new one,
whole. Then `--resume`, with another launcher and another number of workers, must end in the same bits as a
run that nobody disturbs, leave nothing else in the folder and no process behind.
"""

# ruff: noqa: T201 - a script

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cubeengine.store.read import cube_hash
from tests.chaos.launching import VICTIMS, available, started
from tests.chaos.trial import Outcome, Trial, Truth, draw
from tests.makers.frames import N_BINS, SPEC, STRATEGIES, frame_arrays, write_frames

COLUMNS = (
    "launcher",
    "killed",
    "trials",
    "went on by itself",
    "old cube there",
    "no cube there",
    "new cube there",
    "some blocks done",
    "resumed, same bits",
    "faults",
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, metavar="N")
    parser.add_argument("--launchers", nargs="+", choices=tuple(VICTIMS), default=["threads", "processes"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="Number of the first trial.")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="Trials at a time.")
    parser.add_argument("--seconds", type=float, default=0.03, help="Sleep of each of some 60 leaves.")
    parser.add_argument("--table", action="store_true", help="Print the table alone.")
    chosen = parser.parse_args(arguments)
    launchers = [name for name in chosen.launchers if not _refused(name)]
    numbers = range(chosen.first, chosen.first + chosen.trials)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as scratch:
        outcomes = run_trials(
            Path(scratch),
            numbers,
            launchers,
            seed=chosen.seed,
            jobs=chosen.jobs,
            seconds=chosen.seconds,
            quiet=chosen.table,
        )
    print(table(outcomes))
    return int(any(outcome.faults for outcome in outcomes))


def _refused(launcher: str) -> bool:
    if why := available(launcher):
        print(f"{launcher}: {why}", file=sys.stderr)
    return bool(why)


def run_trials(
    scratch: Path,
    numbers: Iterable[int],
    launchers: Sequence[str],
    *,
    seed: int,
    jobs: int = 1,
    seconds: float = 0.03,
    quiet: bool = False,
) -> list[Outcome]:
    """Run trials; the folder of one with faults is kept, beside the scratch folder."""
    truth = prepare(scratch, seconds)

    def one(number: int) -> Outcome:
        folder = scratch / f"trial-{number}"
        begin = time.monotonic()
        outcome = Trial(draw(number, seed, launchers), truth, folder).run()
        if not quiet or outcome.faults:
            _tell(outcome, time.monotonic() - begin)
        if outcome.faults:
            kept = scratch.with_name(f"{scratch.name}-trial-{number}")
            shutil.copytree(folder, kept, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, numbers))


def prepare(scratch: Path, seconds: float) -> Truth:
    """Write a run and a spec, and make what trials are compared with."""
    scratch.mkdir(exist_ok=True)
    data = scratch / "frames.h5"
    write_frames(data, frame_arrays(480), chunk_events=4)
    spec = scratch / "frames.yaml"
    spec.write_text(f"run: {{smalldata: {data}}}\n{SPEC.to_yaml()}")
    older = scratch / "older.zarr"
    _make(scratch, "stream", spec, older, "--set", f"axes.0.edges.bins={N_BINS // 2}")
    truth = Truth(spec, older, cube_hash(older), {}, {}, seconds)
    for strategy in STRATEGIES:
        cube = scratch / f"{strategy}.zarr"
        truth.n_blocks[strategy] = _make(scratch, strategy, spec, cube)
        truth.new[strategy] = cube_hash(cube)
    return truth


def _make(scratch: Path, strategy: str, spec: Path, cube: Path, *options: str) -> int:
    """Make a cube that nobody disturbs; gives how many blocks it marks as done."""
    arguments = [strategy, "0.001", "run", str(spec), "-o", str(cube), *options]
    most = 0
    with started("threads", 2, arguments, mark="truth", folder=scratch) as run:
        while run.process.poll() is None:
            most = max(most, len(list(scratch.glob(f".{cube.name}.state-*/done/*.json"))))
            time.sleep(0.002)
        if run.process.returncode:
            raise subprocess.SubprocessError(run.log.read_text())
    return max(most, 1)


def _tell(outcome: Outcome, seconds: float) -> None:
    plan = outcome.plan
    after = ", ".join(f"{launcher} x {workers}" for launcher, workers in plan.after)
    end = f"{outcome.code:4}" if outcome.killed else "over"
    print(
        f"{plan.number:4} {plan.launcher:9} {plan.victim:9} {plan.strategy:7} at {plan.moment:5.2f} "
        f"code {end} there {outcome.there:4} done {outcome.done:4.0%} then {after:30} {seconds:5.1f} s "
        f"{'; '.join(outcome.faults) or 'well'}",
        flush=True,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the counts per launcher and victim as a table in Markdown."""
    pairs = dict.fromkeys((outcome.plan.launcher, outcome.plan.victim) for outcome in outcomes)
    rows = []
    for launcher, victim in pairs:
        of_pair = [o for o in outcomes if (o.plan.launcher, o.plan.victim) == (launcher, victim) and o.killed]
        rows.append([launcher, victim, *map(str, _counts(of_pair))])
    killed = [outcome for outcome in outcomes if outcome.killed]
    rows.append(["all", "", *map(str, _counts(killed))])
    lines = [list(COLUMNS), ["---", "---", *["---:"] * (len(COLUMNS) - 2)], *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    over = [outcome for outcome in outcomes if not outcome.killed]
    faulty = sum(bool(outcome.faults) for outcome in over)
    return f"{text}\n\nnot counted: {len(over)} runs that were over before ({faulty} with faults)"


def _counts(outcomes: Sequence[Outcome]) -> list[int]:
    ended = [outcome for outcome in outcomes if outcome.code]
    return [
        len(outcomes),
        len(outcomes) - len(ended),
        *(sum(outcome.there == there for outcome in ended) for there in ("old", "none", "new")),
        sum(outcome.done > 0 for outcome in ended),
        sum(not outcome.faults for outcome in ended),
        sum(bool(outcome.faults) for outcome in outcomes),
    ]


if __name__ == "__main__":
    sys.exit(main())
