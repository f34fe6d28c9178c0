"""Saves a session that is told something new, and dies on the way: in a process of its own."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

import cubeengine as ce


def die_at(owner: object, name: str, at: int) -> None:
    """Have a function kill the process instead of doing its work, at its n-th call."""
    original: Callable[..., object] = getattr(owner, name)
    calls = iter(range(10**6))

    def stand_in(*args: object, **kwargs: object) -> object:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, stand_in)


def main(data: str, how: str, at: int) -> None:
    """Save; `how` says what kills: "bytes", "fsync", "replace", "link"; `at` at which byte or call."""
    run = ce.explore(data)
    run.add("mine", np.full((run.n_events, 300), 2.0))
    run.select("on", laser="on")
    if how == "bytes":  # the write that would make a file longer kills, as a power cut might
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    elif how != "nothing":
        owners = {"fsync": os, "link": os, "replace": Path}
        die_at(owners[how], how, at)
    run.save(overwrite=True)
    os._exit(0)
