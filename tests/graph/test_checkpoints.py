"""Partial sums in files: what was kept is found again to the bit, and nothing that is not whole is taken."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import StoreMismatch
from cubeengine.graph.checkpoints import (
    Checkpoint,
    checkpoints,
    drop_checkpoints,
    fold_and_keep,
    keep,
    latest_checkpoint,
    load_sums,
)
from cubeengine.graph.tasks import LeafJob, Sums, fold
from cubeengine.kernels.moments import GroupedMoments

N_GROUPS = 3
HEAD = 40  # bytes that say what a file holds


def made_sums(dtype: str, n_elements: int, seed: int = 0, n_tiles: int = 1) -> Sums:
    random = np.random.default_rng(seed)
    edges = np.linspace(0, n_elements, n_tiles + 1).astype(int)
    tiles = []
    for width in np.diff(edges):
        moments = GroupedMoments(dtype, N_GROUPS, int(width))
        data = (random.normal(50, 20, (40, width))).astype(dtype)
        moments.add(data, np.arange(40), random.integers(0, N_GROUPS, 40).astype(np.int32))
        tiles.append(moments.partial())
    return Sums(tuple(tiles), random.integers(0, 9, (3, N_GROUPS)))


def job_of(n_elements: int, n_tiles: int = 1) -> LeafJob:
    edges = np.linspace(0, n_elements, n_tiles + 1).astype(int).tolist()
    tiles = tuple(pairwise(edges))
    return LeafJob(Path(), Path(), (0, N_GROUPS), tiles, 1, Path())


def assert_same(a: Sums, b: Sums) -> None:
    np.testing.assert_array_equal(a.left_out, b.left_out)
    for one, other in zip(a.tiles, b.tiles, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.n_events, other.n_events)
        assert one.arrays.keys() == other.arrays.keys()
        for name in one.arrays:
            assert one.arrays[name].tobytes() == other.arrays[name].tobytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "f4", "f8"])
@pytest.mark.parametrize(("n_elements", "n_tiles"), [(1, 1), (7, 1), (12, 3)])
def test_sums_come_back_to_the_bit(tmp_path, dtype, n_elements, n_tiles):
    sums, checkpoint = made_sums(dtype, n_elements, n_tiles=n_tiles), Checkpoint(tmp_path / "a.0.sums", 5)
    assert keep(sums, checkpoint) is sums
    found = latest_checkpoint(tmp_path, "a")
    assert found == checkpoint
    reader = SimpleNamespace(dtype=np.dtype(dtype))
    assert_same(load_sums(found, job_of(n_elements, n_tiles), reader), sums)


def test_the_checkpoint_that_goes_furthest_is_taken(tmp_path):
    for slot, leaf in enumerate((4, 9, 6)):
        keep(made_sums("f4", 5, seed=slot), Checkpoint(tmp_path / f"a.{slot}.sums", leaf))
    assert latest_checkpoint(tmp_path, "a") == Checkpoint(tmp_path / "a.1.sums", 9)
    assert latest_checkpoint(tmp_path, "b") is None
    drop_checkpoints(tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", range(HEAD))
def test_a_file_that_says_anything_else_of_itself_is_passed_over(tmp_path, place):
    keep(made_sums("f4", 7), Checkpoint(tmp_path / "a.0.sums", 1))
    content = bytearray((tmp_path / "a.0.sums").read_bytes())
    content[place] ^= 2
    (tmp_path / "a.0.sums").write_bytes(content)
    assert latest_checkpoint(tmp_path, "a") is None


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_file_with_any_other_byte_is_passed_over(tmp_path_factory, place, flip):
    folder = tmp_path_factory.mktemp("sums")
    keep(made_sums("f4", 7, seed=1), Checkpoint(folder / "a.0.sums", 1))
    keep(made_sums("f4", 7, seed=2), Checkpoint(folder / "a.1.sums", 2))
    content = bytearray((folder / "a.1.sums").read_bytes())
    content[place % len(content)] ^= flip
    (folder / "a.1.sums").write_bytes(content)
    assert latest_checkpoint(folder, "a") == Checkpoint(folder / "a.0.sums", 1)


@pytest.mark.parametrize("n_kept", [0, 1, 39, 40, 200])
def test_a_file_that_was_being_written_over_another_is_passed_over(tmp_path, n_kept):
    keep(made_sums("u2", 9, seed=1), Checkpoint(tmp_path / "a.0.sums", 1))
    before = (tmp_path / "a.0.sums").read_bytes()
    keep(made_sums("u2", 9, seed=2), Checkpoint(tmp_path / "a.0.sums", 4))
    after = (tmp_path / "a.0.sums").read_bytes()
    for head in (bytes(HEAD), after[:HEAD]):  # as a killed process leaves it, and as a lost node may
        torn = head + after[HEAD:][:n_kept] + before[HEAD:][n_kept:]
        (tmp_path / "a.0.sums").write_bytes(torn)
        assert latest_checkpoint(tmp_path, "a") is None, head


@pytest.mark.parametrize("content", [b"", b"cubesums", bytes(1000), b"cubesums" + bytes(400)])
def test_what_is_no_file_of_sums_is_passed_over(tmp_path, content):
    (tmp_path / "a.2.sums").write_bytes(content)
    assert latest_checkpoint(tmp_path, "a") is None


def test_sums_of_another_part_are_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a.0.sums", 0)
    keep(made_sums("f4", 5), checkpoint)
    with pytest.raises(StoreMismatch, match=r"a\.0\.sums: has changed since it was found"):
        load_sums(checkpoint, job_of(6), SimpleNamespace(dtype=np.dtype("f4")))


def test_a_fold_is_kept_as_it_is_handed_on(tmp_path):
    a, b = made_sums("f4", 5, seed=1), made_sums("f4", 5, seed=2)
    kept = fold_and_keep(a, b, Checkpoint(tmp_path / "a.0.sums", 3, lasting=True))
    assert_same(kept, fold(a, b))
    found = load_sums(latest_checkpoint(tmp_path, "a"), job_of(5), SimpleNamespace(dtype=np.dtype("f4")))
    assert_same(found, kept)


@given(n_leaves=st.integers(1, 60), every=st.integers(1, 9), lasting=st.integers(1, 6))
def test_what_may_be_needed_is_never_written_over(n_leaves, every, lasting):
    chosen = checkpoints(Path("f"), "a", n_leaves, every=every, lasting=lasting)
    assert list(chosen) == [leaf for leaf in range(n_leaves) if (leaf + 1) % every == 0]
    on_disk, before = None, None
    for number, (leaf, one) in enumerate(chosen.items(), start=1):
        assert one.leaf == leaf
        assert one.path not in (before, on_disk)
        assert one.lasting == (number % lasting == 0)
        before, on_disk = one.path, one.path if one.lasting else on_disk
    assert len({one.path for one in chosen.values()}) <= 3
