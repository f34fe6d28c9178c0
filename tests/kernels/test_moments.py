"""Both backends pass one suite; what is wrong is refused; the results can be handed on."""

from __future__ import annotations

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.kernels.moments import GroupedMoments, merge, regroup, scratch_nbytes
from cubeengine.kernels.partial import MAX_EVENTS, Partial
from tests.suites.moments import MomentsSuite, exact_moments, root, same_bits


class TestNumba(MomentsSuite):
    backend = "numba"

    def test_mean_of_a_million_events_holds_the_contract(self):
        values = np.random.default_rng(8).exponential(size=1_000_000).astype("f4")
        exact = float(np.sum(values, dtype=np.longdouble) / len(values))
        for block in (25, 1_000_000):
            _, mean, _ = self.mean_and_std(self.of_column(values, block=block))
            assert abs(mean[0, 0] - exact) <= 1e-14 * exact

    @given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6), st.integers(0, 28))
    def test_finish_of_long_integers_is_within_one_ulp(self, values, doublings):
        partial = self.of_column(np.array(values, np.int64))
        for _ in range(doublings):
            partial = merge(partial, partial)
        _, mean, std = self.mean_and_std(partial)
        _, exact, variance = exact_moments(values)
        assert mean[0, 0] == float(exact)
        assert abs(std[0, 0] - float(root(variance))) <= np.spacing(float(root(variance)))


class TestNumpy(MomentsSuite):
    backend = "numpy"


def accumulator(**changes) -> GroupedMoments:
    return GroupedMoments(**{"dtype": "f4", "n_groups": 2, "n_elements": 3} | changes)


BLOCK = np.zeros((4, 3), "f4")
TAKE, GROUPS = np.arange(4), np.zeros(4, np.int32)


@pytest.mark.parametrize(
    ("data", "take", "groups", "error", "text"),
    [
        (BLOCK.astype("f8"), TAKE, GROUPS, TypeError, "block has type float64, the accumulator float32"),
        (BLOCK[:, :2].copy(), TAKE, GROUPS, ValueError, "shape"),
        (BLOCK[0], TAKE, GROUPS, ValueError, "shape"),
        (np.asfortranarray(BLOCK), TAKE, GROUPS, ValueError, "C-contiguous"),
        (BLOCK, TAKE.astype(np.int32), GROUPS, TypeError, "int64"),
        (BLOCK, TAKE, GROUPS.astype(np.int64), TypeError, "int32"),
        (BLOCK, TAKE[:3], GROUPS, ValueError, "one group per row"),
        (BLOCK, TAKE + 1, GROUPS, ValueError, "take has numbers outside 0..3"),
        (BLOCK, TAKE, GROUPS - 1, ValueError, "groups has numbers outside 0..1"),
        (BLOCK, TAKE, GROUPS + 2, ValueError, "groups has numbers outside 0..1"),
    ],
)
def test_what_does_not_fit_is_refused(data, take, groups, error, text):
    with pytest.raises(error, match=text):
        accumulator().add(data, take, groups)


@pytest.mark.parametrize("code", [">f4", "c8", "M8[ns]", "S3", "f16"])
def test_types_without_a_mean_are_refused(code):
    with pytest.raises(TypeError, match="moments: "):
        accumulator(dtype=code)


def test_bad_sizes_and_backends_are_refused():
    with pytest.raises(ValueError, match="negative"):
        accumulator(n_groups=-1)
    with pytest.raises(ValueError, match="backend 'cupy'"):
        accumulator(backend="cupy")


def test_finished_accumulator_takes_no_more():
    moments = accumulator()
    moments.partial()
    with pytest.raises(ValueError, match="handed over"):
        moments.add(BLOCK, TAKE, GROUPS)


def crowded(n_events: int) -> Partial:
    partial = GroupedMoments("u2", 1, 1).partial()
    partial.n_events[:] = n_events
    return partial


def test_more_events_than_the_words_hold_are_refused():
    with pytest.raises(OverflowError, match="events in one group"):
        merge(crowded(MAX_EVENTS), crowded(1))
    with pytest.raises(OverflowError, match="events in one group"):
        regroup(crowded(MAX_EVENTS), [np.array([0, 0])])


def test_partials_of_different_sizes_do_not_merge():
    with pytest.raises(ValueError, match="partials differ"):
        merge(accumulator().partial(), accumulator(n_groups=3).partial())


def test_member_outside_the_groups_is_refused():
    with pytest.raises(IndexError, match="member 2 of group 1"):
        regroup(accumulator().partial(), [np.array([0]), np.array([2])])


def test_partial_survives_pickling():
    moments = accumulator()
    moments.add(BLOCK + 1, TAKE, GROUPS)
    partial = moments.partial()
    assert same_bits(pickle.loads(pickle.dumps(partial)), partial)


