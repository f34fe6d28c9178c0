"""Plain YAML 1.2 scalars: which text is a number, a truth value or nothing, and which is text.

The core schema of YAML 1.2: `on`, `off`, `yes`, `no` are text, `4e4` and `1e-12` are numbers,
`012` is twelve, `0o14` and `0xC` are twelve too.

References
----------
YAML 1.2.2, section 10.3.2 (tag resolution of the core schema).
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {name: name.lower() == "true" for name in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = {"0o": (re.compile(r"[0-7]{1,40}"), 8), "0x": (re.compile(r"[0-9a-fA-F]{1,40}"), 16)}
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)(\.inf|\.Inf|\.INF)|(\.nan|\.NaN|\.NAN)")
_MAX_DIGITS = 40  # longer whole numbers are read as floats: Python refuses to read very long ones


def read_scalar(text: str) -> Scalar:
    """Read an unquoted scalar.

    Examples
    --------
    >>> read_scalar("on"), read_scalar("4e4"), read_scalar("012"), read_scalar("~")
    ('on', 40000.0, 12, None)
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text)
    digits, base = _BASED.get(text[:2], (None, 10))
    if digits and digits.fullmatch(text[2:]):
        return int(text[2:], base)
    if special := _SPECIAL.fullmatch(text):
        return float((special[1] or "") + "inf") if special[2] else float("nan")
    return float(text) if _FLOAT.fullmatch(text) else text
