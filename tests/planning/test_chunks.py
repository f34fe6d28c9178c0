"""Chunk grids are whole: every item in one chunk, chunks contiguous in the flat index."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.planning.chunks import chunk_grid, chunk_ranges, chunk_shape, chunks_within, split_evenly

shapes = st.lists(st.integers(1, 7), max_size=4).map(tuple)


@given(shapes, st.integers(1, 200))
def test_chunks_cover_consecutive_flat_indices(shape, limit):
    flat = np.arange(math.prod(shape)).reshape(shape)
    stop = 0
    for chunk in chunk_grid(shape, chunk_shape(shape, limit)):
        assert chunk.start == stop
        np.testing.assert_array_equal(flat[chunk.region].ravel(), np.arange(chunk.start, chunk.stop))
        stop = chunk.stop
    assert stop == flat.size


@given(shapes, st.integers(1, 200))
def test_chunks_keep_to_the_limit(shape, limit):
    assert math.prod(chunk_shape(shape, limit)) <= limit


@given(shapes, st.integers(1, 200), st.integers(1, 400))
def test_ranges_of_chunks_are_as_long_as_may_be(shape, limit, most):
    grid = chunk_grid(shape, chunk_shape(shape, limit))
    wanted: list[list[int]] = []
    for chunk in grid:  # one after the other, as long as they fit
        if wanted and chunk.stop - wanted[-1][0] <= most:
            wanted[-1][1] = chunk.stop
        else:
            wanted.append([chunk.start, chunk.stop])
    assert [list(span) for span in chunk_ranges(shape, chunk_shape(shape, limit), most)] == wanted
    for start, stop in wanted:
        within = [chunk for chunk in grid if start <= chunk.start and chunk.stop <= stop]
        assert list(chunks_within(grid, (start, stop))) == within


def test_ranges_of_a_grid_that_nobody_could_list():
    ranges = chunk_ranges((10**9, 10**9), (1, 10**6), 10**17)
    assert [next(ranges) for _ in range(2)] == [(0, 10**17), (10**17, 2 * 10**17)]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 60))
def test_even_pieces_cover_the_range_and_differ_by_one_at_most(start, length, limit):
    pieces = split_evenly(start, start + length, limit)
    assert pieces[0][0] == start
    assert pieces[-1][1] == start + length
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    sizes = [high - low for low, high in pieces]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= limit
