from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from cubeengine.progress import Progress, ProgressBar, shown


def at(done: int, seconds: float) -> Progress:
    return Progress(done=done, total=100, seconds=seconds, message="")


def test_a_bar_is_drawn_of_what_takes_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(patience=1.0) as bar:
        bar(at(10, 0.5))
        assert not bar.is_drawn
        bar(at(50, 1.5))
        assert bar.is_drawn
        bar(at(100, 2.0))

    assert "100 %" in capsys.readouterr().err


def test_what_is_quick_needs_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        bar(at(100, 0.1))

    assert capsys.readouterr().err == ""


def test_who_is_named_hears_of_the_progress() -> None:
    heard: list[Progress] = []
    with shown(heard.append) as on_progress:
        assert on_progress is not None
        on_progress(at(1, 1.0))

    assert heard == [at(1, 1.0)]


@pytest.mark.parametrize(
    ("shell", "on_terminal", "drawn"),
    [
        (None, True, False),  # a script
        (SimpleNamespace(), True, True),  # IPython on a terminal
        (SimpleNamespace(), False, False),  # IPython in a pipe
        (SimpleNamespace(kernel=object()), False, True),  # a notebook
    ],
)
def test_a_bar_is_for_who_watches(
    shell: object, on_terminal: bool, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal, raising=False)
    with shown(None) as on_progress:
        assert isinstance(on_progress, ProgressBar) == drawn
