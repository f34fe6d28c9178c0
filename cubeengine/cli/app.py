"""The group of all commands, and what becomes of errors, signals and broken pipes.

Exit codes: 0 done, 2 spec or arguments, 3 input data, 4 does not fit the memory, 5 the run failed,
130 interrupted, 143 terminated.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Any

import click

import cubeengine
from cubeengine.cli.base import DEBUG_OPTION, Settings, leave_stdout, printable, say
from cubeengine.errors import CubeEngineError

COMMANDS = (
    "demo",
    "fields",
    "shell",
    "new",
    "check",
    "plan",
    "run",
    "pick",
    "show",
    "report",
    "merge",
    "rebin",
    "pedestal",
    "submit",
    "jobs",
)
FAILED, INTERRUPTED, TERMINATED = 5, 130, 143


class Terminated(BaseException):
    """Raised by SIGTERM, as KeyboardInterrupt is by Ctrl-C."""


class LazyGroup(click.Group):
    """Commands by name; a command's module is imported when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of their use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"cubeengine.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Look a command up; a typo is answered with the nearest name."""
        from cubeengine.errors import nearest_names

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = nearest_names(args[0], COMMANDS, n=1)
            hint = f"; nearest: {near[0]!r}" if near else f"; commands: {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has closed our output has had enough."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            leave_stdout()
            ctx.exit(0)
        return result


@click.group(cls=LazyGroup, params=[DEBUG_OPTION], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(cubeengine.__version__, package_name="cubeengine", message="cubeengine %(version)s")
def cubeengine_group() -> None:
    """Bin the event data of an X-ray free-electron laser into cubes of mean, standard deviation and count.

    Start with:  cubeengine demo
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not where it is ignored: whoever started us in the background wants that.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    sys.exit(run_command(args))


def run_command(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    args : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    settings = Settings()
    try:
        code = cubeengine_group.main(args, prog_name="cubeengine", standalone_mode=False, obj=settings)
    except click.Abort:
        # Ctrl-C, which click turns into this.
        say("interrupted", "red")
        return INTERRUPTED
    except Terminated:
        say("terminated", "red")
        return TERMINATED
    except click.ClickException as err:
        err.show()
        return 2
    except CubeEngineError as err:
        return _report(str(err), err.exit_code, debug=settings.debug)
    except MemoryError:
        return _report("out of memory; use a smaller --memory, or fewer --workers", 4, debug=settings.debug)
    except OSError as err:
        return _report(_os_message(err), FAILED, debug=settings.debug)
    except Exception as err:  # a fault of ours: still one readable message
        message = f"{type(err).__name__}: {err}\nthis is a bug in cubeengine; --debug shows where"
        return _report(message, FAILED, debug=settings.debug)
    return code if isinstance(code, int) else 0


def _report(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    say(f"error: {printable(message)}", "red")
    return code


def _os_message(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _end(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that temporary files are removed."""
    del frame
    # A second signal must not interrupt the clean-up, to the very end of the process.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
