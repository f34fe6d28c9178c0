"""Runs that are forked from a process which has imported all there is: a start costs next to nothing."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PRELOADED = ["tests.chaos.trial", "tests.chaos.victim", "cubeengine.cli.run", "cubeengine.launch.threads"]


class Forked:
    """A run in a process of its own, with the methods of `Popen` that are used here.

    Parameters
    ----------
    arguments : sequence of str
        As of `tests.chaos.victim`.
    folder, log : Path
        Where it works, and where it writes what it says.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process: ForkServerProcess = context.Process(target=_run, args=(list(arguments), folder, log))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        return int(self._process.exitcode or 0)

    def kill(self) -> None:
        self._process.kill()


def _run(arguments: list[str], folder: Path, log: Path) -> None:
    from cubeengine.cli.app import main
    from tests.chaos.victim import use_slow_plans

    os.setsid()
    os.chdir(folder)
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    use_slow_plans(arguments[0], float(arguments[1]))
    main(arguments[2:])
