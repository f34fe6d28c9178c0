"""The errors of cubeengine: few leaves, each also the built-in error a caller expects."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any


class CubeEngineError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the exit code of the command line."""

    exit_code = 5

    def __str__(self) -> str:
        # KeyError would print its argument with quotes around it.
        return "; ".join(str(argument) for argument in self.args)


class SpecError(CubeEngineError, ValueError):
    """The spec, or an argument, is wrong. `problems` lists every mistake."""

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class FieldNotFound(CubeEngineError, KeyError):
    """A field that the run does not have."""

    exit_code = 2

    def __init__(self, name: str, where: str, known: Sequence[str], hint: str = "", said: str = "") -> None:
        self.name, self.where, self.nearest = name, where, nearest_names(name, known)
        near = f"; nearest: {', '.join(map(repr, self.nearest))}" if self.nearest else ""
        super().__init__(f"{said or f'field {name!r} is not'} in {where}{near}{'; ' + hint if hint else ''}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_error, (type(self), self.args), self.__dict__


class SourceFormatError(CubeEngineError, OSError):
    """Input data that cannot be read in the expected format."""

    exit_code = 3


class DataError(CubeEngineError, ArithmeticError):
    """Values of the input that cannot be worked on as the spec asks.

    `row` is the row of storage they stand in, where that is known; among the frames at hand before.
    """

    exit_code = 3

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_error, (type(self), self.args), self.__dict__


class PlanError(CubeEngineError, RuntimeError):
    """A valid spec that cannot be carried out on this run."""

    exit_code = 2


class BudgetExceeded(CubeEngineError, MemoryError):
    """The plan does not fit the allowed memory."""

    exit_code = 4


class StoreMismatch(CubeEngineError, ValueError):
    """A store that is not the expected cube, or not a cube at all."""

    exit_code = 2


class StoreDamaged(StoreMismatch):
    """A cube of which a chunk cannot be read."""

    exit_code = 3


class LaunchError(CubeEngineError, RuntimeError):
    """The workers could not be started, or were lost."""


class WorkerLost(LaunchError):
    """A task ended its worker again and again; `task` is its name in the graph."""

    def __init__(self, message: str, task: str) -> None:
        super().__init__(message)
        self.task = task

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_error, (type(self), self.args), self.__dict__


class MissingExtra(CubeEngineError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""

    exit_code = 2


def nearest_names(name: str, known: Sequence[str], n: int = 3) -> tuple[str, ...]:
    """Return the known names most like `name`, best first; compares without case.

    Where there are none, those of which one part is like it, as `ipm2/sum` for "sum".
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    if close := get_close_matches(name.lower(), list(by_lower), n=n, cutoff=0.6):
        return tuple(map(by_lower.__getitem__, close))
    parts = {candidate: candidate.replace("__", "/").split("/")[1:] for candidate in by_lower}
    like = get_close_matches(
        name.lower(), {part for ends in parts.values() for part in ends}, n=n, cutoff=0.75
    )
    found = (by_lower[candidate] for part in like for candidate, ends in parts.items() if part in ends)
    return tuple(dict.fromkeys(found))[:n]


def _restore_error(kind: type[CubeEngineError], args: tuple[object, ...]) -> CubeEngineError:
    """Rebuild an error on the other side of a process boundary without running its `__init__`."""
    error = kind.__new__(kind)
    error.args = args
    return error
