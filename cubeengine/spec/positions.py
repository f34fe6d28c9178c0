"""From the path of a value in the model to its place in the text."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from cubeengine.schema.problems import Problem, SpecPath, format_path
from cubeengine.spec.yaml import Document, Place

_STANDINS: Mapping[str, Any] = {"select": [], "derive": "0", "missing": []}
"""What takes the place of a wrong entry, so that references to it are not wrong as well."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the values of a spec stand in its text.

    Attributes
    ----------
    document : Document
        The text as it was read.
    data : plain data
        What the spec was made of: the document's data, perhaps without its wrong parts.
    origin : mapping of path to path
        Where parts of `data` stand in the document, where wrong parts were left out.
    name : str
        Name of the text, e.g. of its file.
    """

    document: Document
    data: Any
    origin: Mapping[SpecPath, SpecPath] = field(default_factory=dict)
    name: str = ""

    def find(self, path: SpecPath) -> SpecPath:
        """Return the path in the document of a value in the model.

        Shorthands are spelled out in the model: what is not in the text is left out of the path.
        """
        node, found = self.data, []
        for part in path:
            if _holds(node, part):
                node = node[part]
                found.append(part)
        here = tuple(found)
        return self.origin.get(here, here)

    def problem(
        self, path: SpecPath, message: str, severity: Literal["error", "warning"] = "error"
    ) -> Problem:
        """Make a problem of a value in the model, placed in the text."""
        here = self.find(path)
        if any(here[: len(key)] == key for key in self.document.overridden):
            return Problem(here, f"{message} (set outside the file)", severity=severity)
        line, column = self._place(here, at_key=message.startswith("unknown key")) or (None, None)
        below = sorted(
            format_path(key) for key in self.document.overridden if here and key[: len(here)] == here
        )
        if below:  # the line is right, what was set may not fit it
            message = f"{message} ({', '.join(below)} set outside the file)"
            line, column = (line, column) if here in self.document.places else (None, None)
        return Problem(here, message, line, column, severity)

    def _place(self, path: SpecPath, *, at_key: bool) -> Place | None:
        """Return the place of a value; of its key, if the value is a block below it."""
        places, keys = self.document.places, self.document.keys
        while path and path not in places:
            path = path[:-1]
        if path in keys and (at_key or isinstance(value_at(self.document.data, path), dict | list)):
            return keys[path]
        return places.get(path)


def value_at(data: Any, path: SpecPath) -> Any:
    """Return the value at a path; None where there is none."""
    for part in path:
        if not _holds(data, part):
            return None
        data = data[part]
    return data


def without_wrong_parts(document: Document, wrong: Set[SpecPath], standins: Mapping[str, Any]) -> Positions:
    """Leave out the parts of a document that are wrong, so that the rest can be checked further.

    `standins` has what takes the place of keys that may not be left out.
    """
    if not wrong:
        return Positions(document, document.data)
    origin: dict[SpecPath, SpecPath] = {}
    data = _kept(document.data, (), (), wrong, origin)
    if isinstance(data, dict):
        data |= {key: value for key, value in standins.items() if (key,) in wrong}
    return Positions(document, data, origin)


def _kept(
    data: Any, path: SpecPath, here: SpecPath, wrong: Set[SpecPath], origin: dict[SpecPath, SpecPath]
) -> Any:
    """Copy data without the wrong parts; `path` is the old path, `here` the new one."""
    origin[here] = path
    if isinstance(data, dict):
        result = {}
        for key, value in data.items():
            inner = (*path, key)
            if inner not in wrong:
                result[key] = _kept(value, inner, (*here, key), wrong, origin)
            elif len(inner) == 2 and inner[0] in _STANDINS:
                result[key] = _STANDINS[str(inner[0])]
                origin[(*here, key)] = inner
        return result
    if isinstance(data, list):
        kept: list[Any] = []
        for number, item in enumerate(data):
            inner, now = (*path, number), (*here, len(kept))
            if inner not in wrong:
                kept.append(_kept(item, inner, now, wrong, origin))
            elif standin := _axis_standin(item, inner, wrong):
                kept.append(standin)
                origin.update({now: inner} | {(*now, key): (*inner, key) for key in standin})
        return kept
    return data


def _axis_standin(axis: Any, path: SpecPath, wrong: Set[SpecPath]) -> dict[str, Any]:
    """Return what takes the place of an axis whose bins are wrong, so that its field is checked as well."""
    if path[0] != "axes" or len(path) != 2 or not isinstance(axis, dict):
        return {}
    right = {key: axis[key] for key in ("field", "name") if key in axis and (*path, key) not in wrong}
    return {**right, "quantiles": 1} if "field" in right else {}


def _holds(node: Any, part: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node
