"""Calls of public functions: a call that does not fit says what to write, in the caller's words.

Python's own message names neither the nearest argument nor the right call, and an argument of another type
is found only somewhere inside. `told` catches the first for every function that carries it; the second is for
the functions below, which read one kind of argument each.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from inspect import Parameter
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

from cubeengine.errors import SpecError, nearest_names
from cubeengine.schema.texts import kind_of

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_KEYWORDS = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def told(name: str, hint: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: a call that does not fit the arguments raises SpecError with the right call.

    Parameters
    ----------
    name : str
        The function as users write it, e.g. "ce.plan".
    hint : str
        What to add to the message.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as err:
                if err.__traceback__ is not None and err.__traceback__.tb_next is not None:
                    raise  # from inside the function: its arguments did fit
                words = _misfit(function, name, args, kwargs)
                raise SpecError(f"{words}{'; ' + hint if hint else ''}") from None

        return called

    return decorate


def told_methods(owner: str, hints: Mapping[str, str] | None = None) -> Callable[[C], C]:
    """Return a decorator for a class: its public methods are `told`, called on `owner`, e.g. "run"."""

    def decorate(cls: C) -> C:
        for name, item in list(vars(cls).items()):
            if inspect.isfunction(item) and not name.startswith("_"):
                setattr(cls, name, told(f"{owner}.{name}", (hints or {}).get(name, ""))(item))
        return cls

    return decorate


def _misfit(
    function: Callable[..., object], name: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> str:
    """Say what of a call does not fit, and the right call."""
    parameters = [item for item in inspect.signature(function).parameters.values() if item.name != "self"]
    n_given = len(args) - (next(iter(inspect.signature(function).parameters)) == "self")
    places = [item.name for item in parameters if item.kind is Parameter.POSITIONAL_OR_KEYWORD]
    known = [item.name for item in parameters if item.kind in _KEYWORDS]
    given = {*places[:n_given], *kwargs}
    problems = [*_unknown(known, kwargs)]
    problems += [f"{key!r} is given twice" for key in places[:n_given] if key in kwargs]
    if n_given > len(places):
        others = [key for key in known if key not in places]
        rest = f"; name the others: {', '.join(f'{key}=' for key in others)}" if others else ""
        problems.append(f"takes {len(places)} without a name, not {n_given}{rest}")
    needed = [item.name for item in parameters if item.kind in _KEYWORDS and item.default is Parameter.empty]
    problems += [f"needs {key!r}" for key in needed if key not in given]
    return f"{name}() {', '.join(problems)}; write {name}({_call(parameters)})"


def _unknown(known: Sequence[str], kwargs: Mapping[str, object]) -> Iterator[str]:
    for key in kwargs:
        if key not in known:
            near = nearest_names(key, known)
            others = f"nearest: {', '.join(map(repr, near))}" if near else f"known: {', '.join(known)}"
            yield f"has no argument {key!r} ({others})"


def _call(parameters: Sequence[Parameter]) -> str:
    """Return the arguments of the shortest right call: what is needed, and dots where there is more."""
    starred = [f"*{item.name}" for item in parameters if item.kind is Parameter.VAR_POSITIONAL]
    needed = [
        item.name if item.kind is Parameter.POSITIONAL_OR_KEYWORD else f"{item.name}=..."
        for item in parameters
        if item.kind in _KEYWORDS and item.default is Parameter.empty
    ]
    more = len(needed) + len(starred) < len(parameters)
    return ", ".join([*needed, *starred, *["..."] * more])


def no_attribute(owner: str, name: str, known: Sequence[str], hint: str = "") -> NoReturn:
    """Raise AttributeError for what is not there, with the nearest names or what to write instead."""
    near = nearest_names(name, [key for key in known if not key.startswith("_")])
    words = hint or (f"nearest: {', '.join(map(repr, near))}" if near else "")
    raise AttributeError(f"{owner} has no attribute {name!r}{'; ' + words if words else ''}", name=name)


def given_words(value: object) -> str:
    """Say what a caller gave: as `kind_of`, but in Python nothing is None."""
    return "None" if value is None else kind_of(value)


def as_path(value: object, what: str, example: str) -> Path:
    """Return a path that a user gives.

    Parameters
    ----------
    value : object
        What was given.
    what, example : str
        What it is the path of, and one, for messages: "the cube", "'delay.zarr'".

    Raises
    ------
    SpecError
        If it is no path.
    """
    if isinstance(value, str | os.PathLike):
        return Path(value)
    raise SpecError(f"{what} is a path, as {example}, not {given_words(value)}")


def as_mapping(value: object, what: str, example: str) -> Mapping[str, Any]:
    """Return the mapping that is given, empty for None; raise SpecError with an example where it is none."""
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise SpecError(f"{what} is a mapping, as {example}, not {kind_of(value)}")


def as_names(value: object, what: str, example: str) -> Sequence[str]:
    """Return one name, or several, as a list; raise SpecError with an example where they are none."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, Sequence | set | frozenset) and all(isinstance(name, str) for name in names):
        return list(names)
    raise SpecError(f"{what} is a name or a list of names, as {example}, not {kind_of(value)}")


def check_whole_number(value: object, what: str) -> None:
    """Raise SpecError where a number that a user gives, of events say, is no whole number."""
    if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__")):
        raise SpecError(f"{what} must be a whole number, but is {kind_of(value)}")
