"""Cubes that do not fit together are refused, with the first difference and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.combine.merge import merge_cubes
from tests.combine.cubes import X_EDGES, Events, dataset_of, split, write_parts
from tests.quick import first_quick
from tests.store.handmade import save

EVENTS = Events.random(60, seed=8)
Change = Callable[[xr.Dataset], xr.Dataset]


def merge_with(tmp_path: Path, change: Change, **options: object) -> None:
    """Merge a cube with another one that was changed."""
    one, two = (dataset_of(part, run=n + 1) for n, part in enumerate(split(EVENTS, 2)))
    two.attrs["cubeengine"] = dict(two.attrs["cubeengine"])
    paths = [save(one, tmp_path / "a.zarr"), save(change(two), tmp_path / "b.zarr")]
    merge_cubes(paths, tmp_path / "all.zarr", **options)  # type: ignore[arg-type]


def attrs(name: str, **values: object) -> Change:
    def change(cube: xr.Dataset) -> xr.Dataset:
        cube[name].attrs |= values
        return cube

    return change


def group_attrs(**values: object) -> Change:
    return lambda cube: cube.assign_attrs(values)


def other_edge(cube: xr.Dataset) -> xr.Dataset:
    cube["x_bnds"].values[2, 1] = np.nextafter(cube["x_bnds"].values[2, 1], 1)
    return cube


def other_selections(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign_coords(selection=np.array(["on", "dark"], dtype=np.dtypes.StringDType()))


def other_columns(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign_coords(frame_dim1=("frame_dim1", np.arange(4)))


REFUSED = {
    "edge": (other_edge, r"b\.zarr: axis 'x': the upper edge of bin 2 is 0\.3.*but 0\.3 in .*a\.zarr.*rebin"),
    "fewer bins": (lambda cube: cube.isel(x=slice(3)), r"'x': has 3 bins, but 6 in .*rebin"),
    "unit of an axis": (attrs("x", units="fs"), r"axis 'x': its unit is 'fs', but 'ps'"),
    "axes": (lambda cube: cube.isel(y=0, drop=True).drop_vars("y_bnds"), r"the axes 'x', but .* 'x', 'y'"),
    "selections": (other_selections, r"selections 'on', 'dark', but .* 'on', 'off'"),
    "field": (attrs("diode_mean", field="other"), r"'diode' has the field 'other', but 'det/diode'.*--skip"),
    "unit": (attrs("diode_mean", units="V"), r"'diode' has the unit 'V', but 'ADU'"),
    "elements": (
        lambda cube: cube.isel(frame_dim1=slice(2)),
        r"'frame' has the shape \(2, 2\), but \(2, 4\)",
    ),
    "places": (
        other_columns,
        r"'frame_dim1', the coordinate of the elements of 'frame', differs.*--skip frame",
    ),
    "stages": (group_attrs(stages={"frame": [{"stage": "roi"}]}), r"'frame' has the stages \('roi',\)"),
    "ddof": (attrs("frame_std", ddof=1), r"'frame' has ddof 1"),
    "part of a run": (
        group_attrs(partial_run="first 10 events"),
        r"part of a run .*first 10.*--allow partial",
    ),
    "no std": (lambda cube: cube.drop_vars("diode_std"), r"'diode' has no std"),
    "same run": (group_attrs(run="xpptest01:1"), r"run xpptest01:1 is also that of .*a\.zarr.*same-run"),
    "same file": (
        group_attrs(inputs=[{"path": "elsewhere/Run0001.h5", "size": 1001, "mtime_ns": 1}]),
        r"the input file 'Run0001\.h5' is also that of",
    ),
}


@pytest.mark.parametrize("name", first_quick(REFUSED, 4))
def test_difference_is_named(tmp_path: Path, name: str) -> None:
    change, message = REFUSED[name]

    with pytest.raises(ce.StoreMismatch, match=message):
        merge_with(tmp_path, change)
    assert not (tmp_path / "all.zarr").exists()


def test_what_is_allowed_is_merged(tmp_path: Path) -> None:
    merge_with(
        tmp_path, group_attrs(partial_run="first 10 events", run="xpptest01:1"), allow=["partial", "same-run"]
    )

    assert ce.open_cube(tmp_path / "all.zarr").attrs["partial_run"] == "first 10 events"


def test_format_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)
    text = (paths[1] / "zarr.json").read_text()
    (paths[1] / "zarr.json").write_text(text.replace(r"\"format\": 1", r"\"format\": 0"))

    with pytest.raises(ce.StoreMismatch, match=r"has format 0, but .* has format 1"):
        merge_cubes(paths, tmp_path / "all.zarr")


def test_same_path_twice_is_refused_whatever_the_cube_says(tmp_path: Path) -> None:
    (path,) = write_parts(tmp_path, EVENTS, 1)

    with pytest.raises(ce.StoreMismatch, match="same-run"):
        merge_cubes([path, tmp_path / "." / path.name], tmp_path / "all.zarr")


def test_run_of_a_merged_cube_is_noticed(tmp_path: Path) -> None:
    a, b = write_parts(tmp_path, EVENTS, 2)
    merge_cubes([a, b], tmp_path / "ab.zarr")

    with pytest.raises(ce.StoreMismatch, match="run xpptest01:2 is also that of"):
        merge_cubes([tmp_path / "ab.zarr", b], tmp_path / "abb.zarr")


def test_output_may_not_be_an_input(tmp_path: Path) -> None:
    a, b = write_parts(tmp_path, EVENTS, 2)

    with pytest.raises(ce.StoreMismatch, match="is one of the cubes"):
        merge_cubes([a, b], a, overwrite=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"along": "delay"}, "only along 'run'"),
        ({"runs": [1, 2]}, "--along run"),
        ({"allow": ["everything"]}, "known: partial, same-run"),
        ({"skip": ["nothing"]}, "no cube has this signal"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, options: dict[str, object], message: str) -> None:
    paths = write_parts(tmp_path, EVENTS, 2)

    with pytest.raises(ce.SpecError, match=message):
        merge_cubes(paths, tmp_path / "all.zarr", **options)  # type: ignore[arg-type]


def test_no_cubes_and_too_little_memory_are_told(tmp_path: Path) -> None:
    with pytest.raises(ce.SpecError, match="give the cubes as a list"):
        merge_cubes([], tmp_path / "all.zarr")
    with pytest.raises(ce.BudgetExceeded, match="--memory '432 MiB'"):
        merge_cubes(write_parts(tmp_path, EVENTS, 2), tmp_path / "all.zarr", memory="100 MiB")


def test_edges_are_compared_to_the_last_bit() -> None:
    assert X_EDGES[3] != np.nextafter(X_EDGES[3], 1)
