from __future__ import annotations

import threading

import pytest

from cubeengine.cli import progress
from cubeengine.cli.progress import working


class Waits(threading.Event):
    """An event that comes after so many waits, and notes how long each would have been."""

    def __init__(self, n_waits: int) -> None:
        super().__init__()
        self.left, self.pauses = n_waits, []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        self.left -= 1
        return self.left < 0


def test_long_work_is_told_in_a_log_ever_more_rarely(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = Waits(4)
    progress._print_lines("planning", ended)

    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == ["planning"] * 4
    assert ended.pauses == [10, 20, 40, 80, 160]


def test_what_is_over_in_a_moment_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with working("planning"):
        pass

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_an_error_within_comes_through() -> None:
    with pytest.raises(KeyError), working("planning"):
        raise KeyError
