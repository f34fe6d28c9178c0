"""``cubeengine shell``: a run to be explored, in IPython."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from cubeengine.cli.base import Command, printable, say
from cubeengine.cli.options import source_options
from cubeengine.terminal import takes_colours, takes_escapes

if TYPE_CHECKING:
    from cubeengine.session.session import Session

_SELECTION = re.compile(
    r"(?:\.(?:mask|cut_flow|plot_cut_flow|deselect|node)\(|select=\[?(?:[\"'][^\"']*[\"'],\s*)*)\s*[\"'](?P<name>[^\"']*)$"
)
"""A line that ends in the beginning of a selection's name."""


@click.command("shell", cls=Command, short_help="Explore a run in IPython.")
@source_options
@click.option("-c", "code", metavar="CODE", help="Run CODE and exit, without a prompt.")
@click.option(
    "--saved", default="check", show_default=True, metavar="HOW|FILE",
    help="What to do with a session saved for other files: refuse it (check), accept it if the events are "
    "the same (accept), take its recipes but no arrays (recipes), or start a new session (ignore). Or the "
    "file of a session saved under another name.",
)  # fmt: skip
@click.pass_context
def command(ctx: click.Context, source: str, xtc: tuple[str, ...], code: str | None, saved: str) -> None:
    """Explore SOURCE, a file, a directory or experiment:run, in IPython: as `run`, with `ce` imported.

    What is added, declared and selected is saved when the shell ends, and is there next time. Commands may
    also come from a pipe:

    \b
      cubeengine shell data/xpptut15_Run0252.h5
      cubeengine shell xpptut15:252 -c 'print(run.cut_flow("on"))'
    """  # noqa: D301 - \b keeps the lines below apart
    session = _session(source, xtc, saved)
    with _ends_of_its_own(session):
        failed = _ipython(session, code)
    _save(session)
    ctx.exit(1 if failed else 0)


def _session(source: str, xtc: tuple[str, ...], saved: str) -> Session:
    from cubeengine.errors import MissingExtra

    try:
        import IPython  # noqa: F401 - whether it is there, before anything is read
    except ImportError as err:
        raise MissingExtra("the shell needs IPython: pip install 'cubeengine[shell]'") from err
    from cubeengine import api
    from cubeengine.cli.progress import working
    from cubeengine.session.session import Session

    with working("opening the run"):
        return Session(api.open_source(source, xtc), saved=saved)


def _ipython(session: Session, code: str | None) -> bool:
    """Run the shell until it ends; tell whether the code it was given failed."""
    from IPython import start_ipython
    from IPython.terminal.interactiveshell import TerminalInteractiveShell
    from IPython.terminal.ipapp import TerminalIPythonApp

    arguments = ["--no-confirm-exit"] + ([] if code is None else ["-c", code])
    try:
        start_ipython(
            argv=arguments, user_ns=_names(session), config=_config(session, quiet=code is not None)
        )
    except SystemExit as end:
        return bool(end.code)
    finally:
        for kind in (TerminalInteractiveShell, TerminalIPythonApp):
            kind.clear_instance()
    return False


def _names(session: Session) -> dict[str, Any]:
    import numpy as np
    import xarray as xr

    import cubeengine as ce

    return {"run": session, "session": session, "ce": ce, "np": np, "xr": xr}


def _config(session: Session, *, quiet: bool) -> Any:
    from traitlets.config import Config

    config = Config()
    config.TerminalIPythonApp.display_banner = not quiet
    config.TerminalInteractiveShell.banner1 = "" if quiet else f"{printable(session.greeting)}\n"
    config.TerminalInteractiveShell.banner2 = ""
    config.TerminalInteractiveShell.enable_tip = False
    if not (takes_colours(sys.stdout) and takes_colours(sys.stderr)):
        config.InteractiveShell.colors = "nocolor"  # of tracebacks: IPython colours them even in a pipe
    if not takes_escapes(sys.stdout):
        config.TerminalInteractiveShell.simple_prompt = True
    config.InteractiveShellApp.extensions = [__name__]
    if _has_display():
        config.InteractiveShellApp.matplotlib = "auto"
    return config


def load_ipython_extension(shell: Any) -> None:
    """Have errors of ours told in one message; `%tb` shows where they came from."""
    from cubeengine.errors import CubeEngineError

    def tell(shell: Any, kind: type[Exception], error: Exception, *_: object, **__: object) -> None:
        del shell
        say(f"{kind.__name__}: {printable(str(error))}", "red")

    shell.set_custom_exc((CubeEngineError,), tell)
    shell.Completer.custom_matchers.append(_selection_matcher(shell))


def _selection_matcher(shell: Any) -> Any:
    """Complete the names of selections, as run[<TAB> completes those of fields."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    def selections(context: Any) -> Any:
        typed = _SELECTION.search(context.line_with_cursor)
        known = getattr(getattr(shell.user_ns.get("run"), "spec", None), "select", ())
        names = [name for name in known if typed and name.startswith(typed["name"])]
        return {"completions": [SimpleCompletion(name) for name in names], "suppress": bool(names)}

    return context_matcher()(selections)


def _has_display() -> bool:
    """Return whether windows with pictures can be shown."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@contextmanager
def _ends_of_its_own(session: Session) -> Iterator[None]:
    """Let Ctrl-C stop a line and not the shell; save when the terminal is lost, or on SIGTERM."""

    def save_and_end(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)
        session.close()
        os.kill(os.getpid(), number)

    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: save_and_end,
        signal.SIGHUP: save_and_end,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _save(session: Session) -> None:
    """Save at the end, and say where; what is not saved is an error."""
    if session.is_saved:
        return
    path = session.close()
    click.echo(printable(f"saved {path}"), err=True)
