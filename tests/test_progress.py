from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import cubeengine as ce
from cubeengine.progress import PLANNING, Progress, ProgressBar, shown, working
from tests.makers.smalldata import write_lcls1
from tests.waiting import PATIENCE, wait_until

NOTEBOOK = SimpleNamespace(kernel=object())


class Handle:
    """Stands for an output of a notebook's cell: what it showed, state after state."""

    states: ClassVar[list[dict[str, str]]] = []

    def display(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.states.append(bundle)

    update = display


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A notebook; what its only output shows, state after state."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: NOTEBOOK))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(DisplayHandle=Handle))
    monkeypatch.setattr(Handle, "states", [])
    monkeypatch.setattr("cubeengine.progress.MOMENT_SECONDS", 0.001)
    return Handle.states


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
    monkeypatch.setenv("TERM", "xterm")
    with shown(None) as on_progress:
        assert isinstance(on_progress, ProgressBar) == drawn


def test_a_notebook_has_a_bar_of_its_own(notebook: list[dict[str, str]]) -> None:
    with ProgressBar() as bar:
        for done, seconds in ((1, 0.1), (10, 1.0), (20, 1.1), (30, 1.3), (100, 1.4)):
            bar(at(done, seconds))

    # not what is over soon, and not every state, but the last in any case
    assert [state["text/plain"].split()[0] for state in notebook] == ["10", "30", "100"]
    assert '<progress value="30" max="100">' in notebook[1]["text/html"]


def test_planning_shows_itself_in_a_notebook_while_it_lasts(
    notebook: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind_when_seen(*given: Any, **named: Any) -> Any:
        wait_until(lambda: notebook and notebook[-1]["text/plain"].startswith(PLANNING), "a line is there")
        return bind(*given, **named)

    write_lcls1(tmp_path / "run.h5", n_events=40)
    bind = ce.api.bind
    monkeypatch.setattr("cubeengine.api.bind", bind_when_seen)
    ce.plan(ce.open_run(tmp_path / "run.h5"), ce.CubeSpec(cube="a", signals=["ipm2/sum"]))

    assert notebook[-1] == {"text/plain": ""}


def test_work_in_a_script_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with working("planning"):
        pass

    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_kernel_shows_planning_in_the_cell_that_plans(tmp_path: Path) -> None:
    client = pytest.importorskip("jupyter_client")
    manager, kernel = client.manager.start_new_kernel(cwd=str(Path(__file__).parents[1]))
    try:
        seen: list[tuple[str, str]] = []

        def hear(message: dict[str, Any]) -> None:
            text = message["content"].get("data", {}).get("text/plain", "")
            seen.append((message["msg_type"], text))
            if text.startswith(PLANNING):
                (tmp_path / "seen").touch()

        code = f"""
import pathlib, time, cubeengine.progress as progress
with progress.working(progress.PLANNING):
    while not pathlib.Path({str(tmp_path / "seen")!r}).exists():
        time.sleep(0.01)
"""
        reply = kernel.execute_interactive(code, output_hook=hear, timeout=PATIENCE)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)

    assert reply["content"]["status"] == "ok"
    shown = [(kind, text.partition(",")[0]) for kind, text in seen if "display" in kind]
    assert shown[0] == ("display_data", PLANNING)
    assert shown[-1] == ("update_display_data", "")
