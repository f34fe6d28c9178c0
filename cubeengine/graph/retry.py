"""Trying again what failed for a reason that may pass."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

TRANSIENT = {
    errno.EIO, errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ENETRESET, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EBUSY,
    errno.ENOTCONN, errno.ESHUTDOWN,
}  # fmt: skip
"""What network file systems report when something may be better in a moment."""


def persistently(work: Callable[[], T], waits: Sequence[float], failed: Callable[[OSError, int], None]) -> T:
    """Do some work, and again after a while where it failed for a reason that may pass.

    Parameters
    ----------
    work : callable
        What to do.
    waits : sequence of float
        Seconds before each further try.
    failed : callable
        Told of each failure that is not the last: the error, and how many there were.
    """
    for number, seconds in enumerate(waits, start=1):
        try:
            return work()
        except OSError as err:
            if not is_transient(err):
                raise
            _LOG.warning("%s; trying again in %g s", err, seconds)
            failed(err, number)
            time.sleep(seconds)
    return work()


def is_transient(error: BaseException | None) -> bool:
    """Return whether an error, or what it came from, is one that may pass."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in TRANSIENT:
            return True
        error = error.__cause__
    return False
