"""The algebra alone, against moments of all values in extended precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.combine.moments import SLAB, Moments, add_stored, added, collapsed, from_stored
from tests.combine.cubes import UNIT, assert_within, statistics

Parts = list[np.ndarray]


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    """Values (n, 3) of a few runs: counts, or floats on an offset up to 1e9 spreads; some runs empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=8))
        tops = [draw(st.sampled_from([1, 2, 300, 2**16])) for _ in sizes]
        return [rng.integers(0, top, (size, 3)).astype("u2") for size, top in zip(sizes, tops, strict=True)]
    offset, spread = 10.0 ** draw(st.integers(-3, 6)), 10.0 ** draw(st.integers(-3, 3))
    sizes = draw(st.lists(st.integers(0, 30), min_size=1, max_size=8))
    drift = draw(st.sampled_from([0.0, 1.0, 100.0])) * spread
    return [rng.normal(offset + drift * rng.normal(), spread, (size, 3)) for size in sizes]


def stored(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a cube holds of values: moments rounded once."""
    count, mean, std = statistics(values)
    return count, mean.astype("f8"), std.astype("f8")


def merged(cubes: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    total = Moments.empty((3,))
    for cube in cubes:
        add_stored(total, *cube)
    return total.finish()


def bounds(values: Parts) -> tuple[np.ndarray, np.ndarray]:
    """What docs/combining.md states: of the mean, and of the std."""
    _, _, std = stored(np.concatenate(values))
    means = [np.abs(stored(part)[1]) for part in values if len(part)] or [np.zeros(3)]
    largest, n = np.max(means, axis=0), len(values)
    reach = np.ptp([stored(part)[1] for part in values if len(part)] or [np.zeros(3)], axis=0)
    return UNIT * (2 * largest + 4 * n * reach), UNIT * (2 * largest + (4 * n + 4) * np.nan_to_num(std))


@given(parts())
def test_sum_of_parts_is_the_whole(values: Parts) -> None:
    count, mean, std = merged([stored(part) for part in values])
    wanted = stored(np.concatenate(values))
    of_mean, of_std = bounds(values)

    np.testing.assert_array_equal(count, wanted[0])
    assert_within(mean, wanted[1], of_mean)
    assert_within(std, wanted[2], of_std)


@given(parts(), st.randoms(use_true_random=False))
def test_order_matters_to_rounding_only(values: Parts, random: object) -> None:
    cubes = [stored(part) for part in values]
    shuffled = list(cubes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = merged(cubes), merged(shuffled)
    of_mean, of_std = bounds(values)

    np.testing.assert_array_equal(first[0], second[0])
    assert_within(first[1], second[1], 2 * of_mean)
    assert_within(first[2], second[2], 2 * of_std)


@given(parts(), st.integers(0, 8))
def test_merging_merged_cubes_is_the_same_to_rounding(values: Parts, at: int) -> None:
    cubes = [stored(part) for part in values]
    at_once = merged(cubes)
    in_two = merged([merged(cubes[:at]), merged(cubes[at:])])  # type: ignore[list-item]
    of_mean, of_std = bounds(values)

    np.testing.assert_array_equal(at_once[0], in_two[0])
    assert_within(at_once[1], in_two[1], 4 * of_mean)
    assert_within(at_once[2], in_two[2], 4 * of_std)


@given(parts())
def test_empty_parts_change_no_bit(values: Parts) -> None:
    cube = stored(values[0])
    nothing = stored(np.empty((0, 3)))

    for order in ([cube, nothing], [nothing, cube], [nothing, cube, nothing]):
        for found, wanted in zip(merged(order), cube, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_hundred_parts_are_as_good_as_two() -> None:
    rng = np.random.default_rng(1)
    values = [rng.normal(1e6, 1, (50, 3)) for _ in range(100)]
    _, mean, std = merged([stored(part) for part in values])
    _, wanted_mean, wanted_std = statistics(np.concatenate(values))

    assert np.abs(mean - wanted_mean).max() <= 2 * UNIT * 1e6
    assert np.abs(std - wanted_std).max() <= 2 * UNIT * 1e6


def test_what_overflows_is_infinite_and_warns_of_nothing() -> None:
    total = Moments.empty((1,))
    for mean in (1e300, -1e300):
        add_stored(total, np.array([2]), np.array([mean]), np.array([0.0]))

    assert total.finish()[1] == 0
    assert np.isinf(total.finish()[2])


def test_counts_that_elements_share_are_spread() -> None:
    mean = np.arange(6.0).reshape(2, 3)
    total = Moments.empty((2, 3))
    add_stored(
        total, np.array([[4], [0]]), np.where([[True], [False]], mean, np.nan), np.full((2, 3), np.nan)
    )
    count, found, _ = total.finish()

    np.testing.assert_array_equal(count, [[4, 4, 4], [0, 0, 0]])
    np.testing.assert_array_equal(found[0], mean[0])
    assert np.isnan(found[1]).all()


def test_more_elements_than_a_slab() -> None:
    rng = np.random.default_rng(5)
    size = 2 * SLAB + 17
    means = rng.normal(size=(2, size))
    total = Moments.empty((size,))
    for mean in means:
        add_stored(total, np.full(size, 3), mean, np.zeros(size))
    count, mean, std = total.finish()

    assert (count == 6).all()
    np.testing.assert_allclose(mean, means.mean(0), atol=1e-15)
    np.testing.assert_allclose(std, means.std(0), rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_collapsing_uneven_groups_is_adding_their_members(axis: int) -> None:
    rng = np.random.default_rng(axis)
    count = rng.integers(0, 4, (5, 5, 5))
    moments = Moments.stored(count, rng.normal(size=count.shape), rng.random(count.shape))
    found = collapsed(moments, axis, [(0, 3), (3, 4), (4, 5)])
    before = (slice(None),) * axis
    first = added(added(moments[(*before, 0)], moments[(*before, 1)]), moments[(*before, 2)])

    for part, wanted in zip(found[(*before, 0)].parts, first.parts, strict=True):
        np.testing.assert_array_equal(part, wanted)
    for part, old in zip(found[(*before, 2)].parts, moments[(*before, 4)].parts, strict=True):
        np.testing.assert_array_equal(part, old)


def test_first_cube_is_taken_as_it_is() -> None:
    rng = np.random.default_rng(9)
    count = rng.integers(0, 3, (2, SLAB))
    mean = np.where(count > 0, rng.normal(size=count.shape), np.nan)
    std = np.where(count > 0, rng.random(count.shape), np.nan)

    for found, wanted in zip(from_stored(count, mean, std).finish(), (count, mean, std), strict=True):
        np.testing.assert_array_equal(found, wanted)
