"""Run numbers as users write them: ``12,20-35``."""

from __future__ import annotations

import re

from cubeengine.errors import SpecError

MAX_RUNS = 10_000
_PART = re.compile(r"\s*([0-9]{1,8})\s*(?:-\s*([0-9]{1,8})\s*)?", re.ASCII)


def parse_runs(text: str) -> tuple[int, ...]:
    """Read run numbers and ranges; the last of a range is included, and a run counts once.

    Parameters
    ----------
    text : str
        Numbers and ranges with commas between them.

    Returns
    -------
    tuple of int
        In the order in which they are named.

    Raises
    ------
    SpecError
        If a part is neither, a range falls, or there are more than 10,000.

    Examples
    --------
    >>> parse_runs("12,20-23,21")
    (12, 20, 21, 22, 23)
    """
    runs: dict[int, None] = {}
    for part in text.split(","):
        runs.update(dict.fromkeys(_range(part, text)))
        if len(runs) > MAX_RUNS:
            raise SpecError(f"runs {text[:80]!r}: more than {MAX_RUNS:,} runs")
    return tuple(runs)


def _range(part: str, text: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        raise SpecError(
            f"runs {text[:80]!r}: {part[:40]!r} is neither a run nor a range; write e.g. 12,20-35"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise SpecError(f"runs {text[:80]!r}: the range {part.strip()} is reversed; write {last}-{first}")
    if last - first >= MAX_RUNS:
        raise SpecError(f"runs {text[:80]!r}: more than {MAX_RUNS:,} runs")
    return range(first, last + 1)
