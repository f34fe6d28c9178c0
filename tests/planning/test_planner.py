"""Which strategy is chosen for which data, and why; what a plan promises."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.budget import WORKER_BASELINE, Budget
from cubeengine.errors import BudgetExceeded
from cubeengine.planning import planner
from cubeengine.planning.cost import Tuning
from cubeengine.planning.planner import plan_signal
from cubeengine.planning.shape import SignalShape
from cubeengine.types import FieldInfo, Storage

CONTIGUOUS = Storage("contiguous", 1, (), direct=True)
CHUNKS_10 = Storage("chunked", 10, (), direct=True)
GZIP_1 = Storage("chunked", 1, ("shuffle", "gzip"), direct=True)
GZIP_10 = Storage("chunked", 10, ("shuffle", "gzip"), direct=True)
BITSHUFFLE_10 = Storage("chunked", 10, ("bitshuffle",))
MEMORY = Storage("memory")
MIB = 2**20


def shape_of(storage, frame, dtype, n_events, bins, width=1):
    info = FieldInfo("det/raw", frame, np.dtype(dtype), storage=storage, n_rows=n_events)
    n_bins = math.prod(bins)
    per_bin = np.full(n_bins, n_events // n_bins)
    per_bin[0] += n_events - per_bin.sum()
    return SignalShape(
        "det", "det/raw", "", "float64", info, bins, width, width, np.arange(n_events), per_bin
    )


def plan_of(storage, frame, dtype, n_events, bins, width=1, memory_mib=2048, **tuning):
    shape = shape_of(storage, frame, dtype, n_events, bins, width)
    return plan_signal(shape, Budget(memory_mib * MIB), Tuning(**tuning))


TABLE = [
    # storage, frame, type, events, bins, groups per bin, MiB; the strategy, and words of its reason
    (MEMORY, (), "f8", 100_000, (50,), 1, 2048, "stream", "in 1 leaf"),
    (CONTIGUOUS, (16,), "f4", 1_000_000, (50,), 3, 2048, "stream", "small against the input"),
    (CONTIGUOUS, (64, 64), "u2", 100_000, (50,), 2, 2048, "stream", "small against the input"),
    (GZIP_10, (64, 64), "u2", 100_000, (50,), 2, 2048, "stream", "small against the input"),
    (CHUNKS_10, (128, 256), "u2", 30_000, (50,), 1, 2048, "by_bin", "read one by one"),
    (CHUNKS_10, (512, 512), "f4", 10_000, (50,), 2, 2048, "by_bin", "25 groups of bins"),
    (GZIP_1, (512, 512), "u2", 10_000, (50,), 2, 2048, "by_bin", "read one by one"),
    (GZIP_10, (512, 512), "u2", 10_000, (50,), 2, 2048, "by_tile", "3 parts of the frame"),
    (GZIP_10, (512, 512), "u2", 10_000, (50,), 2, 8192, "stream", "small against the input"),
    (BITSHUFFLE_10, (1024, 1024), "u2", 10_000, (50,), 2, 2048, "by_bin", "3 groups of bins"),
    (CONTIGUOUS, (1024, 1024), "u2", 20_000, (1000,), 2, 2048, "by_bin", "143 groups of bins"),
    (CONTIGUOUS, (2048, 2048), "f4", 5_000, (100,), 2, 2048, "by_bin", "100 groups of bins"),
    (CONTIGUOUS, (128, 128), "f4", 100_000, (40, 40), 2, 2048, "by_bin", "40 groups of bins"),
    (CONTIGUOUS, (4096, 4096), "f4", 2_000, (), 1, 1024, "by_tile", "parts of the frame"),
    (CONTIGUOUS, (4096, 4096), "f4", 2_000, (), 1, 4096, "stream", "small against the input"),
]


@pytest.mark.parametrize(("storage", "frame", "dtype", "n", "bins", "width", "mib", "strategy", "why"), TABLE)
def test_table_of_choices(storage, frame, dtype, n, bins, width, mib, strategy, why):
    plan = plan_of(storage, frame, dtype, n, bins, width, mib)
    assert plan.strategy == strategy
    assert why in plan.reason
    assert {plan.strategy, *(rejected.strategy for rejected in plan.rejected)} == {
        "stream",
        "by_bin",
        "by_tile",
    }
    assert all(rejected.reason for rejected in plan.rejected)
    assert plan.memory(1) <= Budget(mib * MIB).usable
    assert plan.n_leaves <= 10_000


def test_rejections_say_what_would_not_fit_or_cost_more():
    reasons = {
        rejected.strategy: rejected.reason
        for rejected in plan_of(CONTIGUOUS, (1024, 1024), "u2", 20_000, (1000,), 2).rejected
    }
    assert "a worker has 1.69 GiB" in reasons["stream"]
    assert "times the cost" in reasons["by_tile"]
    one_bin = plan_of(MEMORY, (), "f8", 10, ()).rejected
    assert [rejected.reason for rejected in one_bin] == [
        "there is only one bin",
        "a single number cannot be split",
    ]


def test_over_budget_names_the_worst_task_and_what_would_help():
    with pytest.raises(
        BudgetExceeded, match=r"'det/\w+' needs .* but a worker has 400 MiB.*resources\.memory >= "
    ):
        plan_of(GZIP_10, (2048, 2048), "f4", 5_000, (100,), 2, memory_mib=400)


def test_the_memory_that_the_error_asks_for_is_enough():
    with pytest.raises(BudgetExceeded) as caught:
        plan_of(GZIP_10, (2048, 2048), "f4", 5_000, (10,), memory_mib=400)
    wanted = float(str(caught.value).split(">= ")[1].split(" GiB")[0])
    assert plan_of(GZIP_10, (2048, 2048), "f4", 5_000, (10,), memory_mib=int(wanted * 1024)).strategy


LIBRARY = Storage("chunked", 1)
"""Chunks that hold parts of frames, read by the HDF5 library."""


@pytest.mark.parametrize(
    ("storage", "frame", "bins"),
    [
        (LIBRARY, (16_384, 16_384), (1000,)),
        (LIBRARY, (1_000_000, 1_000_000), ()),
        (LIBRARY, (10**8, 10**8), (100,)),
        (CONTIGUOUS, (10**8, 10**8), (100,)),
        (GZIP_1, (10**12,), (10, 10)),
        (CONTIGUOUS, (30_000, 30_000), (1000, 1000)),
    ],
)
def test_frames_that_never_fit_are_refused_without_listing_their_parts(monkeypatch, storage, frame, bins):
    made = []
    plain = planner.Part

    def counted(*arguments):
        made.append(1)
        return plain(*arguments)

    monkeypatch.setattr(planner, "Part", counted)
    shape = shape_of(storage, frame, "f8", 30, bins)
    with pytest.raises(BudgetExceeded, match=f"{math.prod(frame):,} elements in each of {math.prod(bins):,}"):
        plan_signal(shape, Budget(2048 * MIB), Tuning())
    tries = 3 * 100  # of the strategies, to find a memory that is enough
    assert len(made) <= 8 * planner.MOST_PARTS + tries


def test_parts_are_thousands_however_many_bins_there_are():
    plan = plan_of(CONTIGUOUS, (512, 512), "f4", 30_000, (30_000,))
    assert plan.strategy == "by_bin"
    assert len(plan.parts) <= planner.MOST_PARTS


def test_long_runs_make_leaves_of_more_events_not_more_leaves():
    leaves = [plan_of(CONTIGUOUS, (64, 64), "u2", n, (50,)).n_leaves for n in (10**6, 10**7)]
    assert leaves[1] <= Tuning().max_leaves
    partials = {plan_of(CONTIGUOUS, (64, 64), "u2", n, (50,)).part_nbytes for n in (10**5, 10**7)}
    assert len(partials) == 1


def test_a_compressed_chunk_is_never_shared_by_two_leaves():
    plan = plan_of(GZIP_10, (64, 64), "u2", 20_001, (50,), leaf_nbytes=MIB)
    (part,) = plan.parts
    assert len(part.leaves) > 8
    assert all(start % 10 == 0 for start, _ in part.leaves)


frames = st.lists(st.integers(1, 40), max_size=3).map(tuple)


@given(
    storage=st.sampled_from([CONTIGUOUS, CHUNKS_10, GZIP_1, GZIP_10, BITSHUFFLE_10]),
    frame=frames,
    dtype=st.sampled_from(["u1", "u2", "i4", "f4", "f8"]),
    n_events=st.integers(0, 3000),
    bins=st.lists(st.integers(1, 12), max_size=3).map(tuple),
    width=st.integers(1, 3),
    leaf=st.integers(1, 10**6),
    chunk=st.integers(8, 10**5),
)
def test_any_plan_covers_every_pair_bin_and_element_once(
    storage, frame, dtype, n_events, bins, width, leaf, chunk
):
    plan = plan_of(storage, frame, dtype, n_events, bins, width, leaf_nbytes=leaf, chunk_nbytes=chunk)
    n_bins, n_elements = math.prod(bins), math.prod(frame)
    covered = np.zeros((n_bins, n_elements), np.int64)
    for part in plan.parts:
        covered[slice(*part.bins), slice(*part.elements)] += 1
        assert all(a[1] == b[0] for a, b in pairwise(part.leaves))
    assert (covered == 1).all()
    by_elements = [part for part in plan.parts if part.elements[0] == 0]
    assert sum(stop - start for part in by_elements for start, stop in part.leaves) == n_events


@given(threads=st.integers(1, 16))
def test_more_threads_need_more_memory(threads):
    plan = plan_of(CONTIGUOUS, (512, 512), "f4", 10_000, (50,))
    assert plan.memory(threads + 1) > plan.memory(threads) > plan.part_nbytes


def test_usable_memory_is_what_the_idle_worker_leaves():
    assert Budget(2 * 2**30).usable == 2 * 2**30 - WORKER_BASELINE
