"""Cubes of runs added, on disk: values, what they say of themselves, what some lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.combine.merge import merge_cubes
from cubeengine.store.read import cube_facts
from cubeengine.store.write import leftovers
from tests.combine.cubes import Events, assert_same_cube, dataset_of, save_chunked, split, write_parts
from tests.quick import first_quick
from tests.store.handmade import save

EVENTS = Events.random(400, seed=3)


@pytest.mark.parametrize("n_parts", first_quick([2, 1, 5]))
def test_merged_cube_is_that_of_all_events(tmp_path: Path, n_parts: int) -> None:
    merge_cubes(write_parts(tmp_path, EVENTS, n_parts), tmp_path / "all.zarr")

    assert_same_cube(ce.open_cube(tmp_path / "all.zarr"), dataset_of(EVENTS), n_parts=n_parts)


def test_signal_of_float32_stays_so_and_is_computed_in_float64(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 3, dtype="float32")
    merge_cubes(paths, tmp_path / "all.zarr")
    wanted = dataset_of(EVENTS, dtype="float32")

    assert_same_cube(ce.open_cube(tmp_path / "all.zarr"), wanted, n_parts=3, unit=2.0**-24)


def test_float32_and_float64_give_float64(tmp_path: Path) -> None:
    one, two = split(EVENTS, 2)
    paths = [save(dataset_of(one, run=1, dtype="float32"), tmp_path / "1.zarr")]
    paths.append(save(dataset_of(two, run=2), tmp_path / "2.zarr"))
    merge_cubes(paths, tmp_path / "all.zarr")

    assert ce.open_cube(tmp_path / "all.zarr")["frame_mean"].dtype == "float64"


def test_cube_without_axes_is_merged(tmp_path: Path) -> None:
    whole = dataset_of(EVENTS)
    paths = []
    for number, part in enumerate(split(EVENTS, 2)):
        cube = dataset_of(part, run=number + 1).isel(x=2, y=0, drop=True).drop_vars(["x_bnds", "y_bnds"])
        paths.append(save(cube, tmp_path / f"{number}.zarr"))
    merge_cubes(paths, tmp_path / "all.zarr")

    assert_same_cube(ce.open_cube(tmp_path / "all.zarr"), whole.isel(x=2, y=0), n_parts=2)


def test_merged_cube_opens_and_is_described_as_any_other(tmp_path: Path) -> None:
    merge_cubes(write_parts(tmp_path, EVENTS, 2), tmp_path / "all.zarr")
    merged, single = ce.open_cube(tmp_path / "all.zarr"), ce.open_cube(tmp_path / "r1.zarr")

    assert list(merged.variables) == list(single.variables)
    assert set(merged.coords) == set(single.coords)
    for name in single.variables:
        assert merged[name].attrs == single[name].attrs
    assert "frame" in ce.describe_cube(merged)
    assert ce.sem(merged, "diode").shape == merged["diode_std"].shape
    xr.testing.assert_identical(merged["frame_dim1"], single["frame_dim1"])


def test_merging_merged_cubes_is_merging_all(tmp_path: Path) -> None:
    a, b, c = write_parts(tmp_path, EVENTS, 3)
    merge_cubes([a, b], tmp_path / "ab.zarr")
    merge_cubes([tmp_path / "ab.zarr", c], tmp_path / "abc.zarr")
    merged = ce.open_cube(tmp_path / "abc.zarr")

    assert_same_cube(merged, dataset_of(EVENTS), n_parts=3)
    assert [Path(entry["path"]).name for entry in cube_facts(merged)["merged_from"]] == [
        "r1.zarr",
        "r2.zarr",
        "r3.zarr",
    ]
    assert merged.attrs["run"] == "xpptest01:1, xpptest01:2, xpptest01:3"


@pytest.mark.slow
def test_chunks_of_cubes_need_not_be_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = split(EVENTS, 2)
    paths = [save(dataset_of(one, run=1), tmp_path / "1.zarr")]
    foreign = save_chunked(dataset_of(two, run=2), tmp_path / "2.zarr")
    monkeypatch.setattr("cubeengine.combine.blocks.BLOCK_ELEMENTS", 16)  # many blocks
    merge_cubes([*paths, foreign], tmp_path / "a.zarr")
    merge_cubes([foreign, *paths], tmp_path / "b.zarr")

    for name in ("a.zarr", "b.zarr"):
        assert_same_cube(ce.open_cube(tmp_path / name), dataset_of(EVENTS), n_parts=2)


@pytest.mark.slow
def test_number_of_threads_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, *others = split(EVENTS, 3)
    paths = [save_chunked(dataset_of(one, run=9), tmp_path / "first.zarr")]
    paths += [save(dataset_of(part, run=n), tmp_path / f"part{n}.zarr") for n, part in enumerate(others)]
    monkeypatch.setattr("cubeengine.combine.blocks.BLOCK_ELEMENTS", 32)
    for workers in (1, 4):
        merge_cubes(paths, tmp_path / f"{workers}.zarr", workers=workers)

    assert ce.cube_hash(tmp_path / "1.zarr") == ce.cube_hash(tmp_path / "4.zarr")


def test_counts_of_all_events_add_up(tmp_path: Path) -> None:
    merge_cubes(write_parts(tmp_path, EVENTS, 3), tmp_path / "all.zarr")
    attrs, whole = cube_facts(ce.open_cube(tmp_path / "all.zarr")), dataset_of(EVENTS).attrs

    for key in ("fates", "cut_flow", "n_events_total", "title"):
        assert attrs[key] == whole[key]
    assert attrs["left_out"] == {"frame": {"on": {"missing": 6, "damaged": 0}}}
    assert attrs["delays"]["x"] == {"laser": "lightStatus/laser", "laser_on": 400, "laser_off": 3}
    assert all(sum(fate.values()) == attrs["n_events_total"] for fate in attrs["fates"].values())
    assert [file["path"] for file in attrs["inputs"]] == [f"data/Run{n:04d}.h5" for n in (1, 2, 3)]


def test_cube_tells_what_it_was_merged_from(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)
    merge_cubes(paths[::-1], tmp_path / "all.zarr")
    attrs = cube_facts(ce.open_cube(tmp_path / "all.zarr"))

    assert [entry["path"] for entry in attrs["merged_from"]] == [str(path) for path in paths[::-1]]
    assert [entry["hash"] for entry in attrs["merged_from"]] == [ce.cube_hash(path) for path in paths[::-1]]
    assert [entry["run"] for entry in attrs["merged_from"]] == ["xpptest01:2", "xpptest01:1"]
    assert attrs["merged_from"][0]["spec"]["run"]["run"] == 2
    assert attrs["spec"]["run"] == {"experiment": "xpptest01"}
    assert [step["did"] for step in attrs["history"]] == ["merge"]


def test_signal_that_a_cube_lacks_is_merged_from_the_others(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 3, drop={0: ["diode"], 2: ["diode"], 1: ["frame"]})
    result = merge_cubes(paths, tmp_path / "all.zarr")
    merged = ce.open_cube(tmp_path / "all.zarr")
    second = dataset_of(split(EVENTS, 3)[1])

    np.testing.assert_array_equal(merged["n_events"], dataset_of(EVENTS)["n_events"])
    for part in ("count", "mean", "std"):
        np.testing.assert_array_equal(merged[f"diode_{part}"], second[f"diode_{part}"])
    assert (merged["frame_count"].values <= merged["n_events"].values).all()
    lacking = cube_facts(merged)["history"][-1]["lacking"]
    assert lacking == {"diode": [str(paths[0]), str(paths[2])], "frame": [str(paths[1])]}
    assert sum("signal 'diode' is not in" in note for note in result.notes) == 1


def test_signal_that_a_cube_lacks_is_an_error_where_all_are_required(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 2, drop={1: ["diode"]})

    with pytest.raises(ce.StoreMismatch, match=r"r2\.zarr: has no signal 'diode'"):
        merge_cubes(paths, tmp_path / "all.zarr", require_all=True)


def test_signal_can_be_left_out(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)
    merge_cubes(paths, tmp_path / "all.zarr", skip=["frame"])
    merged = ce.open_cube(tmp_path / "all.zarr")

    assert "frame_mean" not in merged
    assert "frame_dim1" not in merged.variables
    with pytest.raises(ce.SpecError, match="nearest: frame"):
        merge_cubes(paths, tmp_path / "b.zarr", skip=["fram"])


def test_cuts_that_differ_are_told_and_kept_apart(tmp_path: Path) -> None:
    one, two = (dataset_of(part, run=n) for n, part in enumerate(split(EVENTS, 2)))
    two.attrs["cut_flow"]["on"] = [["laser and more", 3, 3]]
    two.attrs["spec"]["axes"][0]["unit"] = "fs"
    result = merge_cubes(
        [save(one, tmp_path / "1.zarr"), save(two, tmp_path / "2.zarr")], tmp_path / "a.zarr"
    )
    attrs = cube_facts(ce.open_cube(tmp_path / "a.zarr"))

    assert list(attrs["cut_flow"]) == ["off"]
    assert attrs["merged_from"][1]["cut_flow"]["on"] == [["laser and more", 3, 3]]
    assert any("axes[0].unit" in note for note in result.notes)
    assert any("'on': the cuts differ" in note for note in result.notes)


def test_array_that_nobody_knows_how_to_add_is_left_out_and_told(tmp_path: Path) -> None:
    one, two = (dataset_of(part, run=n) for n, part in enumerate(split(EVENTS, 2)))
    one["ratio"] = one["x_mean"] * 2
    result = merge_cubes(
        [save(one, tmp_path / "1.zarr"), save(two, tmp_path / "2.zarr")], tmp_path / "a.zarr"
    )

    assert "ratio" not in ce.open_cube(tmp_path / "a.zarr")
    assert any("ratio" in note for note in result.notes)


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    seen = []
    merge_cubes(write_parts(tmp_path, EVENTS, 2), tmp_path / "all.zarr", on_progress=seen.append)

    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total > 0


def test_damaged_chunk_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)
    chunk = next((paths[1] / "frame_mean").glob("c.*"))
    chunk.write_bytes(b"no chunk")

    with pytest.raises(ce.StoreMismatch, match=rf"frame_mean/{chunk.name}.*damaged"):
        merge_cubes(paths, tmp_path / "all.zarr")
    assert not (tmp_path / "all.zarr").exists()
    assert leftovers(tmp_path / "all.zarr") == ()


def test_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(progress: object) -> None:
        if progress.done:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_cubes(write_parts(tmp_path, EVENTS, 2), tmp_path / "all.zarr", on_progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r1.zarr", "r2.zarr"]


def test_existing_cube_is_replaced_only_when_asked(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)
    merge_cubes(paths, tmp_path / "all.zarr")

    with pytest.raises(ce.StoreMismatch, match="already exists"):
        merge_cubes(paths, tmp_path / "all.zarr")
    merge_cubes(paths[::-1], tmp_path / "all.zarr", overwrite=True)
