"""Both backends pass one suite; what is wrong is refused; the results can be handed on."""

from __future__ import annotations

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
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

    @settings(max_examples=200)
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


@pytest.mark.parametrize("code", ["u2", "f4", "f2", "i8"])
def test_adding_takes_no_more_than_the_projected_scratch(code):
    data, groups = np.ones((2000, 100), code), np.arange(2000, dtype=np.int32) % 300
    moments, take = GroupedMoments(code, 300, 100), np.arange(2000)
    moments.add(data, take, groups)  # compiled and paged in
    tracemalloc.start()  # sees what numpy allocates: copies of blocks would be among it
    moments.add(data, take, groups)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= scratch_nbytes(code, 300, 100, block_events=2000, pairs=2000)


def test_regrouping_a_part_takes_the_memory_of_that_part():
    partial = GroupedMoments("f8", 50, 10_000).partial()
    regroup(partial, [np.array([0, 1])])
    tracemalloc.start()
    part = regroup(partial, [np.array([1, 2, 3]), np.array([4])])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= part.nbytes + 2**16
