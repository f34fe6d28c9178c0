"""Worker processes that are started here."""

from __future__ import annotations

from cubeengine.budget import Budget
from cubeengine.launch.cluster import start_local
from cubeengine.launch.network import LOOPBACK


def test_two_runs_at_a_time_are_quiet_and_on_loopback_only() -> None:
    first = start_local(1, Budget(), dashboard=False)
    second = start_local(1, Budget(), dashboard=False)  # warnings are errors
    try:
        for executor in (first, second):
            scheduler = executor._owned[0].scheduler
            assert scheduler.http_server.address == LOOPBACK
            assert scheduler.address.startswith(f"tcp://{LOOPBACK}:")
    finally:
        second.close()
        first.close()
