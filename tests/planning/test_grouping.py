"""Groups of events: disjoint cells or overlapping selections, the same counts either way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.planning.grouping import group_events

N_BINS = 4


@st.composite
def selected_events(draw):
    n_events = draw(st.integers(0, 40))
    n_selections = draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    nested = draw(st.booleans())
    masks = [random.random(n_events) < 0.6 for _ in range(n_selections)]
    if nested:
        masks = [np.logical_and.reduce(masks[: i + 1]) for i in range(n_selections)]
    bins = random.integers(-1, N_BINS, n_events)
    return masks, bins


@given(selected_events())
def test_counts_are_those_of_each_selection_alone(case):
    masks, bins = case
    grouping = group_events(masks, bins, N_BINS)
    expected = [np.bincount(bins[mask & (bins >= 0)], minlength=N_BINS) for mask in masks]
    np.testing.assert_array_equal(grouping.counts(), expected)


@given(selected_events())
def test_groups_never_outnumber_selections_times_bins(case):
    masks, bins = case
    assert group_events(masks, bins, N_BINS).n_groups <= len(masks) * N_BINS


@given(selected_events())
def test_an_event_of_disjoint_groups_is_added_once(case):
    masks, bins = case
    grouping = group_events(masks, bins, N_BINS)
    if grouping.disjoint:
        assert len(np.unique(grouping.events)) == len(grouping.events)


def test_nested_selections_share_their_cells():
    on = np.array([True, False, True, False])
    everything = np.ones(4, bool)
    grouping = group_events([everything, on, ~on], np.array([0, 0, 1, 1]), 2)
    assert grouping.disjoint
    assert grouping.width == 2
    assert sorted(map(sorted, grouping.members)) == [[0], [0, 1], [1]]


def test_independent_selections_fall_back_to_one_group_each():
    random = np.random.default_rng(1)
    masks = [random.random(1000) < 0.5 for _ in range(3)]
    grouping = group_events(masks, np.zeros(1000, np.int64), 1)
    assert not grouping.disjoint
    assert grouping.width == 3


def test_no_selected_event_gives_empty_groups():
    grouping = group_events([np.zeros(5, bool)], np.zeros(5, np.int64), 2)
    assert len(grouping.events) == 0
    np.testing.assert_array_equal(grouping.counts(), [[0, 0]])
