"""Counters posted to a server of our own: one that answers, hangs, refuses, fails or sends elsewhere."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from cubeengine.submit.counters import Counters
from tests.submit.log_book import SECRET, LogBook, serving
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def log_book() -> Iterator[LogBook]:
    with serving() as server:
        yield server


def test_values_arrive_as_the_log_book_wants_them(log_book: LogBook) -> None:
    counters = Counters(log_book.url)
    counters.update({"cube": "in the making", "progress": "50 %"})
    wait_until(lambda: log_book.bodies, "the values have arrived")
    counters.close({"cube": "made"})

    first, last = log_book.bodies
    assert first == (
        f"/counters/{SECRET}?x=1",
        [{"key": "cube", "value": "in the making"}, {"key": "progress", "value": "50 %"}],
    )
    assert last[1] == [{"key": "cube", "value": "made"}]
    assert log_book.headers[0]["Content-Type"] == "application/json"
    assert log_book.headers[0]["Authorization"].startswith("Basic ")


def test_only_the_newest_values_are_posted_and_not_all_the_time(log_book: LogBook) -> None:
    counters = Counters(log_book.url, every=60.0)
    for number in range(1000):
        counters.update({"progress": str(number)})
    counters.close({"progress": "1000"})

    assert len(log_book.bodies) <= 3
    assert log_book.bodies[-1][1] == [{"key": "progress", "value": "1000"}]


@pytest.mark.slow
def test_run_does_not_wait_for_a_server_that_hangs(log_book: LogBook) -> None:
    log_book.release.clear()
    counters = Counters(log_book.url, timeout=PATIENCE)
    for number in range(100):
        counters.update({"progress": str(number)})
    counters.close({"progress": "made"})

    assert log_book.bodies == []  # it has answered nothing, and we are here


def test_server_that_hangs_is_given_up(log_book: LogBook, caplog: pytest.LogCaptureFixture) -> None:
    log_book.release.clear()
    counters = Counters(log_book.url, timeout=0.2)
    counters.close({"progress": "made"})

    assert "TimeoutError" in caplog.text


def test_refused_and_failing_posts_are_told_once_without_the_address(
    log_book: LogBook, caplog: pytest.LogCaptureFixture
) -> None:
    log_book.status = 500
    counters = Counters(log_book.url, every=0.0)
    counters.update({"progress": "1"})
    wait_until(lambda: log_book.bodies, "the first values have arrived")
    counters.close({"progress": "2"})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    Counters(f"http://127.0.0.1:{closed}/{SECRET}").close({"progress": "1"})

    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == [
        "cannot post progress to the logbook at 127.0.0.1: status 500",
        "cannot post progress to the logbook at 127.0.0.1: ConnectionRefusedError",
    ]
    assert SECRET not in caplog.text


def test_redirects_are_not_followed(log_book: LogBook, caplog: pytest.LogCaptureFixture) -> None:
    log_book.status, log_book.location = 307, f"http://127.0.0.1:{log_book.server_port}/elsewhere"
    Counters(log_book.url).close({"progress": "1"})

    assert [path for path, _ in log_book.bodies] == [f"/counters/{SECRET}?x=1"]
    assert "status 307" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"file:///etc/{SECRET}",
        f"ftp://host/{SECRET}",
        f"https:///{SECRET}",
        f"http://host:port/{SECRET}",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_told_and_nothing_is_sent(url: str, caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters(url)
    counters.update({"progress": "1"})
    counters.close({"progress": "2"})

    assert "holds no address of a logbook" in caplog.text
    assert SECRET not in caplog.text


def test_answer_that_is_no_http_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"nonsense\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        Counters(f"http://127.0.0.1:{server.getsockname()[1]}/").close({"progress": "1"})
        thread.join()

    assert "BadStatusLine" in caplog.text
