"""The choice of events, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cubeengine.picking.choose import (
    Best,
    best_events,
    distance_keys,
    falling_keys,
    random_keys,
    rising_keys,
)
from cubeengine.picking.percentile import percentiles

N_GROUPS = 5
TYPES = ["f8", "f4", "i8", "i4", "u2", "u8", "?"]
FEW = st.sampled_from([-1.5, -0.0, 0.0, 0.25, 1.0, 1e300, -1e300])
"""Values that meet: ties are the rule."""


@st.composite
def events(draw):
    n = draw(st.integers(0, 40))
    groups = draw(hnp.arrays(np.int64, n, elements=st.integers(0, N_GROUPS - 2)))  # the last stays empty
    values = draw(hnp.arrays(np.float64, n, elements=FEW | st.floats(-5, 5)))
    return groups, values


def loop(groups, goodness, most):
    """Take the best of each group, one event after the other; `goodness` is better if lower."""
    found = []
    for group in range(N_GROUPS):
        own = [(goodness[i], i) for i in range(len(groups)) if groups[i] == group]
        best = [i for _, i in sorted(own)][:most]
        found.append(best + [-1] * (most - len(best)))
    return found


@given(events(), st.integers(1, 4))
def test_best_events_are_those_of_a_loop(made, most):
    groups, values = made
    numbers = np.arange(len(groups))

    for keys, goodness in (
        (falling_keys(values), [-v for v in values.tolist()]),
        (rising_keys(values), values.tolist()),
        (distance_keys(values, 0.3), [abs(v - 0.3) for v in values.tolist()]),
        (np.zeros(len(values), np.uint64), [0] * len(values)),
    ):
        found = best_events(groups, keys, numbers, n_groups=N_GROUPS, most=most)
        assert found.tolist() == loop(groups, goodness, most)


@given(events(), st.integers(1, 4), st.lists(st.integers(0, 40), max_size=4), st.randoms())
def test_split_and_order_do_not_matter(made, most, cuts, chance):
    groups, values = made
    keys, numbers = falling_keys(values), np.arange(len(groups))
    order = list(range(len(groups)))
    chance.shuffle(order)
    best = Best(N_GROUPS, most)
    for part in np.split(np.array(order, np.int64), sorted(min(cut, len(order)) for cut in cuts)):
        best.add(groups[part], keys[part], numbers[part])

    whole = best_events(groups, keys, numbers, n_groups=N_GROUPS, most=most)
    assert best.events.tolist() == whole.tolist()


@pytest.mark.parametrize("dtype", TYPES)
@given(data=st.data())
def test_keys_are_in_the_order_of_values_of_any_type(dtype, data):
    dtype = np.dtype(dtype)
    elements = hnp.from_dtype(dtype, allow_nan=False) if dtype.kind == "f" else hnp.from_dtype(dtype)
    values = data.draw(hnp.arrays(dtype, st.integers(1, 20), elements=elements))
    rising, falling = rising_keys(values), falling_keys(values)

    for a, key_a, down_a in zip(values.tolist(), rising.tolist(), falling.tolist(), strict=True):
        for b, key_b, down_b in zip(values.tolist(), rising.tolist(), falling.tolist(), strict=True):
            assert (a < b) == (key_a < key_b) == (down_a > down_b)
            assert (a == b) == (key_a == key_b)


def test_integers_beyond_double_precision_are_told_apart():
    values = np.array([2**63 + 1, 2**63 + 2, 2**63], np.uint64)

    assert best_events(
        np.zeros(3, np.int64), falling_keys(values), np.arange(3), n_groups=1, most=3
    ).tolist() == [[1, 0, 2]]


@given(events(), st.floats(0, 100), st.integers(1, 7))
def test_percentiles_are_those_of_sorted_lists(made, percent, step):
    groups, values = made
    pieces = ((groups[i : i + step], values[i : i + step]) for i in range(0, len(groups), step))
    found = percentiles(pieces, np.bincount(groups, minlength=N_GROUPS), percent)

    for group in range(N_GROUPS):
        own = sorted(values[groups == group].tolist())
        if not own:
            assert math.isnan(found[group])
            continue
        place = (len(own) - 1) * percent / 100
        low, high = own[math.floor(place)], own[min(math.floor(place) + 1, len(own) - 1)]
        # The share between the two is rounded, so the error goes by their size, not by what is left of them.
        size = max(1.0, abs(low), abs(high))
        expected = low + (high / 2 - low / 2) * (place % 1) * 2
        assert found[group] == pytest.approx(expected, rel=0, abs=1e-12 * size)


def test_percentiles_of_more_values_than_are_sorted_together(monkeypatch):
    monkeypatch.setattr("cubeengine.picking.percentile.SORTED_TOGETHER", 50)
    monkeypatch.setattr("cubeengine.planning.side.KEEP_NBYTES", 100)
    rng = np.random.default_rng(3)
    groups = np.where(rng.random(2000) < 0.5, 3, rng.integers(0, 100, 2000))
    values = rng.normal(size=2000)

    found = percentiles([(groups, values)], np.bincount(groups, minlength=101), 30)

    wanted = [np.percentile(values[groups == group], 30) for group in range(100)]
    np.testing.assert_allclose(found[:100], wanted, rtol=1e-13)
    assert math.isnan(found[100])


def test_random_keys_depend_on_event_and_seed_alone():
    stamps = np.arange(2**62, 2**62 + 10_000, dtype=np.uint64)
    keys = random_keys(stamps, 7)

    assert (random_keys(stamps[::-1], 7)[::-1] == keys).all()
    assert len(np.unique(keys)) == len(keys)
    assert not (random_keys(stamps, 8) == keys).any()


def test_random_keys_prefer_no_event():
    """Of ten events each is drawn about equally often, and its neighbour does not tell."""
    stamps = np.arange(100_000, dtype=np.uint64) * np.uint64(8_333_333)
    groups = np.arange(100_000) // 10
    drawn = (
        best_events(groups, random_keys(stamps, 1), np.arange(100_000), n_groups=10_000, most=1)[:, 0] % 10
    )

    counts = np.bincount(drawn, minlength=10)
    assert abs(counts - 1000).max() < 5 * math.sqrt(1000)
    pairs = np.bincount(drawn[:-1] * 10 + drawn[1:], minlength=100)
    assert abs(pairs - 100).max() < 5 * math.sqrt(100)
