"""HTML in small pieces: whatever is text is escaped, whatever is HTML says so by its type."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

LONGEST_CELL = 1000
"""Characters of a table's cell; nobody reads more there, and the page stays small."""

VOID = ("img", "meta")
"""Elements without an end."""


class Html(str):
    """A text that is HTML already, and safe."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escape a text for elements and attributes; what cannot be printed becomes a question mark."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(plain(str(value)), quote=True))


def plain(value: str) -> str:
    """Replace what cannot be printed by question marks: control characters, halves of characters."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in value)


def element(name: str, *children: object, **attributes: object) -> Html:
    """Make an element; children that are no `Html` are escaped, and so are all attributes.

    Examples
    --------
    >>> element("p", "1 < 2", title='"')
    '<p title="&quot;">1 &lt; 2</p>'
    """
    given = "".join(f' {key.rstrip("_")}="{text(value)}"' for key, value in attributes.items())
    end = "" if name in VOID else f"</{name}>"
    return Html(f"<{name}{given}>{joined(children)}{end}")


def joined(parts: Iterable[object]) -> Html:
    """Put pieces one after the other."""
    return Html("".join(text(part) for part in parts))


def table(header: Sequence[object], rows: Iterable[Sequence[object]], *, left: int = 1) -> Html:
    """Make a table; the first `left` columns hold text, the others numbers, or bars."""
    head = joined(element("th", cell, **_side(i, left)) for i, cell in enumerate(header))
    body = joined(
        element("tr", joined(element("td", _short(cell), **_side(i, left)) for i, cell in enumerate(row)))
        for row in rows
    )
    made = element("table", element("thead", element("tr", head)), element("tbody", body))
    return element("div", made, class_="wide")


def _short(cell: object) -> object:
    if isinstance(cell, Html) or len(str(cell)) <= LONGEST_CELL:
        return cell
    return f"{str(cell)[:LONGEST_CELL]} ..."


def _side(column: int, left: int) -> dict[str, str]:
    return {} if column < left else {"class_": "number"}


def bar(part: float) -> Html:
    """Draw a share of one as a bar."""
    width = min(max(part, 0.0), 1.0) * 100
    return element("div", element("div", "", style=f"width:{width:.2f}%"), class_="bar")


def section(title: str, *parts: object) -> Html:
    """Put pieces under a heading; nothing where there are none."""
    content = joined(part for part in parts if part)
    return element("section", element("h2", title), content) if content else Html("")


def paragraph(*parts: object) -> Html:
    """Make a paragraph."""
    return element("p", *parts)


def number(value: object) -> str:
    """Write a count with separators; other things as they are."""
    return f"{value:,}" if isinstance(value, int) else str(value)