def test_results_do_not_depend_on_what_ran_beside_them():
    data = np.random.default_rng(0).normal(size=(200, 100)).astype("f4")
    groups = np.random.default_rng(1).integers(0, 5, 200).astype(np.int32)

    def run(_: int) -> Partial:
        moments = GroupedMoments("f4", 5, 100)
        moments.add(data, np.arange(200), groups)
        return moments.partial()

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(run, range(8))
    assert all(same_bits(first, other) for other in others)


@pytest.mark.parametrize("code", ["u2", "f4", "i8"])
def test_adding_takes_no_more_than_the_projected_scratch(code):
    data, groups = np.ones((2000, 100), code), np.arange(2000, dtype=np.int32) % 300
    moments, take = GroupedMoments(code, 300, 100), np.arange(2000)
    moments.add(data, take, groups)  # compiled and paged in
    tracemalloc.start()  # sees what numpy allocates: copies of blocks would be among it
    moments.add(data, take, groups)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= scratch_nbytes(300, pairs=2000)


def test_regrouping_a_part_takes_the_memory_of_that_part():
    partial = GroupedMoments("f8", 50, 10_000).partial()
    regroup(partial, [np.array([0, 1])])
    tracemalloc.start()
    part = regroup(partial, [np.array([1, 2, 3]), np.array([4])])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= part.nbytes + 2**16


def mixed_floats(n_groups: int, n_elements: int) -> Partial:
    """Groups with many, few and no values, some of them not finite, some elements without any."""
    rng = np.random.default_rng(4)
    data = rng.normal(5, 2, (60, n_elements))
    data[rng.random(data.shape) < 0.2] = np.nan
    groups = rng.integers(0, n_groups, 60).astype(np.int32)
    data[groups == 1, ::3] = np.inf
    groups[groups == 2] = 3
    moments = GroupedMoments("f8", n_groups, n_elements)
    moments.add(data, np.arange(60), groups)
    return moments.partial()


def of_elements(partial: Partial, start: int, stop: int) -> Partial:
    arrays = {name: array[..., start:stop].copy() for name, array in partial.arrays.items()}
    return Partial(partial.dtype, partial.n_events, arrays)


def test_an_element_is_merged_to_the_same_bits_wherever_it_lies():
    partial = mixed_floats(6, 39)
    a, b = (regroup(partial, [np.array([first + i]) for i in range(3)]) for first in (0, 3))
    for one, other in ((a, b), (b, a)):
        whole = merge(one, other)
        for e in range(39):
            alone = merge(of_elements(one, e, e + 1), of_elements(other, e, e + 1))
            assert same_bits(of_elements(whole, e, e + 1), alone)


@pytest.mark.parametrize("code", ["u2", "i4", "i8"])
def test_integer_sums_carry_from_word_to_word(code):
    rng = np.random.default_rng(6)
    top = 2**62 // 2 ** (8 * (8 - np.dtype(code).itemsize)) if code != "i8" else 2**62
    data = rng.integers(-top if code[0] == "i" else 0, top, (50, 35)).astype(code)
    halves = []
    for rows in (np.arange(0, 25), np.arange(25, 50)):
        moments = GroupedMoments(code, 1, 35)
        moments.add(data, rows, np.zeros(25, np.int32))
        halves.append(moments.partial())
    whole = GroupedMoments(code, 1, 35)
    whole.add(data, np.arange(50), np.zeros(50, np.int32))
    assert same_bits(merge(*halves), whole.partial())


MEMBERS = [
    [[0], [1], [2]],
    [[2], [0], [5]],
    [[0, 1], [2, 3], [4, 5]],
    [[0], [1, 2, 3], [], [4, 0], [5, 5], [], [1]],
    [[], []],
    [],
]


@pytest.mark.parametrize("members", MEMBERS)
@pytest.mark.parametrize("n_elements", [3, 5000])
def test_groups_are_joined_one_after_the_other_whatever_the_batches(members, n_elements):
    partial = mixed_floats(6, n_elements)
    joined = regroup(partial, [np.array(parts, np.int64) for parts in members])
    assert (joined.n_groups, joined.n_elements) == (len(members), n_elements)
    for group, parts in enumerate(members):
        wanted = GroupedMoments("f8", 1, n_elements).partial()
        for part in parts:
            wanted = merge(wanted, partial.groups(part, part + 1))
        assert same_bits(joined.groups(group, group + 1), wanted)


def test_joining_leaves_the_parts_as_they_were():
    partial, untouched = mixed_floats(6, 20), mixed_floats(6, 20)
    regroup(partial, [np.array([0, 1, 2]), np.array([3])])
    assert same_bits(partial, untouched)


def test_single_members_in_a_row_are_a_view():
    partial = mixed_floats(6, 20)
    assert np.shares_memory(
        regroup(partial, [np.array([1]), np.array([2])]).arrays["mean"], partial.arrays["mean"]
    )
