"""Spec text to plain data with the place of every value: YAML 1.2, of which JSON is a part.

Built from parser events alone: nothing in the text can construct an object. Tags are refused,
duplicate keys are problems, and size, depth and aliases are limited before they cost anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from cubeengine.schema.problems import Problem, SpecPath, spec_error
from cubeengine.spec.scalars import read_scalar

MAX_BYTES = 1_000_000
MAX_DEPTH = 30
MAX_ALIASED = 10_000  # values that aliases may stand for, all together

Event: TypeAlias = Any  # ruamel.yaml gives no types to what its events hold
Place: TypeAlias = tuple[int, int]
"""Line and column, counted from 1."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text.

    Attributes
    ----------
    data : plain data
        Mappings with text keys, lists, text, numbers, truth values and None.
    places, keys : mapping of path to (line, column)
        Where each value, and the key of each mapping entry, stands in the text.
    problems : tuple of Problem
        What is wrong with the text itself.
    overridden : set of paths
        What was set from elsewhere, so that its place in the text says nothing.
    """

    data: Any
    places: Mapping[SpecPath, Place] = field(default_factory=dict)
    keys: Mapping[SpecPath, Place] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    overridden: frozenset[SpecPath] = frozenset()


class _Unreadable(Exception):
    """The text cannot be read any further."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.problem = Problem((), message, *place)


def parse_document(text: str | bytes) -> Document:
    """Read a text into plain data with places; what is wrong with it is in `problems`."""
    try:
        return _Builder(_events(_decoded(text))).document()
    except _Unreadable as err:
        return Document(None, problems=(err.problem,))


def load_data(text: str | bytes, name: str = "") -> Any:
    """Read a text into plain data.

    Raises
    ------
    SpecError
        If the text is not the YAML that a spec may be; with line and column.
    """
    document = parse_document(text)
    if document.problems:
        raise spec_error(document.problems, name)
    return document.data


def _decoded(text: str | bytes) -> str:
    size = len(text if isinstance(text, bytes) else text.encode(errors="replace"))
    if size > MAX_BYTES:
        raise _Unreadable(f"the text has {size:,} bytes, more than {MAX_BYTES:,}", (1, 1))
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = text.count(b"\n", 0, err.start) + 1
        message = f"byte {err.start} is not UTF-8 text; is this a spec file?"
        raise _Unreadable(message, (line, 1)) from err


def _events(text: str) -> Iterator[Event]:
    """Yield parser events; whatever the parser trips over becomes one readable error."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _Unreadable(f"not YAML: {_advised(str(err.problem or err.context))}", place) from err
    except (YAMLError, ValueError, LookupError, AttributeError, OverflowError, AssertionError) as err:
        # The parser lets a few of its own slips through, e.g. on escapes beyond Unicode.
        raise _Unreadable(f"not YAML: {str(err).splitlines()[0] if str(err) else err!r}", (1, 1)) from err


def _advised(problem: str) -> str:
    """Add to what the parser found what to write instead."""
    if "\\t" in problem:
        return f"{problem}; indent with spaces, not with tabs"
    if "cannot start any token" in problem:
        return f'{problem}; quote the text, as "`ipm2/sum` > 1"'
    if "but got '<stream end>'" in problem:
        return f"{problem}; close the bracket, or quote the text that it is part of"
    return problem


class _Builder:
    """Turns events into plain data, a value at a time."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._places: dict[SpecPath, Place] = {}
        self._keys: dict[SpecPath, Place] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._problems: list[Problem] = []
        self._aliased = 0

    def document(self) -> Document:
        data, documents = None, 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    _stop("a second YAML document starts here; a spec must be one document", event)
            elif isinstance(event, NodeEvent):
                data, _ = self._value(event, (), 0)
        return Document(data, self._places, self._keys, tuple(self._problems))

    def _value(self, event: Event, path: SpecPath, depth: int) -> tuple[Any, int]:
        """Build one value; also give how many values it is made of."""
        self._places[path] = _place(event)
        if depth > MAX_DEPTH:
            _stop(f"nested more than {MAX_DEPTH} levels deep", event)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            self._problem(path, f"the tag {event.tag!r} is not allowed: a spec is plain data", _place(event))
        value, size = self._untagged(event, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, size
        return value, size

    def _untagged(self, event: Event, path: SpecPath, depth: int) -> tuple[Any, int]:
        if isinstance(event, MappingStartEvent):
            return self._mapping(path, depth)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path, depth)
        return (read_scalar(event.value) if event.style in (None, "") else event.value), 1

    def _sequence(self, path: SpecPath, depth: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        total = 1
        while not isinstance(event := next(self._events), SequenceEndEvent):
            value, size = self._value(event, (*path, len(values)), depth + 1)
            values.append(value)
            total += size
        return values, total

    def _mapping(self, path: SpecPath, depth: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        total = 1
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event)
            inner = (*path, key)
            if key in values:
                message = f"the key {key!r} appears twice, first in line {self._keys[inner][0]}"
                self._problem(inner, message, _place(event))
            else:
                self._keys[inner] = _place(event)
            values[key], size = self._value(next(self._events), inner, depth + 1)
            total += size
        return values, total

    def _key(self, event: Event) -> str:
        if isinstance(event, AliasEvent):
            value, _ = self._alias(event)
            if isinstance(value, str):
                return value
        if not isinstance(event, ScalarEvent):
            _stop("a key must be text, not a list or a mapping", event)
        if event.tag is not None:
            self._problem((), f"the tag {event.tag!r} is not allowed: a spec is plain data", _place(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = event.value, 1
        return str(event.value)

    def _alias(self, event: Event) -> tuple[Any, int]:
        if event.anchor not in self._anchors:
            _stop(f"the alias *{event.anchor} refers to nothing, or to a value that contains it", event)
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            _stop(f"aliases expand to more than {MAX_ALIASED:,} values", event)
        return value, size

    def _problem(self, path: SpecPath, message: str, place: Place) -> None:
        self._problems.append(Problem(path, message, *place))


def _place(event: Event) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _stop(message: str, event: Event) -> NoReturn:
    raise _Unreadable(message, _place(event))
