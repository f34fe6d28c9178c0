from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.submit.runs import parse_runs


def test_ranges_include_their_end_and_a_run_counts_once() -> None:
    assert parse_runs("12,20-23,21,5") == (12, 20, 21, 22, 23, 5)
    assert parse_runs(" 0007 , 8 - 9 ") == (7, 8, 9)


@pytest.mark.parametrize(
    "text", ["", "12,", "-3", "a", "1-2-3", "1.5", "1;2", "12 13", "\u0661", "123456789"]
)
def test_what_is_no_run_is_named(text: str) -> None:
    with pytest.raises(SpecError, match="neither a run nor a range"):
        parse_runs(text)


def test_falling_range_is_turned_round_in_the_message() -> None:
    with pytest.raises(SpecError, match="write 20-35"):
        parse_runs("35-20")


@pytest.mark.parametrize("text", ["0-99999999", "1-9000,10001-19000"])
def test_too_many_runs_are_refused_before_they_are_listed(text: str) -> None:
    with pytest.raises(SpecError, match="more than 10,000 runs"):
        parse_runs(text)


@given(st.lists(st.integers(0, 9999), min_size=1, unique=True))
def test_written_runs_are_read_back(runs: list[int]) -> None:
    assert parse_runs(",".join(map(str, runs))) == tuple(runs)
