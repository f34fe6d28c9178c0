"""Changes to a spec from the command line: `--set axes.0.unit=ps`, `-e`, `-r`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cubeengine.errors import SpecError
from cubeengine.schema.problems import SpecPath, format_path
from cubeengine.schema.texts import kind_of
from cubeengine.spec.yaml import Document, load_data

_SUBSCRIPT = re.compile(r"\[([0-9]+)\]")


def parse_override(text: str) -> tuple[str, Any]:
    """Read "dotted.key=value"; the value is YAML on one line.

    Raises
    ------
    SpecError
        If there is no `=`, or the value is no YAML.

    Examples
    --------
    >>> parse_override("axes.0.centers={start: -1, stop: 1, step: 0.5}")
    ('axes.0.centers', {'start': -1, 'stop': 1, 'step': 0.5})
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"{text!r} must have the form dotted.key=value, e.g. axes.0.unit=ps")
    return key.strip(), load_data(value, f"--set {key.strip()}")


def apply_overrides(data: Any, overrides: Mapping[str, object]) -> Any:
    """Return plain data with some values set.

    Parameters
    ----------
    data : plain data of a spec
        Stays as it is.
    overrides : mapping of dotted key to plain value
        E.g. {"axes.0.unit": "ps", "run.run": 12}; lists are counted from 0, and the number
        after the last appends.

    Raises
    ------
    SpecError
        If there is no such place.
    """
    return override_document(Document(data), overrides).data


def override_document(document: Document, overrides: Mapping[str, object]) -> Document:
    """Return a document with some values set; problems of these are told without a line."""
    data, paths = document.data, set(document.overridden)
    for key, value in overrides.items():
        if _SUBSCRIPT.search(key):
            raise SpecError(f"cannot set {key!r}: lists are counted with dots; write {_dotted(data, key)!r}")
        data, path = _set(data, key, (), value, key)
        paths.add(path)
    return replace(document, data=data, overridden=frozenset(paths))


def _dotted(data: Any, key: str) -> str:
    """Return a key with dots for brackets; limits and steps of an axis lie in its edges or centers."""
    path = _SUBSCRIPT.sub(r".\1", key).split(".")
    axes = data.get("axes") if isinstance(data, dict) else None
    if len(path) == 3 and path[0] == "axes" and path[2] in ("start", "stop", "step", "bins") and axes:
        axis = axes[int(path[1])] if path[1].isdecimal() and int(path[1]) < len(axes) else {}
        forms = [form for form in ("edges", "centers") if isinstance(axis.get(form), dict)]
        path[2:2] = forms[:1]
    return ".".join(path)


def _set(data: Any, rest: str, path: SpecPath, value: object, key: str) -> tuple[Any, SpecPath]:
    """Return a copy of `data` with the value set at the rest of the key, and the whole path."""
    if data is None:
        data = {}
    part, rest = _first(data, rest, path, key)
    here = (*path, part)
    if not rest:
        return _with(data, part, value), here
    inner = data.get(part) if isinstance(data, dict) else data[part]
    changed, whole = _set(inner, rest, here, value, key)
    return _with(data, part, changed), whole


def _first(data: Any, rest: str, path: SpecPath, key: str) -> tuple[Any, str]:
    """Split the next part off a dotted key; names with dots are found where they exist."""
    if isinstance(data, dict):
        known = [name for name in data if rest == name or rest.startswith(f"{name}.")]
        part = max(known, key=len) if known else rest.partition(".")[0]
        return part, rest[len(part) + 1 :]
    part, _, rest = rest.partition(".")
    where = format_path(path) or "the spec"
    if not isinstance(data, list):
        raise SpecError(f"cannot set {key!r}: {where} is {kind_of(data)}, which has no {part!r}")
    if not part.isdecimal() or not part.isascii() or len(part) > 9 or int(part) > len(data) - bool(rest):
        raise SpecError(f"cannot set {key!r}: {where} has {len(data)} entries, counted from 0, not {part!r}")
    return int(part), rest


def _with(data: Any, part: Any, value: object) -> Any:
    if isinstance(data, dict):
        return {**data, part: value}
    return [*data[:part], value, *data[part + 1 :]]
