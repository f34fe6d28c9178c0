"""One trial: a run is killed somewhere, what is there is looked at, and a run with --resume ends it."""

from __future__ import annotations

import random
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cubeengine.errors import CubeEngineError
from cubeengine.store.read import cube_hash, open_cube
from tests.chaos.launching import VICTIMS, Started, processes, started
from tests.makers.frames import STRATEGIES
from tests.waiting import PATIENCE, wait_until


@dataclass(frozen=True)
class Plan:
    """What is done in a trial.

    Attributes
    ----------
    number : int
        Of the trial.
    launcher, victim : str
        What runs, and which process of it is killed.
    strategy : str
        How the frames are reduced.
    workers : int
        Worker processes or threads.
    had_cube : bool
        Whether there is an older cube that is to be replaced.
    keeps : bool
        Whether the first run has --resume as well.
    moment : float
        When: below 1 that part of the finished blocks; from 1 on, so many seconds after the last of them.
        Negative: so many seconds before the workers have their first block.
    delay : float
        Seconds after that moment.
    after : tuple of (launcher, workers)
        With what it is gone on with; all but the last are killed too.
    """

    number: int
    launcher: str
    victim: str
    strategy: str
    workers: int
    had_cube: bool
    keeps: bool
    moment: float
    delay: float
    after: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    plan : Plan
        What was done.
    there : str
        What was at the target after the first run had ended: "old", "new" or "none".
    code : int
        How the killed run ended.
    killed : bool
        False where the run was over before its end was to come.
    done : float
        Part of the blocks that were marked as done then.
    faults : tuple of str
        What should not be.
    """

    plan: Plan
    there: str = "none"
    code: int = 0
    killed: bool = False
    done: float = 0.0
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Truth:
    """What trials are compared with.

    Attributes
    ----------
    spec, cube : Path
        What to make, and an older cube.
    old, new : str
        Hash of that, and of the cube of a run that nobody disturbs.
    n_blocks : mapping of str to int
        Strategy -> blocks that are marked as they are done.
    seconds : float
        Sleep of each leaf.
    """

    spec: Path
    cube: Path
    old: str
    new: dict[str, str]
    n_blocks: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.03


def draw(number: int, seed: int, launchers: Sequence[str]) -> Plan:
    """Draw a trial by lot: the launchers and their victims in turn, all else at random."""
    lot = random.Random(f"{seed}-{number}")
    pairs = [(launcher, victim) for launcher in launchers for victim in VICTIMS[launcher]]
    launcher, victim = pairs[number % len(pairs)]
    kills = 1 + (lot.random() < 0.2)
    return Plan(
        number=number,
        launcher=launcher,
        victim=victim,
        strategy=lot.choice(STRATEGIES),
        workers=lot.randint(1, 3),
        had_cube=lot.random() < 0.5,
        keeps=lot.random() < 0.5,
        moment=lot.choice([lot.random(), lot.random(), 1.0, -1.0]),
        delay=lot.random() * lot.choice([0.01, 0.1, 0.5]),
        after=tuple((lot.choice(launchers), lot.randint(1, 3)) for _ in range(kills)),
    )


class Trial:
    """Does what a plan says, in a folder of its own."""

    def __init__(self, plan: Plan, truth: Truth, folder: Path) -> None:
        self.plan, self.truth, self.folder = plan, truth, folder
        self.out = folder / "out"
        self.target = self.out / "cube.zarr"
        self.mark = uuid.uuid4().hex
        self.faults: list[str] = []

    def run(self) -> Outcome:
        """Do it, and give what came of it."""
        self.out.mkdir(parents=True)
        if self.plan.had_cube:
            shutil.copytree(self.truth.cube, self.target)
        outcome = Outcome(self.plan)
        try:
            code, killed = self._disturbed(
                self.plan.launcher, self.plan.victim, self.plan.workers, keeps=self.plan.keeps
            )
            outcome = Outcome(self.plan, self._there(code), code, killed, self._done())
            self._go_on(code)
        except (TimeoutError, psutil.Error, OSError) as err:
            self.faults.append(f"{type(err).__name__}: {err}")
        self._check_no_process()
        return Outcome(
            self.plan, outcome.there, outcome.code, outcome.killed, outcome.done, tuple(self.faults)
        )

    def _go_on(self, code: int) -> None:
        *others, last = self.plan.after
        for launcher, workers in others:
            if code:
                code, _ = self._disturbed(launcher, "client", workers, keeps=True)
                self._there(code)
        if code:
            code = self._whole(*last)
        if code:
            self.faults.append(f"the run that goes on ends with code {code}")
        elif self._hash() != self.truth.new[self.plan.strategy]:
            self.faults.append("the cube has other bits")
        left = sorted(path.name for path in self.out.iterdir())
        if left != [self.target.name]:
            self.faults.append(f"left in the folder: {left}")

    def _arguments(self, *, keeps: bool) -> list[str]:
        options = ["--overwrite", *(["--resume"] if keeps else [])]
        command = ["run", str(self.truth.spec), "-o", str(self.target), *options]
        return [self.plan.strategy, str(self.truth.seconds), *command]

    def _disturbed(self, launcher: str, victim: str, workers: int, *, keeps: bool) -> tuple[int, bool]:
        """Run and kill; give how it ended, and whether there was something left to kill."""
        arguments = self._arguments(keeps=keeps)
        with started(launcher, workers, arguments, mark=self.mark, folder=self.folder) as run:
            killed = self._kill(run, victim)
            code = self._end(run)
            if victim != "client":
                self._check_words(run, code)
        # A client that ended well came to its end before.
        return code, killed and (code != 0 or victim != "client")

    def _check_words(self, run: Started, code: int) -> None:
        """A client that lost something else ends with a message for its user, if mpirun does not end it."""
        said = run.log.read_text(errors="replace")
        wordless = code and "error: " not in said and "BAD TERMINATION" not in said
        if "Traceback" in said or "bug in cubeengine" in said or wordless:
            self.faults.append(f"says: {said[-300:]!r}")

    def _kill(self, run: Started, victim: str) -> bool:
        """Wait for the moment, and kill one process."""
        wanted = self.plan.moment
        wait_until(lambda: self._has_come(run, wanted), "the run is so far")
        time.sleep(self.plan.delay)
        if run.process.poll() is not None:
            return False
        # Where workers have still to be started, one waits for the first.
        wait_until(lambda: run.find(victim) or run.process.poll() is not None, f"the {victim} is there")
        if not (found := run.find(victim)):
            return False
        random.Random(self.plan.number).choice(found).kill()
        return True

    def _has_come(self, run: Started, moment: float) -> bool:
        if run.process.poll() is not None:
            return True
        if moment < 0:
            return any(self.out.glob(".*.state-*"))
        return self._done() >= moment and any(self.out.glob(".*.state-*/begun"))

    def _done(self) -> float:
        """Return the part of the blocks that are marked as done."""
        marked = len(list(self.out.glob(".*.state-*/done/*.json")))
        return min(marked / self.truth.n_blocks[self.plan.strategy], 1.0)

    def _whole(self, launcher: str, workers: int) -> int:
        arguments = self._arguments(keeps=True)
        with started(launcher, workers, arguments, mark=self.mark, folder=self.folder) as run:
            return self._end(run)

    def _end(self, run: Started) -> int:
        wait_until(lambda: run.process.poll() is not None, f"the run of {run.launcher} ends")
        return int(run.process.wait())

    def _there(self, code: int) -> str:
        """Look at the target; a half cube, or none where there was one, is a fault."""
        names = {self.truth.old: "old", self.truth.new[self.plan.strategy]: "new", "": "none"}
        found = names.get(self._hash(), "half")
        if found == "half" or (found == "none" and self.plan.had_cube) or (found != "new" and not code):
            self.faults.append(f"after code {code} there is: {found}")
        return found

    def _hash(self) -> str:
        if not self.target.exists():
            return ""
        try:
            open_cube(self.target).close()
            return cube_hash(self.target)
        except (CubeEngineError, OSError, ValueError) as err:
            return f"cannot be read: {err}"

    def _check_no_process(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while found := processes(self.mark):
            if time.monotonic() > deadline:
                self.faults.append(f"still there: {[words[:150] for _, words in found]}")
                for process, _ in found:
                    process.kill()
                return
            time.sleep(0.2)
