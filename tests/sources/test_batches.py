"""Batches: pure arithmetic on row numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.sources.batches import MAX_ROWS, MAX_UNITS, batches, element_range, units_per_block


@given(
    rows=st.lists(st.integers(0, 200), min_size=1, max_size=80).map(sorted),
    unit=st.integers(1, 9),
    capacity=st.integers(1, 12),
    reach=st.integers(1, 5),
)
def test_every_row_is_served_from_a_run_that_holds_it(
    rows: list[int], unit: int, capacity: int, reach: int
) -> None:
    wanted, served = np.array(rows, np.int64), 0
    for batch in batches(wanted, unit=unit, capacity=capacity, reach=reach):
        assert batch.start == served < batch.stop
        assert batch.n_units <= capacity
        in_buffer = np.full(batch.n_units * unit, -1)
        for number, slot in batch.pairs():
            in_buffer[slot * unit : (slot + 1) * unit] = np.arange(number * unit, (number + 1) * unit)
        assert (in_buffer >= 0).all()
        np.testing.assert_array_equal(in_buffer[batch.take], wanted[batch.start : batch.stop])
        served = batch.stop
    assert served == len(rows)


def test_rows_that_are_close_are_read_through() -> None:
    (batch,) = batches(np.array([1, 3, 9]), capacity=10, reach=2)
    assert (batch.first.tolist(), batch.count.tolist(), batch.n_units) == ([1, 9], [3, 1], 4)
    assert batch.take.tolist() == [0, 2, 3]


def test_blocks_are_bounded_in_rows_and_hold_one_unit_at_least() -> None:
    assert units_per_block(1, 10**9) == 1
    assert units_per_block(10**12, 8) == MAX_UNITS
    assert units_per_block(10**12, 8, unit=MAX_ROWS * 2) == 1


def test_elements_are_a_plain_range() -> None:
    assert element_range(slice(None), 7) == (0, 7)
    assert element_range(slice(5, 2), 7) == (5, 5)
    with pytest.raises(ValueError, match="plain range"):
        element_range(slice(0, 7, 2), 7)
