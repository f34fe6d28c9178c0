"""Bins joined: by number, to edges, over a whole axis, several axes at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cubeengine as ce
from cubeengine.combine.merge import merge_cubes
from cubeengine.combine.rebin import rebin_cube
from cubeengine.store.read import cube_facts
from tests.combine.cubes import (
    X_EDGES,
    Y_EDGES,
    Events,
    assert_same_cube,
    dataset_of,
    save_chunked,
    write_parts,
)
from tests.store.handmade import save

EVENTS = Events.random(500, seed=6)


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    return save(dataset_of(EVENTS), tmp_path / "fine.zarr")


@pytest.mark.parametrize("by", [{"x": 2}, {"x": 3}, {"x": 6}, {"y": 2}, {"x": 2, "y": 2}, {"x": 1}])
def test_bins_joined_by_number_are_those_of_the_coarse_edges(fine: Path, by: dict[str, int]) -> None:
    rebin_cube(fine, fine.with_name("c.zarr"), by=by)
    wanted = dataset_of(EVENTS, x_edges=X_EDGES[:: by.get("x", 1)], y_edges=Y_EDGES[:: by.get("y", 1)])
    found = ce.open_cube(fine.with_name("c.zarr"))

    assert_same_cube(found, wanted, n_parts=12)
    for axis in ("x", "y"):
        np.testing.assert_array_equal(found[axis], wanted[axis])
        np.testing.assert_array_equal(found[f"{axis}_bnds"], wanted[f"{axis}_bnds"])
        assert found[axis].attrs == wanted[axis].attrs
    assert "x_bnds" in found.coords


@pytest.mark.slow
@settings(max_examples=15)
@given(st.sets(st.integers(0, 6), min_size=2), st.integers(0, 2**20))
def test_any_subset_of_the_edges_makes_the_cube_of_these(
    tmp_path_factory: pytest.TempPathFactory, places: set[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("rebin")
    events, edges = Events.random(200, seed), X_EDGES[sorted(places)]
    fine = save(dataset_of(events, y_edges=None), folder / "fine.zarr")
    rebin_cube(fine, folder / "c.zarr", edges={"x": edges.tolist()})

    assert_same_cube(
        ce.open_cube(folder / "c.zarr"), dataset_of(events, x_edges=edges, y_edges=None), n_parts=6
    )


def test_events_beyond_the_new_edges_are_outside(fine: Path) -> None:
    rebin_cube(fine, fine.with_name("c.zarr"), edges={"x": [-0.25, 0.3, 0.75]})
    old, new = (cube_facts(ce.open_cube(path))["fates"] for path in (fine, fine.with_name("c.zarr")))
    n_events = ce.open_cube(fine.with_name("c.zarr"))["n_events"]

    for name in ("on", "off"):
        assert new[name]["binned"] == int(n_events.sel(selection=name).sum()) < old[name]["binned"]
        assert sum(new[name].values()) == sum(old[name].values())


def test_axis_that_is_summed_over_is_gone_and_its_values_stay(fine: Path) -> None:
    rebin_cube(fine, fine.with_name("c.zarr"), drop=["x"])
    found = ce.open_cube(fine.with_name("c.zarr"))
    inside = (EVENTS.x >= X_EDGES[0]) & (EVENTS.x <= X_EDGES[-1])
    wanted = dataset_of(EVENTS[inside], x_edges=X_EDGES[[0, -1]]).isel(x=0, drop=True)

    assert found["frame_mean"].dims == ("selection", "y", "frame_dim0", "frame_dim1")
    assert "x" not in found.variables
    assert "x_bnds" not in found.variables
    assert_same_cube(found, wanted, n_parts=6)
    assert ce.describe_cube(found)


def test_all_axes_can_be_summed_over(fine: Path) -> None:
    rebin_cube(fine, fine.with_name("c.zarr"), drop=["x", "y"])
    wanted = dataset_of(EVENTS, x_edges=X_EDGES[[0, -1]], y_edges=Y_EDGES[[0, -1]]).isel(x=0, y=0, drop=True)

    assert_same_cube(ce.open_cube(fine.with_name("c.zarr")), wanted, n_parts=12)


@pytest.mark.slow
def test_chunks_change_rounding_only_and_threads_not_even_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = save(dataset_of(EVENTS), tmp_path / "whole.zarr")
    small = save_chunked(dataset_of(EVENTS), tmp_path / "small.zarr")
    monkeypatch.setattr("cubeengine.combine.blocks.BLOCK_ELEMENTS", 30)
    outputs = [tmp_path / name for name in ("w.zarr", "s.zarr", "t.zarr")]
    for source, out, workers in zip((whole, small, small), outputs, (1, 1, 4), strict=True):
        rebin_cube(source, out, by={"x": 3}, drop=["y"], workers=workers)

    assert_same_cube(ce.open_cube(outputs[1]), ce.open_cube(outputs[0]), n_parts=12)
    assert ce.cube_hash(outputs[1]) == ce.cube_hash(outputs[2])


def test_rebin_of_a_merged_cube_is_the_merge_of_rebinned_ones(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)
    merge_cubes(paths, tmp_path / "fine.zarr")
    rebin_cube(tmp_path / "fine.zarr", tmp_path / "one.zarr", by={"x": 2})
    for path in paths:
        rebin_cube(path, path.with_suffix(".coarse"), by={"x": 2})
    merge_cubes([path.with_suffix(".coarse") for path in paths], tmp_path / "two.zarr")
    one, two = ce.open_cube(tmp_path / "one.zarr"), ce.open_cube(tmp_path / "two.zarr")

    assert_same_cube(one, two, n_parts=4)
    assert [step["did"] for step in cube_facts(one)["history"]] == ["merge", "rebin"]
    assert cube_facts(two)["merged_from"][0]["history"][0]["axes"] == {"x": X_EDGES[::2].tolist()}


def test_cube_tells_how_it_was_rebinned(fine: Path) -> None:
    digest = ce.cube_hash(fine)
    rebin_cube(fine, fine.with_name("c.zarr"), by={"x": 2}, drop=["y"])
    attrs = cube_facts(ce.open_cube(fine.with_name("c.zarr")))

    (step,) = attrs["history"]
    assert step["of"] == [{"path": str(fine), "hash": digest}]
    assert step["axes"] == {"x": X_EDGES[::2].tolist(), "y": "all"}
    assert attrs["spec"] == cube_facts(ce.open_cube(fine))["spec"]


def test_rebinned_cube_is_not_taken_for_the_result_of_the_run(tmp_path: Path) -> None:
    made = dataset_of(EVENTS).assign_attrs(plan={"key": "0123"}, memory={"measured": 1}, launcher="2 threads")
    rebin_cube(save(made, tmp_path / "fine.zarr"), tmp_path / "c.zarr", by={"x": 2})

    assert not {"plan", "memory", "launcher"} & ce.open_cube(tmp_path / "c.zarr").attrs.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": {"x": 4}}, "6 bins cannot be joined in groups of 4; possible: 2, 3, 6"),
        ({"by": {"x": 0}}, "cannot be joined in groups of 0"),
        ({"edges": {"x": [-1, 0.2, 2]}}, "0.2 is not an edge of the cube.*nearest: 0.1, 0.3"),
        ({"edges": {"x": [-3, 2]}}, "-3.0 is not an edge.*nearest: -1.0"),
        ({"edges": {"x": [-1, 5]}}, "5.0 is not an edge.*nearest: 2.0"),
        ({"edges": {"x": [0.3, -0.25]}}, "must be two or more rising numbers"),
        ({"edges": {"x": [0.3]}}, "two or more"),
        ({"edges": {"x": [0.3, float("nan")]}}, "two or more"),
        ({"drop": ["z"]}, "has no axis 'z'; nearest: 'x', 'y'"),
        ({"drop": ["selection"]}, "has no axis 'selection'"),
        ({"drop": ["x"], "by": {"x": 2}}, "'x': is given twice"),
        ({}, "give what to join"),
    ],
)
def test_what_cannot_be_joined_is_told_with_what_can(fine: Path, options: dict, message: str) -> None:
    with pytest.raises(ce.SpecError, match=message):
        rebin_cube(fine, fine.with_name("c.zarr"), **options)
    assert not fine.with_name("c.zarr").exists()


def test_runs_that_do_not_follow_one_another_are_not_joined(tmp_path: Path) -> None:
    merge_cubes(write_parts(tmp_path, EVENTS, 2)[::-1], tmp_path / "stack.zarr", along="run")

    with pytest.raises(ce.SpecError, match=r"are not adjacent.*--drop run"):
        rebin_cube(tmp_path / "stack.zarr", tmp_path / "c.zarr", by={"run": 2})


def test_output_may_not_be_the_input(fine: Path) -> None:
    with pytest.raises(ce.StoreMismatch, match="choose another output"):
        rebin_cube(fine, fine, by={"x": 2}, overwrite=True)
