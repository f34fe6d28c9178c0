from __future__ import annotations

from pathlib import Path

import pytest

import cubeengine as ce
from tests.cli.conftest import Call


@pytest.fixture
def cube(call: Call, folder: Path) -> Path:
    assert call("run", "delay.yaml", "-o", "cube.zarr").code == 0
    return folder / "cube.zarr"


def test_show_tells_axes_selections_and_fates(call: Call, cube: Path) -> None:
    shown = call("show", cube)

    assert shown.code == 0
    for part in ("delay", "on", "off", "roi", "epix/ROI_0_area", "420"):
        assert part in shown.out


@pytest.mark.parametrize("name", ["plot.png", "plot.PDF", "plot.svg"])
def test_show_saves_a_picture(call: Call, cube: Path, name: str) -> None:
    outcome = call("show", cube, "--plot", name, "--signal", "ipm2/sum")

    assert outcome.code == 0
    assert (cube.parent / name).stat().st_size > 1000


@pytest.mark.parametrize("name", ["plot.png", "plot.pdf", "plot.svg"])
def test_picture_of_ours_is_replaced_and_any_other_stays(call: Call, cube: Path, name: str) -> None:
    theirs = cube.parent / f"theirs-{name}"
    theirs.write_bytes(b"a picture of somebody else")

    assert f"wrote {name}" in call("show", cube, "--plot", name).out
    assert f"replaced {name}" in call("show", cube, "--plot", name).out
    refused = call("show", cube, "--plot", theirs)

    assert refused.code == 2
    assert "already exists, and cubeengine did not make it" in refused.err
    assert theirs.read_bytes() == b"a picture of somebody else"


def test_picture_of_a_ratio_and_difference(call: Call, cube: Path) -> None:
    options = ("--signal", "roi", "--over", "ipm2/sum", "--difference", "on,off")

    drawn = call("show", cube, "--plot", "ratio.png", *options)
    assert (drawn.code, drawn.out.splitlines()[0]) == (0, "wrote ratio.png")
    assert "ratio of the sums in the cube: roi has 168 elements" in " ".join(drawn.out.split())


def test_signal_without_plot_is_an_error(call: Call, cube: Path) -> None:
    assert call("show", cube, "--signal", "roi").code == 2


def test_unknown_signal_is_answered_with_the_nearest(call: Call, cube: Path) -> None:
    outcome = call("show", cube, "--plot", "a.png", "--signal", "ipm2__summ")

    assert outcome.code == 2
    assert "ipm2__sum" in outcome.err


def test_unknown_kind_of_picture_is_an_error(call: Call, cube: Path) -> None:
    outcome = call("show", cube, "--plot", "a.xyz")

    assert outcome.code == 2
    assert ".png" in outcome.err
    assert not (cube.parent / "a.xyz").exists()


def test_what_is_no_cube_is_refused(call: Call, folder: Path) -> None:
    assert call("show", folder).code == 2
    assert call("show", "nowhere.zarr").code == 2


@pytest.mark.parametrize("name", ["ipm2__sum_mean", "n_events", "delay"])
def test_a_damaged_chunk_is_named_and_ends_with_three(call: Call, cube: Path, name: str) -> None:
    chunk = next((cube / name).glob("c*"))
    chunk.write_bytes(chunk.read_bytes()[:-8])

    draw = ["show", cube, "--plot", "sum.png", "--signal", "ipm2/sum"]
    rebin = ["rebin", cube, "--by", "delay=3", "-o", "coarse.zarr"]
    for command in (draw, ["report", cube, "page.html"], rebin):
        outcome = call(*command)
        assert outcome.code == 3, outcome.err
        assert f"cube.zarr/{name}/{chunk.name}: this chunk of the cube is damaged" in outcome.err
    assert not Path("coarse.zarr").exists()


def test_a_cube_in_netcdf_is_told_from_a_run(call: Call, cube: Path) -> None:
    ce.open_cube(cube).to_netcdf("c.nc")
    shown = call("show", "c.nc")
    assert (shown.code, "is a cube in NetCDF: open it with  xarray.open_dataset('c.nc')" in shown.err) == (
        2,
        True,
    )
    with pytest.raises(ce.StoreMismatch, match="is a cube in NetCDF"):
        ce.open_cube("c.nc")
    assert "cubeengine fields" in call("show", "xpptest01_Run0007.h5").err
