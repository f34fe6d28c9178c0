from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine.store.read import cube_facts, open_cube
from tests.cli.conftest import SPEC, Call
from tests.quick import first_quick

PICK = SPEC.replace("cube: delay", "cube: best") + "pick: {field: ipm2/sum, which: largest, events: 2}\n"
STORE = "xpptest01_r0007_best.zarr"


@pytest.fixture
def picking(folder: Path) -> Path:
    (folder / "pick.yaml").write_text(PICK)
    return folder


def test_pick_writes_a_store_under_its_default_name(call: Call, picking: Path) -> None:
    outcome = call("pick", "pick.yaml")

    assert outcome.code == 0
    assert f"wrote {STORE} in " in outcome.out
    assert "events in 42 bins: 2 events per bin: largest in ipm2/sum" in outcome.out
    assert outcome.err.splitlines()[-1].startswith("100 %")
    with xr.open_zarr(STORE) as picked:
        assert picked["roi"].dims == ("selection", "delay", "pick", "roi_dim0", "roi_dim1")
        assert int(picked["n_picked"].sum()) > 0
    assert sorted(p.name for p in picking.iterdir()) == sorted(
        ["delay.yaml", "pick.yaml", STORE, "xpptest01_Run0007.h5"]
    )


def test_settings_and_output_as_of_run(call: Call, picking: Path) -> None:
    settings = ("--set", "pick.which={percentile: 50}", "--set", "pick.events=1", "--every", "2")
    outcome = call("pick", "pick.yaml", "-o", "out.zarr", *settings, "-r", "7")

    assert outcome.code == 0
    picked = open_cube("out.zarr")
    assert cube_facts(picked)["pick"]["which"] == {"percentile": 50}
    assert picked.attrs["partial_run"] == "every 2nd event"
    events = picked["event"].values
    assert (events[events >= 0] % 2 == 0).all()
    assert call("pick", "pick.yaml", "-o", "out.zarr").code == 2
    assert call("pick", "pick.yaml", "-o", "out.zarr", "--overwrite").code == 0


def test_plan_tells_what_will_be_read(call: Call, picking: Path) -> None:
    text = call("plan", "pick.yaml").out
    facts = json.loads(call("plan", "pick.yaml", "--json").out)

    assert "picked: 2 events per bin: largest in ipm2/sum" in text
    assert "roi" in text
    assert np.sum(facts["n_picked"]) <= 84
    assert facts["memory"]["projected"] > 0
    assert not (picking / STORE).exists()


def test_run_is_told_to_pick_and_pick_to_run(call: Call, picking: Path) -> None:
    run, pick = call("run", "pick.yaml"), call("pick", "delay.yaml")

    assert (run.code, pick.code) == (2, 2)
    line = PICK.splitlines().index("pick: {field: ipm2/sum, which: largest, events: 2}") + 1
    assert f"pick.yaml:{line}:" in run.err
    assert "cubeengine pick SPEC" in run.err
    assert "needs 'pick'" in pick.err
    assert "cubeengine run" in pick.err


def test_check_tells_every_problem_with_its_line(call: Call, picking: Path) -> None:
    assert "no errors" in call("check", "pick.yaml").out
    wrong = PICK.replace("which: largest", "wich: largest").replace("name: roi", "nam: roi")
    (picking / "wrong.yaml").write_text(wrong.replace("ipm2/sum, min", "ipm2/summ, min"))

    outcome = call("check", "wrong.yaml")
    assert outcome.code == 2
    assert "unknown key 'wich'; nearest: 'which'" in outcome.err
    assert "unknown key 'nam'; nearest: 'name'" in outcome.err
    assert "'ipm2/summ' is not in" in outcome.err
    assert "3 errors" in outcome.err


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ("{field: ipm2/summ, which: largest}", "'ipm2/summ' is not in"),
        ("{field: epix/ROI_0_area, which: largest}", "needs one number"),
        ("{field: ipm2/sum, which: larges}", "nearest: 'largest'"),
        ("{field: ipm2/sum, which: percentile}", "needs a number: {percentile: 50}"),
        ("{field: ipm2/sum, which: {percentile: 101}}", "less than or equal to 100"),
        ("{field: ipm2/sum, which: {nearest: 1, random: 2}}", "exactly one of nearest, percentile, random"),
        ("{field: ipm2/sum, which: {neares: 1}}", "unknown key 'neares'; nearest: 'nearest'"),
        ("{field: scan/lxt, which: {nearest: 1 mm}}", "mm"),
        ("{which: largest}", "needs 'field'"),
        ("{field: ipm2/sum}", "needs 'which'"),
        ("{field: ipm2/sum, which: largest, events: 0}", "greater than or equal to 1"),
        ("largest", "must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_pick_is_told_with_its_line(
    call: Call, picking: Path, pick: str, message: str
) -> None:
    text = PICK[: PICK.index("pick: {")]
    (picking / "wrong.yaml").write_text(f"{text}pick: {pick}\n")

    for command in ("check", "pick"):
        outcome = call(command, "wrong.yaml")
        assert outcome.code == 2
        assert message in outcome.err
    checked = call("check", "wrong.yaml").err
    assert f"wrong.yaml:{len(text.splitlines()) + 1}:" in checked
    assert "1 error\n" in checked


@pytest.mark.parametrize("signal", first_quick(["roi", "ipm2__sum_value", "ipm2/sum", "delay"]))
def test_show_tells_what_it_is_and_draws_it(call: Call, picking: Path, signal: str) -> None:
    assert call("pick", "pick.yaml", "-o", "p.zarr").code == 0
    shown, drawn = call("show", "p.zarr"), call("show", "p.zarr", "--plot", "p.png", "--signal", signal)

    assert (shown.code, drawn.code, drawn.out) == (0, 0, "wrote p.png\n")
    assert shown.out.startswith("picked events 'best' of xpptest01 run 7")
    assert "picked: 2 events per bin: largest in ipm2/sum" in shown.out
    assert (picking / "p.png").stat().st_size > 1000


def test_what_is_for_cubes_alone_is_refused(call: Call, picking: Path) -> None:
    assert call("pick", "pick.yaml", "-o", "p.zarr").code == 0
    for arguments in (
        ("merge", "p.zarr", "p.zarr", "-o", "m.zarr"),
        ("rebin", "p.zarr", "-o", "m.zarr", "--drop", "delay"),
        ("report", "p.zarr", "m.html"),
        ("show", "p.zarr", "--plot", "p.png", "--over", "roi"),
    ):
        outcome = call(*arguments)
        assert outcome.code == 2
        assert "picked events" in outcome.err
    assert call("show", "p.zarr", "--plot", "p.png", "--signal", "roj").code == 2
