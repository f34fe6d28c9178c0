"""Memory sizes as users write and read them."""

from __future__ import annotations

import pytest

from cubeengine.budget import Budget, format_size, parse_size
from cubeengine.errors import SpecError


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (2**31, "2 GiB"), (999.7 * 2**10, "0.976 MiB"),
     (999.9 * 2**30, "0.98 TiB"), (5000 * 2**40, "5,000.00 TiB")],
)  # fmt: skip
def test_sizes_have_three_digits_and_a_unit(nbytes, text):
    assert format_size(nbytes) == text


@pytest.mark.parametrize(
    ("text", "nbytes"), [("2 GiB", 2**31), ("500 MB", 5 * 10**8), ("1.5kib", 1536), (7, 7), ("64", 64)]
)
def test_sizes_are_read_as_users_write_them(text, nbytes):
    assert parse_size(text) == nbytes


@pytest.mark.parametrize("text", ["", "much", "-1 GiB", "2 GiBi", "0"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(SpecError, match="memory size"):
        parse_size(text)


def test_small_budget_leaves_nothing_for_data():
    assert Budget(10).usable == 0
