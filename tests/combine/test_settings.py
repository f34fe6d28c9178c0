"""Cubes of step scans: settings that differ by rounding are one, labels are settings, also after a rebin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.errors import StoreMismatch
from tests.combine.cubes import statistics
from tests.planning.runs import memory_run, plan_of

SETTINGS = np.array([-10.0, -1.0, 0.0, 0.1, 100.0])
AXIS = "units: {m: mm}\naxes: [{field: m, steps: auto%s}]\nsignals: [v]"


def scan_cube(path: Path, settings: np.ndarray, seed: int, more: str = "") -> tuple[Path, np.ndarray]:
    """Write the cube of a step scan; give the values of its signal, one row per setting."""
    values = np.random.default_rng(seed).normal(100, 1, (len(settings), 20))
    run = memory_run({"m": np.repeat(settings, 20), "v": values.ravel()})
    plan_of(run, AXIS % more).to_zarr(path)
    return path, values


def test_settings_that_differ_by_rounding_are_one(tmp_path: Path) -> None:
    a, first = scan_cube(tmp_path / "a.zarr", SETTINGS, 1)
    b, second = scan_cube(tmp_path / "b.zarr", SETTINGS * (1 + 4e-16), 2)
    result = ce.merge_cubes([a, b], tmp_path / "ab.zarr")
    cube = ce.open_cube(tmp_path / "ab.zarr")
    count, mean, std = statistics(np.concatenate([first, second], axis=1).T)
    assert cube["m"].values.tolist() == SETTINGS.tolist()
    np.testing.assert_array_equal(cube["v_count"][0], count)
    np.testing.assert_allclose(cube["v_mean"][0], mean.astype(float), rtol=1e-14)
    np.testing.assert_allclose(cube["v_std"][0], std.astype(float), rtol=1e-11)
    (note,) = result.notes
    assert "axis 'm': settings and edges differ by up to" in note
    found = ce.cube_facts(cube)["history"][-1]["matched_axes"]["m"]
    edges = [ce.open_cube(path)["m_bnds"].values for path in (a, b)]
    assert found["largest_difference"] == np.abs(edges[1] - edges[0]).max() > 0
    assert found["tolerance"] == pytest.approx(1e-9 * 110)


def test_settings_within_a_stated_tolerance_are_one_also_side_by_side(tmp_path: Path) -> None:
    a, first = scan_cube(tmp_path / "a.zarr", SETTINGS, 1, ", tolerance: 0.05")
    b, second = scan_cube(tmp_path / "b.zarr", SETTINGS + 0.02, 2, ", tolerance: 0.03")
    ce.merge_cubes([a, b], tmp_path / "ab.zarr", along="run", runs=[7, 9])
    cube = ce.open_cube(tmp_path / "ab.zarr")
    assert cube["m"].values.tolist() == SETTINGS.tolist()
    np.testing.assert_allclose(cube["v_mean"][0], [first.mean(axis=1), second.mean(axis=1)], rtol=1e-14)
    assert ce.cube_facts(cube)["history"][-1]["matched_axes"]["m"]["tolerance"] == 0.03


def test_equal_settings_are_not_spoken_of(tmp_path: Path) -> None:
    paths = [scan_cube(tmp_path / f"{n}.zarr", SETTINGS, n)[0] for n in range(2)]
    result = ce.merge_cubes(paths, tmp_path / "ab.zarr")
    assert result.notes == ()
    assert "matched_axes" not in ce.cube_facts(ce.open_cube(tmp_path / "ab.zarr"))["history"][-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SETTINGS + np.array([0, 0, 0, 0.06, 0]), "setting 3 is 0.16, but 0.1 .* tolerance 0.05 apart"),
        (SETTINGS[:-1], "has 4 bins, but 5"),
    ],
)
def test_settings_farther_apart_than_the_tolerance_are_refused(
    tmp_path: Path, settings: np.ndarray, message: str
) -> None:
    a, _ = scan_cube(tmp_path / "a.zarr", SETTINGS, 1, ", tolerance: 0.05")
    b, _ = scan_cube(tmp_path / "b.zarr", settings, 2, ", tolerance: 0.05")
    with pytest.raises(StoreMismatch, match=message):
        ce.merge_cubes([a, b], tmp_path / "ab.zarr")


def test_edges_that_were_given_are_the_same_to_the_bit_or_refused(tmp_path: Path) -> None:
    run = memory_run({"m": np.repeat(SETTINGS, 20), "v": np.ones(100)})
    for name, edge in (("a", 0.05), ("b", float(np.nextafter(0.05, 1)))):
        text = f"axes: [{{field: m, edges: [-20, -5, {edge!r}, 200]}}]\nsignals: [v]"
        plan_of(run, text).to_zarr(tmp_path / f"{name}.zarr")
    with pytest.raises(StoreMismatch, match="upper edge of bin 1"):
        ce.merge_cubes([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "ab.zarr")


def test_cube_without_a_recorded_tolerance_is_compared_to_the_bit(tmp_path: Path) -> None:
    """Cubes of earlier versions say nothing of a tolerance."""
    a, _ = scan_cube(tmp_path / "a.zarr", SETTINGS, 1)
    b, _ = scan_cube(tmp_path / "b.zarr", SETTINGS * (1 + 4e-16), 2)
    for file in (b / "zarr.json", b / "m" / "zarr.json"):
        file.write_text(file.read_text().replace('"tolerance"', '"former"'))
    with pytest.raises(StoreMismatch, match="edge of bin 0"):
        ce.merge_cubes([a, b], tmp_path / "ab.zarr")


def test_bins_joined_with_others_are_labelled_at_their_middle_the_rest_keep_their_setting(
    tmp_path: Path,
) -> None:
    a, values = scan_cube(tmp_path / "a.zarr", SETTINGS, 1)
    edges = [-14.5, -0.5, 0.05, 149.95]  # midway between settings, and as far beyond the outer ones
    ce.rebin_cube(a, tmp_path / "c.zarr", edges={"m": edges})
    cube = ce.open_cube(tmp_path / "c.zarr")
    np.testing.assert_allclose(cube["m"], [(-14.5 - 0.5) / 2, 0.0, (0.05 + 149.95) / 2])
    assert cube["m"].values[1] == 0.0
    wanted = [values[:2].mean(), values[2].mean(), values[3:].mean()]
    np.testing.assert_allclose(cube["v_mean"][0], wanted, rtol=1e-14)
    ce.rebin_cube(a, tmp_path / "same.zarr", by={"m": 1})
    assert ce.open_cube(tmp_path / "same.zarr")["m"].values.tolist() == SETTINGS.tolist()
