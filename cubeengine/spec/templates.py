"""File names with the run in them: `data/xpptut15_Run{run:04d}.h5`."""

from __future__ import annotations

import re

from cubeengine.errors import SpecError, nearest_names

_BRACES = re.compile(r"\{([^{}]*)\}")
_RUN = re.compile(r"run(?::(0?)([0-9]{0,2})d)?")
_KNOWN = ("experiment", "run", "run:04d")


def check_template(text: str) -> str:
    """Return the template if it has no braces but `{experiment}`, `{run}` and `{run:04d}`.

    Raises
    ------
    SpecError
        Naming what stands in the braces.
    """
    expand_template(text, "x", 0)
    return text


def expand_template(text: str, experiment: str | None, run: int | None) -> str:
    """Fill in experiment and run number.

    Raises
    ------
    SpecError
        If the template asks for something else, or for what is not given.

    Examples
    --------
    >>> expand_template("data/{experiment}_Run{run:04d}.h5", "xpptut15", 252)
    'data/xpptut15_Run0252.h5'
    """
    if set(_BRACES.sub("", text)) & {"{", "}"}:
        raise SpecError(f"{text!r} has an unmatched brace")
    return _BRACES.sub(lambda match: _value(match[1], experiment, run), text)


def _value(name: str, experiment: str | None, run: int | None) -> str:
    if name == "experiment":
        return _given(experiment, name)
    match = _RUN.fullmatch(name)
    if match is None:
        near = nearest_names(name, _KNOWN, n=1)
        hint = f"; nearest: '{{{near[0]}}}'" if near else "; known: {experiment}, {run}, {run:04d}"
        raise SpecError(f"'{{{name}}}' cannot be filled in{hint}")
    number, width = _given(run, name), int(match[2] or 0)
    return number.zfill(width) if match[1] else number.rjust(width)


def _given(value: object, name: str) -> str:
    if value is None:
        key = name.partition(":")[0]
        raise SpecError(f"'{{{name}}}' needs run.{key}, which the spec does not give")
    return str(value)
