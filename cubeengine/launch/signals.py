"""Ctrl-C and SIGTERM while workers are at work: taken note of at once, acted on where nothing is left behind.

An exception out of a signal handler may come up anywhere: in the middle of a clean-up, or in a callback
of the garbage collector that swallows it. So signals are kept back, and asked for where it is safe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]
Check = Callable[[], None]

ENDING = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Leaves a block of `deferred_interrupts`, at whose end the signal itself is delivered."""


class _Keeper:
    """A signal handler that takes note."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal calls it
        self.kept.append(number)

    def check(self) -> None:
        if self.kept:
            raise Stopped


@contextmanager
def deferred_interrupts() -> Iterator[Check]:
    """Keep Ctrl-C and SIGTERM back until the block is left, however often they come.

    Gives a function that leaves the block if there was one; what cleans up in the block is not disturbed.
    Blocks may be nested: then it is the outermost one that is left, and at whose end the signal is
    delivered. Outside the main thread, which alone gets signals, nothing is changed.
    """
    before = _handlers()
    outer = next((handler for handler in before.values() if isinstance(handler, _Keeper)), None)
    if outer is not None:
        yield outer.check
        return
    keeper, stopped = _Keeper(), False
    try:
        for number in before:
            signal.signal(number, keeper)
        yield keeper.check
    except Stopped:
        stopped = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if keeper.kept:
        signal.raise_signal(keeper.kept[0])
    if stopped:
        raise Stopped


@contextmanager
def children_without_interrupts() -> Iterator[None]:
    """Start processes that never get a Ctrl-C: the terminal sends it to the whole group, not to us alone.

    Threads that are started meanwhile, and whatever they start later, keep SIGINT blocked as well.
    """
    from multiprocessing import resource_tracker

    # It unblocks the signal when it starts, so it has to run before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def handlers_untouched() -> Iterator[None]:
    """Put back the handlers that the block sets: dask-jobqueue, once imported, has Ctrl-C end us with 0."""
    before = _handlers()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handlers() -> dict[int, Handler]:
    """Return the handlers that are set in Python; none outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {int(number): signal.getsignal(number) for number in ENDING}
    return {number: handler for number, handler in found.items() if callable(handler)}
