"""The delay: which events are corrected, which have none, and that all are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.derived import DelayCounts, delay, derive, laser_states
from cubeengine.events.expressions import Expression
from cubeengine.types import Column

NAN = float("nan")
NOMINAL = Column(np.array([1.0, 2.0, 3.0, 4.0]))
TIMETOOL = Column(np.array([0.1, 0.2, NAN, 0.4]))
LASER = np.array([states.TRUE, states.FALSE, states.TRUE, states.MISSING])


def test_laser_on_is_corrected_and_laser_off_is_not() -> None:
    column, counts = delay(NOMINAL, TIMETOOL, laser=LASER)
    np.testing.assert_array_equal(column.data, [1.1, 2.0, NAN, NAN])
    assert counts == DelayCounts(laser_on=1, laser_off=1, unknown=1, no_timetool=1)


def test_sign_and_time_zero() -> None:
    column, _ = delay(NOMINAL, TIMETOOL, sign=-1, t0=0.5, laser=LASER)
    np.testing.assert_array_equal(column.data, [1 - 0.1 - 0.5, 1.5, NAN, NAN])


def test_without_a_laser_state_all_events_are_laser_on() -> None:
    column, counts = delay(NOMINAL, TIMETOOL)
    np.testing.assert_array_equal(column.data, [1.1, 2.2, NAN, 4.4])
    assert counts == DelayCounts(3, 0, 0, 1)


def test_without_a_time_tool_nothing_is_corrected() -> None:
    column, counts = delay(NOMINAL, t0=1, laser=LASER)
    np.testing.assert_array_equal(column.data, [0.0, 1.0, 2.0, NAN])
    assert counts == DelayCounts(2, 1, 1, 0)


def test_a_time_tool_that_is_not_certainly_valid_is_not_used() -> None:
    valid = np.array([states.FALSE, states.FALSE, states.TRUE, states.TRUE])
    column, counts = delay(NOMINAL, Column(np.ones(4)), valid=valid)
    np.testing.assert_array_equal(column.data, [NAN, NAN, 4.0, 5.0])
    assert counts == DelayCounts(2, 0, 0, 2)
    column, _ = delay(NOMINAL, Column(np.ones(4)), valid=np.full(4, states.NAN))
    assert np.isnan(column.data).all()


def test_a_missing_nominal_is_counted_by_itself() -> None:
    nominal = Column(np.array([1, 2, 3, 4]), np.array([False, False, True, True]))
    column, counts = delay(nominal, TIMETOOL, laser=LASER)
    np.testing.assert_array_equal(column.data, [NAN] * 4)
    assert counts == DelayCounts(0, 0, 1, 1, no_nominal=2)


tri = st.sampled_from([states.FALSE, states.TRUE, states.NAN, states.MISSING])
value = st.sampled_from([1.0, NAN])


@given(st.lists(st.tuples(value, value, tri, tri), min_size=1, max_size=12))
def test_counts_add_up_to_the_events(rows: list[tuple[float, float, int, int]]) -> None:
    nominal, timetool, laser, valid = (np.array(part) for part in zip(*rows, strict=True))
    column, counts = delay(Column(nominal), Column(timetool), laser=laser, valid=valid)
    assert counts.n_events == len(rows)
    assert counts.laser_on + counts.laser_off == np.isfinite(column.data).sum()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"sign": 2}, "sign"), ({"t0": NAN}, "t0"), ({"timetool": Column(np.ones((4, 2)))}, r"shape \(2,\)")],
)
def test_recipes_that_mean_nothing_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        delay(NOMINAL, **arguments)  # type: ignore[arg-type]


def test_the_laser_is_unknown_unless_0_or_1() -> None:
    found = laser_states(Column(np.array([1, 0, -1, 1]), np.array([True, True, True, False])))
    assert found.tolist() == [states.TRUE, states.FALSE, states.MISSING, states.MISSING]


def test_variables_by_expression() -> None:
    column = derive(Expression.parse("a / 2"), {"a": NOMINAL}.__getitem__, 4)
    assert column.data.tolist() == [0.5, 1.0, 1.5, 2.0]
