"""What ranks other than 0 do: look after a worker process while rank 0 wants one, and end as rank 0 does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

from cubeengine.launch.network import LOOPBACK, own_address
from cubeengine.launch.ranks import FAILED, POLL_SECONDS, Message, World
from cubeengine.launch.settings import SETTINGS
from cubeengine.launch.tls import Credentials

SILENT_SECONDS = 300.0
"""Without a sign of life for so long, rank 0 is given up. Reading from a file system that hangs may keep
it silent for a minute or two."""
JOIN_SECONDS = 60.0
"""A worker that does not reach the scheduler for so long gives up."""


def follow(world: World) -> int:
    """Serve rank 0 until it tells how the run ended; give that exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # They come to all ranks at a time; what becomes of the run is for rank 0 to say.
        signal.signal(number, signal.SIG_IGN)
    inbox = _Inbox(world)
    message = inbox.wait()
    while message["do"] != "end":
        if message["do"] == "report":
            world.send({"report": socket.gethostname()}, 0)
        if message["do"] == "serve":
            asyncio.run(_serve(message, inbox, lambda answer: world.send(answer, 0)))
            world.send({"stopped": True}, 0)
        message = inbox.wait()
    world.send({"ended": True}, 0)
    return int(message["code"])


class _Inbox:
    """The orders of rank 0; raises SystemExit if there is no rank 0 any more."""

    def __init__(self, world: World) -> None:
        self._world, self._heard = world, time.monotonic()
        self._leader: Message = {}
        self._kept: Message | None = None

    def wait(self) -> Message:
        """Wait for the next order."""
        while (message := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        self._kept = None
        return message

    def poll(self) -> Message | None:
        """Return the next order, which stays the next one; None if there is none."""
        if self._kept is None and (found := self._world.receive()) is not None:
            self._heard = time.monotonic()
            if found[1]["do"] == "live":
                self._leader = found[1]
            else:
                self._kept = found[1]
        if self._kept is None:
            self._end_without_leader()
        return self._kept

    def _end_without_leader(self) -> None:
        silence = time.monotonic() - self._heard if self._leader.get("regularly") else 0.0
        if silence > SILENT_SECONDS or self._leader_has_died():
            # Without ending MPI: there is nobody to end it with.
            raise SystemExit(FAILED)

    def _leader_has_died(self) -> bool:
        if self._leader.get("host") != socket.gethostname():
            return False
        try:
            os.kill(self._leader["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


async def _serve(order: Message, inbox: _Inbox, tell: Callable[[Message], None]) -> None:
    """Keep a worker process, a new one whenever it dies, until rank 0 gives another order."""
    import dask
    from distributed import Nanny

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    folder: Any = tempfile.TemporaryDirectory(prefix="cubeengine-", ignore_cleanup_errors=True)
    with dask.config.set(SETTINGS), folder as scratch:
        # A nanny ends when its worker has lost the scheduler, for instance as the network was down.
        while inbox.poll() is None:
            try:
                async with Nanny(order["address"], **_nanny_options(order, scratch)) as nanny:
                    while inbox.poll() is None and nanny.status.name == "running":
                        await asyncio.sleep(POLL_SECONDS)
            except (OSError, RuntimeError) as err:
                tell({"failed": f"{socket.gethostname()}: {err}"})
                await asyncio.sleep(1.0)


def _nanny_options(order: Message, scratch: str) -> dict[str, Any]:
    return {
        "nthreads": 1,
        "host": own_address(order["address"]),
        "memory_limit": order["memory"],
        "security": Credentials.from_dict(order["credentials"]).security(),
        "local_directory": scratch,
        "silence_logs": logging.CRITICAL,
        "death_timeout": JOIN_SECONDS,
        "dashboard": False,
        # It listens in any case, and without encryption.
        "dashboard_address": f"{LOOPBACK}:0",
    }
