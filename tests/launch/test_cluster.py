"""Worker processes that are started here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from cubeengine.budget import Budget
from cubeengine.errors import LaunchError
from cubeengine.launch.cluster import KEYS_FOLDER, connect, start_local, start_scheduler
from cubeengine.launch.network import LOOPBACK
from cubeengine.launch.settings import SETTINGS


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


def test_scheduler_with_certificates_is_reached_by_who_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    from cubeengine.launch.tls import make_credentials

    tmp_path.chmod(0o700)
    credentials = make_credentials()
    credentials.save(tmp_path)
    client, cluster = start_scheduler(LOOPBACK, credentials.security())
    try:
        monkeypatch.setenv(KEYS_FOLDER, str(tmp_path))
        with pytest.raises(LaunchError, match="has no workers"):  # it has said so
            connect(cluster.scheduler_address)
        tmp_path.chmod(0o755)
        with pytest.raises(LaunchError, match="its mode is 755"):
            connect(cluster.scheduler_address)
        monkeypatch.delenv(KEYS_FOLDER)
        with pytest.raises(LaunchError, match="needs a certificate"):
            connect(cluster.scheduler_address)
    finally:
        client.close()
        cluster.close()


def slowly(marks: Path) -> int:
    """Say who is at work, and take a while."""
    (marks / str(os.getpid())).touch()
    time.sleep(0.3)
    return os.getpid()


@pytest.mark.slow
def test_work_of_a_worker_that_hangs_is_done_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "distributed.scheduler.worker-ttl", "10 s")  # 5 minutes as a rule
    graph = {f"work-{number}": (slowly, tmp_path) for number in range(16)}
    done: dict[str, int] = {}
    executor = start_local(2, Budget(), dashboard=False)
    hung: list[int] = []

    def on_done(key: str, pid: int) -> None:
        done[key] = pid
        if not hung:
            hung.append(pid)
            os.kill(pid, signal.SIGSTOP)

    try:
        executor.run(graph, list(graph), on_done, threads=1)
        assert done.keys() == graph.keys()
        assert set(done.values()) - set(hung)
        assert not psutil.pid_exists(hung[0])  # its nanny has killed it
    finally:
        executor.close()
