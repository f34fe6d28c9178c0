"""Attributes of a cube: text, numbers and arrays of numbers on disk; structures are JSON text.

NetCDF and most readers of zarr take nothing else, so a nested attribute (the spec, the fates of the events)
is stored as the text of a JSON object or array. xarray hands that text on as it is, and writes it again;
`facts_of` reads it. Cubes made before that have nested attributes, which `facts_of` reads as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def facts_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes, however they were stored, with their structures: JSON text is read."""
    return {str(name): _read(value) for name, value in attrs.items()}


def stored_attributes(attrs: Mapping[str, object]) -> dict[str, Any]:
    """Return attributes as every reader takes them: text, numbers, lists of numbers; None is left out.

    Examples
    --------
    >>> stored_attributes({"title": "delay", "ddof": 0, "fates": {"on": {"cut": 3}}, "join": None})
    {'title': 'delay', 'ddof': 0, 'fates': '{"on": {"cut": 3}}'}
    """
    plain = {name: jsonable(value, f"attribute {name!r}") for name, value in attrs.items()}
    return {name: _stored(value) for name, value in plain.items() if value is not None}


def _stored(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict) or (isinstance(value, list) and not _are_numbers(value)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return value


def _are_numbers(values: Sequence[object]) -> bool:
    """Return whether a list is an array of numbers, which has at least one."""
    return bool(values) and all(
        isinstance(item, int | float) and not isinstance(item, bool) for item in values
    )


def _read(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value  # text that begins with a bracket


def jsonable(value: object, where: str = "attribute") -> Any:
    """Turn nested attributes into plain JSON: numpy values, tuples and paths included.

    NaN and infinities become the strings that zarr uses ("NaN", "Infinity", "-Infinity"): they are no
    JSON, and other readers fail on them.

    Raises
    ------
    TypeError
        If a value is none of these, naming its place.
    """
    match value:
        case None | bool() | str():
            return value
        case np.generic() | np.ndarray():
            return jsonable(value.tolist(), where)
        case int():
            return int(value)
        case float():
            return _json_float(value)
        case Mapping():
            return {str(key): jsonable(item, f"{where}[{str(key)!r}]") for key, item in value.items()}
        case Path():
            return str(value)
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [jsonable(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{where}: {type(value).__name__} cannot be stored as an attribute")


def _json_float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
