"""Waiting for what must come: patiently, so that tests pass on a loaded machine."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable

PATIENCE = 900.0
"""Seconds. Only a test that fails waits so long."""


def wait_until(reached: Callable[[], object], awaited: str, *, every: float = 0.02) -> None:
    """Return when a condition holds; fail with what was awaited if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, f"waited in vain until {awaited}"
        time.sleep(every)


def heed_signals() -> None:
    """Undo what `nohup` and a shell's background jobs hand down: SIGHUP and SIGINT that are ignored.

    Processes that tests start inherit ignored signals, but not handlers: they then start as from a terminal.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # the tests themselves outlive their terminal


def without_waits(output: str) -> str:
    """Return the output of a command without its lines on what takes long: on a loaded machine all does."""
    return re.sub(r"^.*, [0-9]+ s so far\n", "", output, flags=re.MULTILINE)
