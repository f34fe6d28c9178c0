"""Event codes: the two forms in which a field holds those of an event, known by shape and content.

References
----------
The timing system sends 288 codes: as 18 words of 16 bits in raw data (`timing/raw/sequenceValues`), and as
one 0 or 1 per code in smallData of LCLS-II (`timing/eventcodes`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events.values import Value, known_where

MAX_EVENT_CODE = 2**16 - 1
N_WORDS, WORD_BITS = 18, 16
"""Code n is bit n % 16 of word n // 16."""

LEAST_FLAGS = 256
"""Fields of so many elements have a flag for each code: no event has so many words, or codes."""

_FORMS = (
    f"{N_WORDS} words of {WORD_BITS} bits, as `timing/raw/sequenceValues`, or a flag, 0 or 1, for each of "
    f"{LEAST_FLAGS} codes or more, as `timing/eventcodes`"
)


def has_codes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Return whether a field of this shape and type can hold event codes."""
    return _are_flags(shape, dtype) or _are_words(shape, dtype)


def eventcode(field: Value, code: Value) -> Value:
    """Return which events have an event code; unknown where the field is missing.

    Parameters
    ----------
    field : Value of (n_events, 18) or (n_events, 256 or more) integers, or booleans
        Words of 16 bits, or flags.
    code : Value
        A whole number.

    Raises
    ------
    SpecError
        If the field has neither form, or no such code.
    """
    number = int(code.data)
    if field.is_constant or not has_codes(field.shape, field.data.dtype):
        found = "a number" if field.is_constant else f"{field.data.dtype} of shape {field.shape} per event"
        raise SpecError(
            f"eventcode() needs a field of {_FORMS}, but this is {found}; if the field lists the codes of "
            f"an event, write any(field == {number})"
        )
    flags = _are_flags(field.shape, field.data.dtype)
    n_codes = field.shape[0] if flags else N_WORDS * WORD_BITS
    if number >= n_codes:
        raise SpecError(f"event code {number}: the field holds the codes 0 to {n_codes - 1}")
    _check_content(field, number, flags=flags)
    word, bit = (number, 0) if flags else divmod(number, WORD_BITS)
    seen = (field.data[:, word].astype(np.int64) >> bit) & 1
    return known_where(seen.astype(bool), None if field.valid is None else field.valid[:, word])


def _are_flags(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return len(shape) == 1 and shape[0] >= LEAST_FLAGS and dtype.kind in "biu"


def _are_words(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return shape == (N_WORDS,) and dtype.kind in "iu" and dtype.itemsize * 8 >= WORD_BITS


def _check_content(field: Value, number: int, *, flags: bool) -> None:
    """Raise SpecError if the numbers are not those of the field's form; signed words count as their bits."""
    data = field.data  # 0 where it is missing
    least = -(2**15) if not flags and data.dtype.itemsize * 8 == WORD_BITS else 0
    low, high = int(data.min(initial=0)), int(data.max(initial=0))
    if low < least or high > (1 if flags else 2**WORD_BITS - 1):
        odd = low if low < least else high
        raise _other_form(
            field, number, f"holds {odd}", f"; if {odd} marks missing values, declare it under `missing`"
        )
    if not flags and low >= 0 and high < N_WORDS * WORD_BITS and _look_like_lists(data):
        raise _other_form(field, number, "could also list codes, padded with 0")


def _look_like_lists(data: NDArray[Any]) -> bool:
    """Return whether zeros come last everywhere, and more than one number before them somewhere."""
    filled = data != 0
    return bool((filled[:, 1:] <= filled[:, :-1]).all() and (filled.sum(axis=1) > 1).any())


def _other_form(field: Value, number: int, found: str, more: str = "") -> SpecError:
    this = f"{field.data.dtype} of shape {field.shape} per event"
    return SpecError(
        f"eventcode() needs a field of {_FORMS}, but this, {this}, {found}; if the field lists codes, write "
        f"any(field == {number}); if it counts them, field[{number}] > 0{more}"
    )
