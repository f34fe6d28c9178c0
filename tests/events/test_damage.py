"""Damaged values are left out as missing ones are, and the reason is kept."""

import numpy as np
import pytest

from cubeengine.events import states
from cubeengine.events.conditions import Interval, OneOf, condition_states
from cubeengine.events.derived import delay, laser_states
from cubeengine.events.expressions import Expression
from cubeengine.events.run import Run
from cubeengine.sources.memory import MemorySource
from cubeengine.types import Column

N = 6
HURT = np.array([0, 0, 1, 0, 1, 0], bool)
LOST = np.array([0, 1, 0, 0, 0, 0], bool)
FLOATS = Column(np.where(HURT | LOST, np.nan, np.arange(6.0)), damaged=HURT)
INTS = Column(np.arange(6), ~(HURT | LOST), HURT)
PLAIN = Column(np.arange(6.0))
COLUMNS = {"f": FLOATS, "i": INTS, "p": PLAIN}.__getitem__


@pytest.mark.parametrize(
    ("condition", "lost"),
    [
        (Interval("f", 3, None), states.NAN),
        (Interval("i", 3, None), states.MISSING),
        (OneOf("i", (3, 5)), states.MISSING),
        (Expression.parse("f >= 3"), states.NAN),
        (Expression.parse("i >= 3 and p < 100"), states.MISSING),
    ],
)
def test_cuts_tell_damaged_from_missing(condition, lost):
    found = condition_states(condition, COLUMNS, N).tolist()
    assert found[:5] == [states.FALSE, lost, states.DAMAGED, states.TRUE, states.DAMAGED]


def test_what_is_known_without_the_damaged_value_stays_known():
    found = condition_states(Expression.parse("f > 100 or p >= 4"), COLUMNS, N)
    assert found.tolist()[2] == states.DAMAGED
    assert found.tolist()[4] == states.TRUE


@pytest.mark.parametrize("text", ["f * 2", "i * 2", "i + p", "where(p > 100, p, f)"])
def test_derived_variables_keep_the_reason(text):
    column = Expression.parse(text).evaluate(COLUMNS, N)
    np.testing.assert_array_equal(column.damaged, HURT)


def test_what_comes_out_known_is_not_damaged():
    assert Expression.parse("where(p > 1, p, 0) + 0 * p").evaluate(COLUMNS, N).damaged is None
    assert Expression.parse("isnan(f)").evaluate(COLUMNS, N).damaged is None


def test_a_damaged_nominal_delay_or_laser_is_unknown_for_that_reason():
    column, counts = delay(FLOATS, PLAIN)
    np.testing.assert_array_equal(column.damaged, HURT)
    assert counts.no_nominal == 3
    assert laser_states(Column(np.ones(N, int), ~HURT, HURT))[HURT].tolist() == [states.DAMAGED] * 2


def test_columns_of_a_run_carry_the_mark():
    run = Run(MemorySource({"x": np.arange(N)})).with_columns({"f": FLOATS})
    np.testing.assert_array_equal(run.column("f").damaged, HURT)
    assert not run.column("f").damaged.flags.writeable
    np.testing.assert_array_equal(run.evaluate(Expression.parse("f + x")).damaged, HURT)
    other = Run(run.source).with_columns({"f": Column(FLOATS.data)})
    assert run.identity != other.identity
