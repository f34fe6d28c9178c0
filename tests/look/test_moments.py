"""Streaming moments against numpy, however the events are split."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.look.moments import moments_of, no_moments


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 4), st.integers(0, 5), st.floats(0, 1e6))
def test_moments_are_those_of_numpy(seed, n, k, n_splits, offset):
    rng = np.random.default_rng(seed)
    values, groups = rng.normal(size=(k, n)) + offset, rng.integers(0, 3, n)
    cuts = np.sort(rng.integers(0, n + 1, n_splits))
    parts = zip(np.split(values, cuts, axis=1), np.split(groups, cuts), strict=True)
    found = reduce(add, (moments_of(v, g, 3) for v, g in parts), no_moments(k, 3))
    for group in range(3):
        own = values[:, groups == group]
        assert found.count[group] == own.shape[1]
        if own.shape[1]:
            np.testing.assert_allclose(found.means()[:, group], own.mean(axis=1), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(found.stds()[:, group], own.std(axis=1), rtol=1e-6, atol=1e-9)
        else:
            assert np.isnan(found.means()[:, group]).all()
        if own.shape[1] > 1:
            wanted = np.cov(own).reshape(k, k)
            np.testing.assert_allclose(found.covariances()[..., group], wanted, rtol=1e-6, atol=1e-9)
        else:
            assert np.isnan(found.covariances()[..., group]).all()


def test_a_large_offset_costs_no_digits():
    values = np.array([[1e9 + 1, 1e9 + 2, 1e9 + 3]])
    found = sum((moments_of(values[:, [i]], np.zeros(1, int), 1) for i in range(3)), no_moments(1, 1))
    np.testing.assert_allclose(found.stds()[0], np.sqrt(2 / 3), rtol=1e-9)
