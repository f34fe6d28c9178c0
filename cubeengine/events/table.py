"""The fields of a run as a table that shows itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from html import escape
from pathlib import PurePath

from cubeengine.budget import format_size
from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.spelling import spelled
from cubeengine.schema.calls import given_words
from cubeengine.schema.texts import counted
from cubeengine.types import FieldInfo, FieldKind

FRAMES = ("raw", "array", "image")
"""Names that the frames of a detector have in raw data, as `jungfrau/raw/raw`."""
SHOWN = 8
MOST_ROWS = 40
"""Fields in a terminal: more would scroll what was asked out of sight. `match` shows the others."""

HEADER = ("name", "shape", "dtype", "unit", "kind", "size", "origin")
_KINDS = {
    FieldKind.EVENT: "event",
    FieldKind.RAGGED: "ragged",
    FieldKind.RUN: "run",
    FieldKind.ALIGNED: "aligned",
}


class FieldTable(Mapping[str, FieldInfo]):
    """Fields by name.

    Parameters
    ----------
    fields : mapping
        The fields of a run.
    units : mapping
        Units that were declared; files carry none.
    where : str
        The run, for messages.
    hint : str
        What to do when a field is not there.
    aliases : mapping
        Other names of some of the fields.
    """

    def __init__(
        self,
        fields: Mapping[str, FieldInfo],
        units: Mapping[str, str],
        *,
        where: str = "the run",
        hint: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._fields = dict(fields)
        self._aliases = dict(aliases or {})
        self._units = dict(units)
        self._where, self._hint = where, hint

    def __getitem__(self, name: str) -> FieldInfo:
        return self._fields[self.resolve(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._known(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def resolve(self, name: str) -> str:
        """Return the name of a field as the run has it; `__` may stand for `/`.

        Raises
        ------
        FieldNotFound
            Naming the nearest fields there are.
        """
        known = self._known(name)
        if known is None:
            raise self.not_found(name)
        return known

    def not_found(self, name: str, hint: str = "") -> FieldNotFound:
        """Return the error that there is no field of a name; `hint` says what to do instead of the usual."""
        hint = hint or below_words(name, self._fields) or self._hint
        return FieldNotFound(name, self._where, list(self._fields), hint)

    def infos(self, expression: Expression) -> list[FieldInfo]:
        """Return the fields that an expression uses.

        Raises
        ------
        FieldNotFound
            Naming the nearest fields, or how the expression is written that was meant.
        """
        for name in sorted(expression.fields):
            if name not in self:
                raise self.not_found(name, spelled(expression.written, self.__contains__))
        return [self[name] for name in expression.fields]

    def _known(self, name: str) -> str | None:
        for candidate in (name, name.replace("__", "/")):
            if candidate in self._fields:
                return candidate
        return self._aliases.get(name)

    def find(self, name: str) -> str:
        """Return the name of a field as `resolve` does; `jungfrau/raw` stands for the one array below it too.

        Where there are several, it stands for the one that is called raw, array or image.

        Raises
        ------
        FieldNotFound
            Naming the fields below, or the nearest ones.
        """
        if name in self:
            return self.resolve(name)
        arrays = [field for field in _below(name, self._fields) if self._is_array(field)]
        frames = [field for field in arrays if field.rpartition("/")[2] in FRAMES]
        only = next((found for found in (arrays, frames) if len(found) == 1), None)
        return only[0] if only else self.resolve(name)

    def _is_array(self, name: str) -> bool:
        info = self._fields[name]
        return info.kind is FieldKind.EVENT and bool(info.shape)

    def match(self, pattern: str) -> FieldTable:
        """Return the fields whose names match a pattern, as ``"ipm*"``; without wildcards, that contain it.

        Raises
        ------
        FieldNotFound
            If there is none, with the nearest names.
        """
        if not isinstance(pattern, str):
            raise SpecError(f"a pattern is text, as 'ipm*', not {given_words(pattern)}")
        wanted = pattern.lower() if set("*?[") & set(pattern) else f"*{pattern.lower()}*"
        found = {name: info for name, info in self._fields.items() if fnmatchcase(name.lower(), wanted)}
        if not found:
            said = f"no field matches {pattern!r}"
            raise FieldNotFound(pattern, self._where, list(self._fields), self._hint, said)
        return self._part(found, f"{self._where} that match {pattern!r}")

    def below(self, name: str) -> FieldTable:
        """Return the fields whose names begin with a name and `/`, as those of a detector; may be none."""
        start = name.replace("__", "/").rstrip("/")
        names = _below(start, self._fields)
        return self._part({field: self._fields[field] for field in names}, f"{start} in {self._where}")

    def _part(self, fields: Mapping[str, FieldInfo], where: str) -> FieldTable:
        units = {name: unit for name, unit in self._units.items() if name in fields}
        return FieldTable(fields, units, where=where, hint=self._hint)

    def unit(self, name: str) -> str | None:
        """Return the declared unit of a field; None where none was declared."""
        return self._units.get(self.resolve(name))

    def rows(self) -> list[tuple[str, ...]]:
        """Return the lines of the table, as text."""
        return [self._row(name, info) for name, info in self._fields.items()]

    def __repr__(self) -> str:
        rows = self.rows()
        left = len(rows) - MOST_ROWS
        more = "" if left <= 0 else f"\nand {left:,} more; a part of them: run.fields.match('ipm*')"
        return f"{self._title()}\n{text_table(HEADER, rows[:MOST_ROWS] if more else rows)}{more}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._title())}</p>{html_table(HEADER, self.rows())}"

    def _title(self) -> str:
        return f"{counted(len(self), 'field')} of {self._where}"

    def _row(self, name: str, info: FieldInfo) -> tuple[str, ...]:
        shape = "x".join(map(str, info.shape))
        kind = _KINDS[info.kind] + (f" {info.group}" if info.group else "")
        unit = self._units.get(name, "")
        size = f"{format_size(info.nbytes)} {_place(info)}"
        return name, shape, str(info.dtype), unit, kind, size, PurePath(info.origin).name


def below_words(name: str, fields: Iterable[str]) -> str:
    """Name the fields below what may be a detector, `jungfrau/raw`; "" where there are none."""
    below = _below(name, fields)
    more = f" and {len(below) - SHOWN} more" if len(below) > SHOWN else ""
    return f"fields below it: {', '.join(map(repr, below[:SHOWN]))}{more}" if below else ""


def _below(name: str, fields: Iterable[str]) -> list[str]:
    return [field for field in fields if field.startswith(f"{name.rstrip('/')}/")]


def _place(info: FieldInfo) -> str:
    if info.storage.layout == "memory":
        return "in memory"
    return ", ".join(["on disk", *info.storage.codecs])


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table for a terminal: columns as wide as their longest entry, two spaces between."""
    lines = [tuple(map(_printable, line)) for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(entry.ljust(width) for entry, width in line).rstrip() for line in padded)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table for a notebook; all text is escaped."""
    left = ' style="text-align:left"'  # notebooks put cells to the right
    head = "".join(f"<th{left}>{escape(entry)}</th>" for entry in header)
    lines = ("".join(f"<td{left}>{escape(entry)}</td>" for entry in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _printable(text: str) -> str:
    # A field name with control characters must not steer the terminal.
    return "".join(character if character.isprintable() else "?" for character in text)
