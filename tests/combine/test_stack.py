"""Cubes of runs side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.combine.merge import merge_cubes
from cubeengine.combine.rebin import rebin_cube
from cubeengine.errors import StoreMismatch
from cubeengine.plots.values import axis_span
from cubeengine.store.read import cube_facts
from tests.combine.cubes import Events, assert_same_cube, dataset_of, split, write_parts
from tests.planning.runs import memory_run
from tests.store.handmade import save

pytestmark = pytest.mark.slow

EVENTS = Events.random(300, seed=4)


def test_every_run_is_there_to_the_bit(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 3)
    merge_cubes(paths[::-1], tmp_path / "stack.zarr", along="run")
    stack = ce.open_cube(tmp_path / "stack.zarr")

    assert stack["run"].values.tolist() == [3, 2, 1]
    assert stack["frame_mean"].dims[:4] == ("selection", "run", "x", "y")
    for number, path in enumerate(paths):
        single = ce.open_cube(path)
        for name in single.data_vars:
            found = stack[name].sel(run=number + 1).values
            np.testing.assert_array_equal(found, single[name].values, err_msg=str(name))


def test_stack_is_described_and_says_what_it_is_of(tmp_path: Path) -> None:
    merge_cubes(write_parts(tmp_path, EVENTS, 2), tmp_path / "stack.zarr", along="run")
    stack = ce.open_cube(tmp_path / "stack.zarr")

    assert "run" in ce.describe_cube(stack)
    assert stack.attrs["run"] == "xpptest01:1, xpptest01:2"
    assert cube_facts(stack)["history"][-1]["did"] == "stack along run"
    assert stack.attrs["n_events_total"] == len(EVENTS)


def test_run_without_a_signal_holds_nothing_of_it(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 3, drop={1: ["diode", "frame"]})
    result = merge_cubes(paths, tmp_path / "stack.zarr", along="run")
    stack = ce.open_cube(tmp_path / "stack.zarr")

    for name in ("diode", "frame"):
        lost = stack.sel(run=2)
        assert (lost[f"{name}_count"] == 0).all()
        assert np.isnan(lost[f"{name}_mean"]).all()
        assert np.isnan(lost[f"{name}_std"]).all()
    assert (stack["n_events"].sel(run=2) > 0).any()
    assert len(result.notes) == 2


def test_sum_over_the_runs_of_a_stack_is_the_merged_cube(tmp_path: Path) -> None:
    merge_cubes(write_parts(tmp_path, EVENTS, 3), tmp_path / "stack.zarr", along="run")
    rebin_cube(tmp_path / "stack.zarr", tmp_path / "sum.zarr", drop=["run"])

    assert_same_cube(ce.open_cube(tmp_path / "sum.zarr"), dataset_of(EVENTS), n_parts=3)


def test_runs_are_added_to_a_stack(tmp_path: Path) -> None:
    a, b, c = write_parts(tmp_path, EVENTS, 3)
    merge_cubes([a, b], tmp_path / "ab.zarr", along="run")
    merge_cubes([tmp_path / "ab.zarr", c], tmp_path / "longer.zarr", along="run")
    merge_cubes([a, b, c], tmp_path / "abc.zarr", along="run")

    assert ce.cube_hash(tmp_path / "longer.zarr") == ce.cube_hash(tmp_path / "abc.zarr")


@pytest.mark.slow
def test_stacks_of_the_same_runs_are_added(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        merge_cubes(write_parts(tmp_path / name, EVENTS, 2), tmp_path / f"{name}.zarr", along="run")
    merge_cubes([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "twice.zarr", allow=["same-run"])
    once, twice = ce.open_cube(tmp_path / "a.zarr"), ce.open_cube(tmp_path / "twice.zarr")

    np.testing.assert_array_equal(twice["n_events"], 2 * once["n_events"])
    np.testing.assert_array_equal(twice["frame_mean"], once["frame_mean"])


def test_elements_counted_in_one_run_only_are_counted_in_all(tmp_path: Path) -> None:
    one, two = (dataset_of(part, run=n + 1) for n, part in enumerate(split(EVENTS, 2)))
    two["frame_count"] = (
        two["frame_count"].broadcast_like(two["frame_mean"]).transpose(*two["frame_mean"].dims)
    )
    paths = [save(one, tmp_path / "1.zarr"), save(two, tmp_path / "2.zarr")]
    merge_cubes(paths, tmp_path / "stack.zarr", along="run")
    merge_cubes(paths, tmp_path / "sum.zarr")
    stack, total = ce.open_cube(tmp_path / "stack.zarr"), ce.open_cube(tmp_path / "sum.zarr")

    np.testing.assert_array_equal(stack["frame_count"].sum("run"), total["frame_count"])
    np.testing.assert_array_equal(total["frame_count"].isel(frame_dim0=0, frame_dim1=1), total["n_events"])


def test_run_numbers_can_be_given(tmp_path: Path) -> None:
    paths = []
    for number, part in enumerate(split(EVENTS, 2)):
        cube = dataset_of(part, run=number).assign_attrs(run="", spec={"cube": "delay"})
        paths.append(save(cube, tmp_path / f"{number}.zarr"))

    with pytest.raises(ce.StoreMismatch, match=r"does not record its run.*--runs"):
        merge_cubes(paths, tmp_path / "stack.zarr", along="run")
    with pytest.raises(ce.SpecError, match="2 distinct run numbers"):
        merge_cubes(paths, tmp_path / "stack.zarr", along="run", runs=[7, 7])
    merge_cubes(paths, tmp_path / "stack.zarr", along="run", runs=[12, 7])
    assert ce.open_cube(tmp_path / "stack.zarr")["run"].values.tolist() == [12, 7]


def test_the_run_that_a_spec_names_is_known_where_its_file_has_another_name(tmp_path: Path) -> None:
    """The path is given beside the spec, and says nothing of the run."""
    paths, values = [], np.arange(6.0)
    for number in (9, 7):
        run = memory_run({"x": values + number})
        spec = ce.CubeSpec.from_dict({
            "cube": "c", "run": {"run": number}, "units": {"x": ""},
            "axes": [{"field": "x", "edges": [0, 8, 20]}], "signals": ["x"],
        })  # fmt: skip
        paths.append(tmp_path / f"{number}.zarr")
        ce.plan(run, spec).to_zarr(paths[-1])
    merge_cubes(paths, tmp_path / "stack.zarr", along="run")
    stack = ce.open_cube(tmp_path / "stack.zarr")
    assert stack["run"].values.tolist() == [9, 7]
    assert stack["n_events"].values.tolist() == [[[0, 6], [1, 5]]]


def test_runs_of_one_number_and_cubes_of_several_runs_are_refused(tmp_path: Path) -> None:
    a, b, c = write_parts(tmp_path, EVENTS, 3)
    merge_cubes([a, b], tmp_path / "ab.zarr")
    other = dataset_of(split(EVENTS, 3)[2], run=1).assign_attrs(run="other:1", inputs=[])

    with pytest.raises(ce.StoreMismatch, match="is of several runs"):
        merge_cubes([tmp_path / "ab.zarr", c], tmp_path / "stack.zarr", along="run")
    with pytest.raises(ce.StoreMismatch, match=r"is of run 1, as .*r1.zarr is"):
        merge_cubes([a, save(other, tmp_path / "o.zarr")], tmp_path / "stack.zarr", along="run")


def test_an_axis_called_run_is_no_stack(tmp_path: Path) -> None:
    """Old cubes may have such an axis; its bins are no runs."""
    paths = []
    for number in (1, 2):
        cube = dataset_of(Events.random(50, seed=number), run=number, y_edges=None)
        cube = cube.rename(x="run", x_bnds="run_bnds")
        paths.append(save(cube, tmp_path / f"{number}.zarr"))
    with pytest.raises(StoreMismatch, match="already has an axis 'run'"):
        merge_cubes(paths, tmp_path / "stack.zarr", along="run")
    assert axis_span(ce.open_cube(paths[0]), "run") == ("-1", "2")


def test_cubes_of_two_experiments_are_told_first(tmp_path: Path) -> None:
    paths = []
    for number, experiment in ((1, "xppa"), (2, "xppb")):
        cube = dataset_of(Events.random(50, seed=number), run=number)
        cube.attrs["run"] = f"{experiment}:{number}"
        paths.append(save(cube, tmp_path / f"{number}.zarr"))
    made = merge_cubes(paths, tmp_path / "both.zarr")
    assert made.notes[0] == "the cubes are of different experiments: xppa, xppb"
    alone = merge_cubes([paths[0], made.path], tmp_path / "more.zarr", allow=["same-run"])
    assert alone.notes[0] == "the cubes are of different experiments: xppa, xppb"
