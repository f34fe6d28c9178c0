"""Problems of a spec: what is wrong, where it stands, and how it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.schema.texts import kind_of

_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./-]*")

SpecPath: TypeAlias = tuple[str | int, ...]
"""Way from the top of a spec to one of its values, e.g. ("axes", 1, "edges")."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes
    ----------
    path : tuple of str and int
        Where in the spec, e.g. ("axes", 1, "edges"); () for the whole.
    message : str
        What is wrong, in one sentence.
    line, column : int or None
        Where in the text, counted from 1; None if the spec came from no text.
    severity : "error" or "warning"
        A warning does not keep the cube from being made.
    cause : "spec" or "data"
        Whether the spec is wrong, or a file that it names and that is there.
    """

    path: SpecPath
    message: str
    line: int | None = None
    column: int | None = None
    severity: Literal["error", "warning"] = "error"
    cause: Literal["spec", "data"] = "spec"

    def format(self, name: str = "") -> str:
        """Write the problem as one line, e.g. "cube.yaml:12:5: signals[2]: field ..."."""
        place = f"{self.line}:{self.column}" if self.line is not None else ""
        where = ":".join(part for part in (name, place) if part)
        warning = "warning" if self.severity == "warning" else ""
        return ": ".join(part for part in (where, format_path(self.path), warning, self.message) if part)

    def __str__(self) -> str:
        return self.format()


def format_path(path: SpecPath) -> str:
    """Write a path for people.

    Examples
    --------
    >>> format_path(("axes", 1, "edges"))
    'axes[1].edges'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Sort problems as they stand in the text, errors and warnings mixed, without repeats."""
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda problem: (problem.line or 0, problem.column or 0))


def problems_of(error: ValidationError) -> list[Problem]:
    """Return the problems that a validation error holds; their paths are those of the model."""
    return [Problem(tuple(detail["loc"]), explain_type(detail)) for detail in error.errors(include_url=False)]


def explain_type(error: ErrorDetails) -> str:
    """Say in plain words what a validation error means."""
    context, kind = error.get("ctx", {}), error["type"]
    if kind in {"spec", "value_error"}:
        # An expression shows itself with a mark on further lines; here line and column say that.
        return str(context["message" if kind == "spec" else "error"]).partition("\n")[0]
    if kind == "too_long":
        return f"must have at most {context['max_length']:,} entries"
    wanted = _WANTED.get(kind) or context.get("expected")
    if wanted:
        return f"must be {wanted}, but is {kind_of(error['input'])}{_corrected(error, wanted)}"
    return error["msg"][:1].lower() + error["msg"][1:]


def _corrected(error: ErrorDetails, wanted: str) -> str:
    """Return the line as it is meant where a list has no brackets, or a mapping is given as a list."""
    key, given = error["loc"][-1] if error["loc"] else "", error["input"]
    if not isinstance(key, str):
        return ""
    if wanted == "a list" and (isinstance(given, str) or (isinstance(given, Mapping) and "field" in given)):
        return f"; write  {key}: [{_flow(given)}]"
    if wanted == "a mapping" and isinstance(given, list | tuple) and given and isinstance(given[0], str):
        return f"; write  {key}: {{{_flow(given[0])}: ...}}"
    return ""


def _flow(value: object) -> str:
    """Write text, or a mapping with little in it, in one line of YAML."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(item)}' for key, item in value.items())}}}"
    return str(value) if _PLAIN.fullmatch(str(value)) else json.dumps(value, default=str)


def exit_code(problems: Iterable[Problem]) -> int:
    """Return how a command ends that has these problems: as for wrong data where nothing else is wrong."""
    only_data = all(problem.cause == "data" for problem in problems)
    return SourceFormatError.exit_code if only_data else SpecError.exit_code


def spec_error(problems: Sequence[Problem], name: str = "") -> SpecError:
    """Make the one error that tells all problems, a line each."""
    errors = [problem for problem in problems if problem.severity == "error"]
    lines = [problem.format(name) for problem in errors]
    if len(lines) > 1:
        lines = [f"{name or 'the spec'} has {len(lines)} problems:", *(f"  {line}" for line in lines)]
    error = SpecError("\n".join(lines), problems)
    error.exit_code = exit_code(errors)
    return error


def problems_in(error: SpecError) -> list[Problem]:
    """Return the problems that an error lists; itself as one where it lists none."""
    return [one for one in error.problems if isinstance(one, Problem)] or [Problem((), str(error))]


_WANTED = {
    "dict_type": "a mapping", "mapping_type": "a mapping", "model_type": "a mapping",
    "model_attributes_type": "a mapping", "tuple_type": "a list", "list_type": "a list",
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "string_type": "text",
}  # fmt: skip
