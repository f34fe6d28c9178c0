"""Derived variables as a user gives them: a formula, a recipe, or either as a spec has it."""

from __future__ import annotations

from typing import get_args

from cubeengine.schema.base import Model
from cubeengine.spec.derived import Derived


def is_recipe(value: object) -> bool:
    """Return whether a value says how a variable is computed, rather than being its values."""
    return isinstance(value, str | Model) or (isinstance(value, dict) and bool(value))


def as_derived(value: object) -> Derived:
    """Return a formula, a recipe such as `DelayRecipe`, or plain data as a derived variable of a spec.

    Raises
    ------
    SpecError
        If it is none of these, or wrong.

    Examples
    --------
    >>> as_derived("ipm2__sum / 2").expression
    'ipm2__sum / 2'
    """
    if isinstance(value, Model) and not isinstance(value, Derived):
        keys = [key for key, info in Derived.model_fields.items() if type(value) in get_args(info.annotation)]
        return Derived(**dict.fromkeys(keys[:1], value)) if keys else Derived.of(value)
    return Derived.of(value)
