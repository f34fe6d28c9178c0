"""Checks a spec's text, and a spec against the fields of a run: every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from cubeengine.errors import SpecError
from cubeengine.schema.files import reader_words
from cubeengine.schema.problems import Problem, SpecPath, in_order, problems_of, spec_error
from cubeengine.spec.fields import field_problems
from cubeengine.spec.links import MAX_PROBLEMS, walk_selections
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.overrides import override_document
from cubeengine.spec.positions import Positions, without_wrong_parts
from cubeengine.spec.resolve import Resolver
from cubeengine.spec.yaml import MAX_BYTES, Document, parse_document
from cubeengine.types import FieldInfo

_ROUNDS = 12
Spec = TypeVar("Spec", bound=CubeSpec)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of a text found.

    Attributes
    ----------
    spec : CubeSpec or None
        The spec; None where anything is wrong with it.
    remains : CubeSpec or None
        The spec without its wrong parts, to be checked further; None where too little is left.
    problems : tuple of Problem
        Errors and warnings as they stand in the text.
    positions : Positions
        Where the values of `remains` stand in the text; for `check_fields`.
    """

    spec: CubeSpec | None
    remains: CubeSpec | None
    problems: tuple[Problem, ...]
    positions: Positions


def check_spec(source: str | bytes | Path) -> tuple[CubeSpec | None, list[Problem]]:
    """Check a spec by itself.

    Parameters
    ----------
    source : Path, or text
        The file, or its text.

    Returns
    -------
    CubeSpec or None
        The spec; None where anything is wrong with it.
    list of Problem
        Errors and warnings as they stand in the text.

    Raises
    ------
    SpecError
        If the file cannot be read.
    """
    checked = check_document(read_text(source) if isinstance(source, Path) else source)
    return checked.spec, list(checked.problems)


def check_document(
    text: str | bytes, overrides: Mapping[str, object] | None = None, kind: type[CubeSpec] = CubeSpec
) -> Checked:
    """Check a text, keeping what is needed to check the spec against a run even if parts are wrong.

    Parameters
    ----------
    text : text
        The spec.
    overrides : mapping, optional
        Values set from outside; see `apply_overrides`.
    kind : type
        What the text should be: `CubeSpec`, or a kind of it.

    Raises
    ------
    SpecError
        If an override does not fit the spec.
    """
    document = parse_document(text)
    if document.data is None:
        empty = Problem((), "the spec is empty", 1, 1)
        return Checked(None, None, document.problems or (empty,), Positions(document, None))
    document = override_document(document, overrides or {})
    remains, problems, positions = _what_remains(document, kind)
    spec = None if problems or document.problems else remains
    warnings = []
    if remains is not None:
        remains._positions, warnings = positions, _warnings(remains, positions)
    return Checked(spec, remains, tuple(in_order([*document.problems, *problems, *warnings])), positions)


def check_fields(
    spec: CubeSpec, positions: Positions | None, fields: Mapping[str, FieldInfo], where: str = "the run"
) -> list[Problem]:
    """Check every name of a spec against the fields of a run.

    Parameters
    ----------
    spec : CubeSpec
        The spec, or what remains of one with problems.
    positions : Positions or None
        Where its values stand in the text (`Checked.positions`); None for those that the spec knows.
    fields : mapping of name to FieldInfo
        The run's fields, of all kinds.
    where : str
        What the run is called in messages.
    """
    positions = positions or positions_of(spec)
    return in_order([positions.problem(path, text) for path, text in field_problems(spec, fields, where)])


def positions_of(spec: CubeSpec) -> Positions:
    """Return where the values of a spec stand in the text that it was read from, if it was."""
    return spec._positions or Positions(Document(spec.to_dict()), spec.to_dict())


def load_spec(kind: type[Spec], text: str | bytes, name: str, overrides: Mapping[str, object] | None) -> Spec:
    """Read a spec from text; raise one SpecError with all problems if there are any."""
    checked = check_document(text, overrides, kind)
    if checked.spec is None:
        raise spec_error(checked.problems, name)
    spec = kind.model_validate(checked.positions.data)
    spec._positions = replace(checked.positions, name=name)
    return spec


def read_text(path: Path) -> bytes:
    """Read the file of a spec.

    Raises
    ------
    SpecError
        If no such file, or it is too large to be a spec.
    """
    try:
        reader = reader_words(path) if path.suffix not in (".yaml", ".yml", ".json") else ""
        if reader:
            raise SpecError(f"{path}: is not a spec; {reader}")
        if path.is_dir():
            raise SpecError(f"{path}: is a folder, not the file of a spec")
        if not path.is_file():
            raise SpecError(f"{path}: no such file")
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path}: is larger than {MAX_BYTES:,} bytes; is this a spec file?")
        return path.read_bytes()
    except (OSError, ValueError) as err:
        if isinstance(err, SpecError):
            raise
        raise SpecError(f"{path}: cannot be read: {err}") from err


def _what_remains(
    document: Document, kind: type[CubeSpec]
) -> tuple[CubeSpec | None, list[Problem], Positions]:
    """Validate; leave out what is wrong and validate again, as long as that finds more."""
    wrong: set[SpecPath] = set()
    problems: list[Problem] = []
    for _ in range(_ROUNDS):
        positions = without_wrong_parts(document, wrong, kind.standins)
        try:
            return kind.model_validate(positions.data), problems, positions
        except ValidationError as err:
            errors = problems_of(err)
        found = [
            (error.path, positions.problem(error.path, error.message)) for error in errors[:MAX_PROBLEMS]
        ]
        # What was left out may be missed by the part it stood in: that is no problem of its own.
        problems += [problem for _, problem in found if not _lacks(problem.path, wrong)]
        if len(errors) > MAX_PROBLEMS:
            problems.append(replace(found[-1][1], path=(), message="there are more problems after this one"))
        if len(problems) >= MAX_PROBLEMS:
            break
        for path, problem in found:
            needed = path[:1] if path and path[0] in kind.standins else None
            wrong |= {needed or _left_out(problem.path, wrong)}
        if () in wrong:
            break
    return None, problems, positions


def _lacks(path: SpecPath, wrong: set[SpecPath]) -> bool:
    return any(left_out[: len(path)] == path for left_out in wrong)


def _left_out(path: SpecPath, wrong: set[SpecPath]) -> SpecPath:
    while path in wrong:
        path = path[:-1]
    return path


def _warnings(spec: CubeSpec, positions: Positions) -> list[Problem]:
    return [
        positions.problem(path, f"{pattern!r} matches no field that the selection uses", "warning")
        for path, pattern in _idle_patterns(spec)
    ]


def _idle_patterns(spec: CubeSpec) -> list[tuple[SpecPath, str]]:
    found: list[tuple[SpecPath, str]] = []
    resolver = Resolver(spec)
    for path, selection in walk_selections(spec):
        if selection.without:
            used = resolver.fields(selection)
            found += [
                ((*path, "without", i), pattern)
                for i, pattern in enumerate(selection.without)
                if not any(fnmatchcase(field, pattern) for field in used)
            ]
    return found
