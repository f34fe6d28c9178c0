from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.store.read import cube_facts
from tests.cli.conftest import Call


def two_axes(step: float, edges: str) -> str:
    delay = f"{{field: delay, edges: {{start: -2, stop: 8, step: {step}}}, unit: ps}}"
    return f"axes=[{delay}, {{field: ipm2/sum, edges: [{edges}]}}]"


@pytest.fixture
def cube(call: Call, folder: Path) -> str:
    assert call("run", "delay.yaml", "--set", two_axes(0.5, "0.3, 0.8, 1.3, 2.0"), "-o", "map.zarr").code == 0
    return "map.zarr"


@pytest.fixture
def line(call: Call, folder: Path) -> str:
    assert call("run", "delay.yaml", "-o", "line.zarr").code == 0
    return "line.zarr"


def test_coarse_cube_is_that_of_the_coarse_spec(call: Call, cube: str) -> None:
    assert call("run", "delay.yaml", "--set", two_axes(2, "0.3, 1.3"), "-o", "wanted.zarr").code == 0
    outcome = call("rebin", cube, "-o", "c.zarr", "--by", "delay=4", "--edges", "ipm2__sum=0.3,1.3")

    assert outcome.code == 0, outcome.err
    found, wanted = ce.open_cube("c.zarr"), ce.open_cube("wanted.zarr")
    assert list(found.variables) == list(wanted.variables)
    # The last bin of the wanted cube holds its upper edge; no event lies there.
    for name in wanted.variables:
        if name != "selection":
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-12, err_msg=str(name))
            assert found[name].attrs == wanted[name].attrs
    assert cube_facts(found)["fates"] == cube_facts(wanted)["fates"]


def test_only_axis_needs_no_name(call: Call, line: str) -> None:
    assert call("rebin", line, "-o", "a.zarr", "--by", "3").code == 0
    assert call("rebin", line, "-o", "b.zarr", "--axis", "delay", "--edges", "-2.25,-0.25,8.25").code == 0

    assert ce.open_cube("a.zarr").sizes["delay"] == 7
    assert ce.open_cube("b.zarr")["delay_bnds"].values.tolist() == [[-2.25, -0.25], [-0.25, 8.25]]


def test_axis_may_be_named_as_its_field(call: Call, cube: str) -> None:
    assert call("rebin", cube, "-o", "one.zarr", "--drop", "ipm2/sum", "--by", "delay=2").code == 0
    assert call("rebin", cube, "-o", "two.zarr", "--edges", "ipm2/sum=0.3,1.3").code == 0
    assert call("rebin", cube, "-o", "three.zarr", "--axis", "ipm2/sum", "--by", "3").code == 0
    outcome = call("rebin", cube, "-o", "four.zarr", "--drop", "ipm2/sum", "--by", "ipm2__sum=3")

    events = ce.open_cube(cube)["n_events"]
    assert ce.open_cube("one.zarr")["n_events"].dims == ("selection", "delay")
    assert ce.open_cube("one.zarr")["n_events"].sum() == events.sum()
    assert ce.open_cube("two.zarr")["n_events"].sum() == events[:, :, :2].sum()
    assert ce.open_cube("three.zarr").sizes["ipm2__sum"] == 1
    assert outcome.code == 2
    assert "'ipm2__sum': is given twice" in outcome.err


def test_axes_are_dropped(call: Call, cube: str) -> None:
    assert call("rebin", cube, "-o", "one.zarr", "--drop", "delay", "--drop", "ipm2__sum").code == 0
    shown = call("show", "one.zarr")

    assert shown.code == 0, shown.err
    assert "none: one bin" in shown.out
    total = ce.open_cube(cube)["n_events"].sum(["delay", "ipm2__sum"])
    np.testing.assert_array_equal(ce.open_cube("one.zarr")["n_events"], total)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "2"], "for which axis? Write --by AXIS=2; axes: delay, ipm2__sum"),
        (["--by", "delay=3"], "20 bins cannot be joined in groups of 3; possible: 2, 4, 5, 10, 20"),
        (["--by", "delay=x"], "--by 'x'"),
        (["--by", "delay=2,4"], "must be one number"),
        (["--edges", "delay=-2,0.1"], "0.1 is not an edge of the cube"),
        (["--by", "delay=2", "--by", "delay=4"], "'delay' is given twice"),
        (["--drop", "dely"], "nearest: 'delay'"),
        ([], "give what to join"),
    ],
)
def test_what_is_not_possible_is_told(call: Call, cube: str, options: list[str], message: str) -> None:
    outcome = call("rebin", cube, "-o", "c.zarr", *options)

    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("c.zarr").exists()
