"""Bin numbers follow the rule of numpy.histogram, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from cubeengine.kernels.bins import bin_index, flat_index

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
edges_lists = st.lists(finite, min_size=2, max_size=12, unique=True).map(lambda e: np.array(sorted(e)))


def histogram(values, edges):
    inside = values[np.isfinite(values)]
    return np.histogram(inside, edges)[0]


@given(edges_lists.filter(lambda e: (np.diff(e) > 0).all()), st.data())
def test_counts_are_those_of_numpy_histogram(edges, data):
    near = st.sampled_from([*edges, *np.nextafter(edges, np.inf), *np.nextafter(edges, -np.inf)])
    special = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, np.nan, np.inf, -np.inf])
    values = np.array(data.draw(st.lists(near | special | finite, max_size=60)))
    index = bin_index(values, edges)
    assert_array_equal(np.bincount(index[index >= 0], minlength=len(edges) - 1), histogram(values, edges))


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(-8, 8)), edges_lists)
def test_integers_fall_where_their_float_values_do(values, edges):
    if not (np.diff(edges) > 0).all():
        return
    assert_array_equal(bin_index(values, edges), bin_index(values.astype(float), edges))


@pytest.mark.parametrize("code", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_every_type_is_binned(code):
    index = bin_index(np.array([0, 1], code), [0, 0.5, 1])
    assert index.dtype == np.int32
    assert_array_equal(index, [0, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-300, np.nextafter(2, 3)])
def test_value_outside_lands_in_no_bin(value):
    assert bin_index([value], [0, 1, 2])[0] == -1


def test_last_edge_closes_the_last_bin_and_minus_zero_is_zero():
    assert_array_equal(bin_index([-0.0, 1.0, 2.0], [0.0, 1.0, 2.0]), [0, 1, 1])


def test_float32_value_is_compared_as_float64():
    values = np.array([0.1], np.float32)  # a little above 0.1
    assert bin_index(values, [0.0, 0.1, 0.2])[0] == 1
    assert bin_index(values, [0.0, float(values[0]), 0.2])[0] == 1


def test_integers_beyond_53_bits_are_not_rounded():
    big = 2**60
    values = np.array([big - 1, big, big + 1], np.int64)
    assert_array_equal(bin_index(values, [0, big]), [0, 0, -1])
    assert_array_equal(bin_index(values.astype(np.uint64), [big, 2.0**61]), [-1, 0, 0])


def test_edges_beyond_the_type_are_no_overflow():
    values = np.array([-(2**63), 0, 2**63 - 1], np.int64)
    assert_array_equal(bin_index(values, [-1e30, 0, 1e30]), [0, 1, 1])
    assert_array_equal(bin_index(values, [1e30, 2e30]), [-1, -1, -1])
    assert_array_equal(bin_index(values, [-2e30, -1e30]), [-1, -1, -1])
    assert_array_equal(bin_index(values, [-1e30, -1e20, 0.5, 1e20, 1e30]), [1, 1, 2])


def test_no_events_give_no_numbers():
    assert bin_index(np.empty(0), [0, 1]).shape == (0,)


@pytest.mark.parametrize("edges", [[1.0], [0.0, 0.0], [1.0, 0.0], [0.0, np.nan], [0.0, np.inf], [[0.0, 1.0]]])
def test_bad_edges_are_refused(edges):
    with pytest.raises(ValueError, match="edges"):
        bin_index([0.5], edges)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match="cannot bin"):
        bin_index(np.array(["a"]), [0, 1])
    with pytest.raises(ValueError, match="one value per event"):
        bin_index(np.zeros((2, 2)), [0, 1])


def test_flat_index_is_in_c_order():
    indices = [i.ravel().astype(np.int32) for i in np.indices((2, 3, 4))]
    assert_array_equal(flat_index(indices, (2, 3, 4)), np.arange(24))


def test_event_outside_one_axis_is_outside_all():
    index = flat_index([np.array([0, -1, 1], np.int32), np.array([-1, 2, 1], np.int32)], (2, 3))
    assert_array_equal(index, [-1, -1, 4])
    assert index.dtype == np.int64


def test_flat_index_refuses_what_does_not_fit():
    one = np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="axes"):
        flat_index([one], (2, 3))
    with pytest.raises(ValueError, match="lengths"):
        flat_index([one, one[:1]], (2, 3))
    with pytest.raises(ValueError, match="outside"):
        flat_index([one + 5], (2,))
