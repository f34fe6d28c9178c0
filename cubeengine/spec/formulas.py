"""Formulas that stand where a field is wanted: how they are derived, and named, instead."""

from __future__ import annotations

import re
from collections.abc import Callable

from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.functions import FUNCTIONS
from cubeengine.events.spelling import probable_field, respelled
from cubeengine.spec.writing import flow


def formula_words(text: str, is_field: Callable[[str], bool] | None = None) -> str:
    """Say how a formula that stands in the place of a field is derived; "" if the text is none.

    Parameters
    ----------
    text : str
        What stands there.
    is_field : callable, optional
        Tells the fields of the run. Where left out, no run is known, and any names may be fields.

    Examples
    --------
    >>> formula_words("diode2/channels[3]")
    'a formula gets a name:  derive: {diode2_channels_3: "diode2__channels[3]"},  here  diode2_channels_3'
    """
    formula = respelled(text, is_field or probable_field(FUNCTIONS))
    try:
        fields = Expression.parse(formula).fields
    except SpecError:
        return ""
    name = "_".join(re.findall(r"[A-Za-z0-9]+", formula))
    if not fields or name == formula or (is_field and not all(map(is_field, fields))):
        return ""
    return f"a formula gets a name:  derive: {flow({name: formula})},  here  {name}"
