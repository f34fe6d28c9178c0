"""Plain data to YAML text that reads back as the same data, laid out for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from cubeengine.spec.scalars import read_scalar

_BLOCKS = frozenset({"run", "derive", "select", "axes", "signals"})
_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./+*<>=%^-]*(?: [A-Za-z0-9_./+*<>=%^-]+)*")


def write_yaml(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML: sections as blocks, their entries on one line each where they fit.

    Examples
    --------
    >>> print(write_yaml({"cube": "delay", "axes": [{"field": "ipm2/sum", "edges": [0, 0.5]}]}), end="")
    cube: delay
    axes:
      - {field: ipm2/sum, edges: [0, 0.5]}
    """
    return "".join(_entry(key, value, "", key in _BLOCKS) for key, value in data.items())


def _entry(key: str, value: Any, indent: str, block: bool) -> str:
    line = f"{indent}{_text(key, is_key=True)}: {flow(value)}\n"
    if not value or not isinstance(value, Mapping | list) or (not block and len(line) <= _WIDTH):
        return line
    inner = indent + "  "
    if isinstance(value, Mapping):
        body = "".join(_entry(name, item, inner, False) for name, item in value.items())
    else:
        body = "".join(f"{inner}- {flow(item)}\n" for item in value)
    return f"{indent}{_text(key, is_key=True)}:\n{body}"


def flow(value: Any) -> str:
    """Write a value on one line, as it may stand anywhere in YAML."""
    if isinstance(value, Mapping):
        items = (f"{_text(key, is_key=True)}: {flow(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str, *, is_key: bool = False) -> str:
    plain = _PLAIN.fullmatch(value) and not value.startswith("...")
    if plain and (is_key or isinstance(read_scalar(value), str)):
        return value
    return json.dumps(value, ensure_ascii=False)
