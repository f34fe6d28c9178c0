"""Units that the facility's conventions give to names: what `new` declares and what hints propose.

Files carry no units. A convention is proposed, and never applied by itself.
"""

from __future__ import annotations

import re

from cubeengine.events.scan import leaf
from cubeengine.spec.writing import flow

_TIME_UNIT = re.compile(r".*_(fs|ps|ns|us|ms|s)", re.IGNORECASE)
_DELAY = re.compile(r".*(lxt|lasdelay|delay).*", re.IGNORECASE)
_TIMETOOL = re.compile(r"(tt|[^/]+/ttfex)/(\w+_)?(ttcorr|fltpos_ps)|ttcorr/tt", re.IGNORECASE)


def usual_unit(field: str) -> tuple[str, str] | None:
    """Return the unit of a field by convention, and why; None where its name says nothing of it.

    Encoders are in s or ps: that shows from their values, not from their names.

    Examples
    --------
    >>> usual_unit("scan/lxt")
    ('s', "the laser's phase is in s")
    """
    if _TIMETOOL.fullmatch(field):
        return "ps", "the time tool's correction is in ps"
    if not _DELAY.fullmatch(leaf(field)):
        return None
    if (match := _TIME_UNIT.fullmatch(leaf(field))) is not None:
        return match[1].lower(), "the name ends with the unit"
    return ("s", "the laser's phase is in s") if "lxt" in leaf(field).lower() else None


def unit_hint(field: str, wanted: str = "") -> str:
    """Return what to add to a spec where the unit of a field is declared nowhere.

    `wanted` is what it is to be shown in: an example, unless the field may well be a delay.
    """
    known = usual_unit(field)
    if known is None:
        example = "UNIT" if not wanted or _DELAY.fullmatch(leaf(field)) else wanted
        return (
            f"add the unit of its numbers in the file, e.g.  units: {flow({field: example})}; to see their "
            "range: cubeengine fields SOURCE --stats"
        )
    return f"add it, e.g.  units: {flow({field: known[0]})},  following the convention: {known[1]}"
