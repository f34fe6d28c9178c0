"""What every backend of the grouped moments must do: checked against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from cubeengine.kernels.moments import (
    STATISTICS,
    GroupedMoments,
    Partial,
    finish,
    merge,
    partial_nbytes,
    regroup,
)

EPS = float(np.finfo(np.float64).eps)
INTEGERS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
FLOATS = ["f4", "f8"]
N_GROUPS = 3
INHERITED = [HealthCheck.differing_executors]  # the suite runs once per backend on purpose


def exact_moments(values) -> tuple[int, Fraction, Fraction]:
    """Count, mean and variance of the finite values, without rounding."""
    kept = [Fraction(v) if isinstance(v, int) else Fraction(float(v)) for v in values if math.isfinite(v)]
    if not kept:
        return 0, Fraction(0), Fraction(0)
    mean = sum(kept) / len(kept)
    return len(kept), mean, sum((v - mean) ** 2 for v in kept) / len(kept)


def root(value: Fraction) -> Fraction:
    """Square root to 300 bits: exact beside any float."""
    return Fraction(math.isqrt(int(value * 2**2400)), 2**1200)


def values_of(code: str):
    if code == "?":
        return st.booleans()
    dtype = np.dtype(code)
    if dtype.kind == "f":
        width = 8 * dtype.itemsize
        plain = st.floats(-(2.0**100), 2.0**100, width=width) | st.sampled_from([0.0, 1.0, 1.5, -0.0])
        plain = plain.filter(lambda v: v == 0 or abs(v) > 1e-120)  # smaller squares vanish, as documented
        return plain | st.sampled_from([math.nan, math.inf, -math.inf])
    limits = np.iinfo(dtype)
    return st.integers(limits.min, limits.max) | st.sampled_from([limits.min, limits.max, 0])


@st.composite
def problems(draw, codes):
    """A block, pairs of (row, group) and where to cut them into calls."""
    code = draw(st.sampled_from(codes))
    n_rows, n_elements = draw(st.integers(0, 12)), draw(st.sampled_from([1, 2, 5, 16, 33, 70]))
    data = draw(arrays(code, (n_rows, n_elements), elements=values_of(code)))
    n_pairs = draw(st.integers(0, 50)) if n_rows else 0
    take = draw(arrays(np.int64, n_pairs, elements=st.integers(0, max(n_rows - 1, 0))))
    groups = draw(arrays(np.int32, n_pairs, elements=st.integers(0, N_GROUPS - 1)))
    cuts = sorted(draw(st.lists(st.integers(0, n_pairs), max_size=4)))
    return data, take, groups, [0, *cuts, n_pairs]


def same_bits(a: Partial, b: Partial) -> bool:
    pairs = [(a.n_events, b.n_events), *((a.arrays[name], b.arrays[name]) for name in a.arrays)]
    return all(x.tobytes() == y.tobytes() for x, y in pairs)


class MomentsSuite:
    """Subclass and name the backend."""

    backend = ""

    def moments(self, data, take, groups, cuts=(), n_groups=N_GROUPS) -> Partial:
        accumulator = GroupedMoments(data.dtype, n_groups, data.shape[1], backend=self.backend)
        borders = [0, *cuts, len(take)]
        for start, stop in pairwise(borders):
            accumulator.add(data, take[start:stop], groups[start:stop])
        return accumulator.partial()

    def of_column(self, values, *, block=None) -> Partial:
        """One group, one element; `block` events per call."""
        data = np.asarray(values).reshape(-1, 1)
        accumulator = GroupedMoments(data.dtype, 1, 1, backend=self.backend)
        block = block or max(len(data), 1)
        for start in range(0, len(data), block):
            part = data[start : start + block]
            accumulator.add(part, np.arange(len(part)), np.zeros(len(part), np.int32))
        return accumulator.partial()

    def tree(self, partials, order) -> Partial:
        """Merge two of the partials at a time, in an arbitrary tree."""
        partials = list(partials)
        for number in order:
            if len(partials) > 1:
                a = partials.pop(number % len(partials))
                b = partials.pop(number % len(partials))
                partials.append(merge(a, b, backend=self.backend))
        while len(partials) > 1:
            partials.append(merge(partials.pop(0), partials.pop(0), backend=self.backend))
        return partials[0]

    def mean_and_std(self, partial: Partial):
        done = finish(partial, backend=self.backend)
        return done.count, done.mean, done.std

    def check(self, partial: Partial, data, take, groups) -> None:
        count, mean, std = self.mean_and_std(partial)
        for group in range(partial.n_groups):
            rows = data[take[groups == group]]
            assert partial.n_events[group] == len(rows)
            for element in range(data.shape[1]):
                got = (count[group, element], mean[group, element], std[group, element])
                self.check_one(got, rows[:, element].tolist(), partial.kind)

    def check_one(self, got, values, kind) -> None:
        count, mean, std = got
        n, exact_mean, variance = exact_moments(values)
        assert count == n
        if n == 0:
            assert math.isnan(mean)
            assert math.isnan(std)
            return
        spread = root(variance)
        if kind == "int":
            assert mean == float(exact_mean)
            assert abs(Fraction(float(std)) - spread) <= Fraction(math.ulp(float(spread)))
            return
        finite = [abs(v) for v in values if math.isfinite(v)]
        assert abs(Fraction(float(mean)) - exact_mean) <= Fraction(1e-14) * sum(map(Fraction, finite)) / n
        assert abs(Fraction(float(std)) - spread) <= Fraction(1e-11) * spread + Fraction(
            4 * EPS * max(finite)
        )

    # any values, split, order and tree

    @settings(suppress_health_check=INHERITED)
    @given(problems(["?", *INTEGERS, *FLOATS]))
    def test_any_split_agrees_with_exact_arithmetic(self, problem):
        data, take, groups, cuts = problem
        self.check(self.moments(data, take, groups, cuts), data, take, groups)

    @settings(suppress_health_check=INHERITED)
    @given(problems([*INTEGERS, *FLOATS]), st.lists(st.integers(0, 5)))
    def test_any_merge_tree_agrees_with_exact_arithmetic(self, problem, order):
        data, take, groups, cuts = problem
        pieces = [slice(a, b) for a, b in pairwise(cuts)]
        leaves = [self.moments(data, take[piece], groups[piece]) for piece in pieces]
        self.check(self.tree(leaves, order), data, take, groups)

    @settings(suppress_health_check=INHERITED)
    @given(problems(INTEGERS), st.lists(st.integers(0, 5)), st.randoms(use_true_random=False))
    def test_integers_have_the_same_bits_for_any_split_order_and_tree(self, problem, order, random):
        data, take, groups, cuts = problem
        shuffled = random.sample(range(len(take)), len(take))
        pieces = [shuffled[a:b] for a, b in pairwise(cuts)]
        leaves = [self.moments(data, take[piece], groups[piece]) for piece in pieces]
        assert same_bits(self.tree(leaves, order), self.moments(data, take, groups))

    @settings(suppress_health_check=INHERITED)
    @given(problems(FLOATS))
    def test_same_calls_give_the_same_bits(self, problem):
        data, take, groups, cuts = problem
        assert same_bits(self.moments(data, take, groups, cuts), self.moments(data, take, groups, cuts))

    @settings(suppress_health_check=INHERITED)
    @given(problems([*INTEGERS, *FLOATS]))
    def test_merging_with_an_empty_partial_changes_nothing(self, problem):
        data, take, groups, _ = problem
        full = self.moments(data, take, groups)
        empty = GroupedMoments(data.dtype, N_GROUPS, data.shape[1], backend=self.backend).partial()
        for merged in (merge(full, empty, backend=self.backend), merge(empty, full, backend=self.backend)):
            assert all(np.array_equal(merged.arrays[name], full.arrays[name]) for name in full.arrays)

    @settings(suppress_health_check=INHERITED)
    @given(
        problems([*INTEGERS, *FLOATS]),
        st.lists(st.lists(st.integers(0, N_GROUPS - 1), unique=True), max_size=4),
    )
    def test_regrouped_cells_are_the_events_of_their_members(self, problem, members):
        data, take, groups, _ = problem
        chosen = [np.array(part, np.int64) for part in members]
        joined = regroup(self.moments(data, take, groups), chosen, backend=self.backend)
        _, mean, _ = self.mean_and_std(joined)
        assert mean.shape == (len(members), data.shape[1])
        for group, part in enumerate(chosen):
            kept = take[np.isin(groups, part)]
            alone = joined.groups(group, group + 1)
            self.check(alone, data, kept, np.zeros(len(kept), np.int32))

    # floats

    @pytest.mark.parametrize("code", ["f4", "f8"])
    @pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6])
    @pytest.mark.parametrize("block", [7, 1000])
    def test_offset_costs_no_digits(self, code, offset, block):
        values = (np.random.default_rng(1).normal(size=1000) + offset).astype(code)
        self.check_column(values, block)

    @pytest.mark.parametrize("at", [0, 1, 57, 999])
    @pytest.mark.parametrize("outlier", [1e6, -1e12])
    def test_outlier_costs_no_digits(self, at, outlier):
        values = np.random.default_rng(2).normal(size=1000) + 100
        values[at] = outlier
        self.check_column(values, 100)

    def test_outlier_in_one_group_does_no_harm_to_another(self):
        data = np.random.default_rng(3).normal(size=(200, 17)) + 5
        data[0] = 1e12
        groups = np.zeros(200, np.int32)
        groups[1:] = 1 + np.arange(199) % 2
        take = np.arange(200)
        self.check(self.moments(data, take, groups), data, take, groups)

    @pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, -3e-7, 1e300, 5e-324])
    @pytest.mark.parametrize("block", [1, 9, 300])
    def test_constant_has_no_spread(self, value, block):
        _, mean, std = self.mean_and_std(self.of_column(np.full(300, value), block=block))
        assert mean[0, 0] == value
        assert std[0, 0] == 0.0

    def test_constant_has_no_spread_after_a_merge(self):
        leaves = [self.of_column(np.full(n, 0.1)) for n in (3, 7, 64, 1)]
        _, mean, std = self.mean_and_std(self.tree(leaves, [1, 0, 0]))
        assert (mean[0, 0], std[0, 0]) == (0.1, 0.0)

    @pytest.mark.parametrize("scale", [1e-140, 1e-38, 1e38, 1e150])
    def test_scale_does_not_matter(self, scale):
        self.check_column(np.random.default_rng(4).normal(size=300) * scale, 50)

    def test_denormal_float32_values_keep_their_spread(self):
        self.check_column((np.arange(300) % 7 * 1.4e-45).astype("f4"), 50)

    def test_mean_of_many_events_a_few_at_a_time_does_not_drift(self):
        values = np.random.default_rng(5).exponential(size=20_000)
        exact = math.fsum(values) / len(values)
        _, mean, _ = self.mean_and_std(self.of_column(values, block=5))
        assert abs(mean[0, 0] - exact) <= 4 * EPS * exact

    def test_sorted_events_are_as_good_as_any(self):
        self.check_column(np.sort(np.random.default_rng(6).normal(size=2000)) + 1e3, 64)

    def test_values_that_are_not_finite_are_left_out_per_element(self):
        data = np.arange(24.0).reshape(6, 4)
        data[0] = np.nan
        data[2, 1] = np.inf
        data[:, 3] = -np.inf
        take, groups = np.arange(6), np.zeros(6, np.int32)
        partial = self.moments(data, take, groups)
        assert_array_equal(partial.count[0], [5, 4, 5, 0])
        self.check(partial, data, take, groups)

    def test_element_whose_values_come_late_starts_there(self):
        data = np.full((40, 18), np.nan)
        data[30:] = 1e6 + np.arange(10.0)[:, None]
        take, groups = np.arange(40), np.zeros(40, np.int32)
        self.check(self.moments(data, take, groups, [10, 20, 32]), data, take, groups)

    def check_column(self, values, block) -> None:
        count, mean, std = self.mean_and_std(self.of_column(values, block=block))
        self.check_one((count[0, 0], mean[0, 0], std[0, 0]), values.tolist(), "float")
        wide = np.repeat(values[:, None], 17, axis=1)
        cuts = list(range(block, len(values), block))
        partial = self.moments(wide, np.arange(len(values)), np.zeros(len(values), np.int32), cuts, 1)
        _, mean, std = self.mean_and_std(partial)
        self.check_one((len(values), mean[0, 3], std[0, 3]), values.tolist(), "float")

    # integers

    @pytest.mark.parametrize("code", INTEGERS)
    @pytest.mark.parametrize("n_elements", [1, 33])
    def test_sums_are_exact_past_64_bits(self, code, n_elements):
        limits = np.iinfo(code)
        data = np.array([limits.max, limits.min, limits.max - 1, limits.max], code)
        data = np.repeat(data[:, None], n_elements, axis=1)
        take = np.random.default_rng(7).integers(0, 4, 500)
        groups = np.zeros(500, np.int32)
        partial = self.moments(data, take, groups, [100], n_groups=1)
        many = partial
        for _ in range(20):  # 5e8 events
            many = merge(many, many, backend=self.backend)
        self.check(partial, data, take, groups)
        _, mean, std = self.mean_and_std(many)
        _, once_mean, once_std = self.mean_and_std(partial)
        assert_array_equal(mean, once_mean)
        np.testing.assert_allclose(std, once_std, rtol=2 * EPS)

    def test_mean_of_integers_is_rounded_once(self):
        values = np.array([2**63 - 1, 2**63 - 513, 2**61 + 1], np.int64)
        _, mean, _ = self.mean_and_std(self.of_column(values))
        assert mean[0, 0] == float(Fraction(sum(values.tolist()), 3))

    def test_bool_is_counted_as_zero_and_one(self):
        _, mean, std = self.mean_and_std(self.of_column(np.array([True, False, True, True])))
        assert (mean[0, 0], std[0, 0]) == (0.75, math.sqrt(3) / 4)

    # shapes, memory, use

    @pytest.mark.parametrize("code", ["?", *INTEGERS, *FLOATS])
    def test_partial_has_the_size_that_was_projected(self, code):
        partial = GroupedMoments(code, 4, 19, backend=self.backend).partial()
        assert partial.nbytes == partial_nbytes(code, 4, 19)

    def test_groups_without_events_are_empty(self):
        count, mean, std = self.mean_and_std(GroupedMoments("f4", 2, 3, backend=self.backend).partial())
        assert not count.any()
        assert np.isnan(mean).all()
        assert np.isnan(std).all()

    @pytest.mark.parametrize("code", ["u2", "f4", "f8", "i8"])
    def test_read_only_block_and_empty_call_are_accepted(self, code):
        data = np.ones((3, 40), code)
        data.flags.writeable = False
        none = np.zeros(0, np.int64), np.zeros(0, np.int32)
        accumulator = GroupedMoments(code, 1, 40, backend=self.backend)
        accumulator.add(data, *none)
        accumulator.add(data[:0], *none)
        accumulator.add(data, np.arange(3), np.zeros(3, np.int32))
        _, mean, std = self.mean_and_std(accumulator.partial())
        assert_array_equal(mean, np.ones((1, 40)))
        assert_array_equal(std, np.zeros((1, 40)))

    def test_merge_leaves_its_arguments_alone(self):
        a, b = self.of_column(np.array([1.0, 2.0])), self.of_column(np.array([5.0]))
        before = [array.copy() for part in (a, b) for array in part.arrays.values()]
        merge(a, b, backend=self.backend)
        after = [array for part in (a, b) for array in part.arrays.values()]
        assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))

    def test_statistics_finish_as_finish_does(self):
        partial = self.of_column(np.array([1.0, 2.0, 4.0]))
        done = finish(partial)
        for name, statistic in STATISTICS.items():
            result = statistic.finish(partial)
            assert result.dtype == statistic.dtype
            assert_array_equal(result, getattr(done, name))
