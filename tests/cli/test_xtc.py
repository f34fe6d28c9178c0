"""The commands on raw data, alone and beside smallData."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cubeengine.events.locate import DATA_ROOT
from cubeengine.store.read import cube_facts, open_cube

from .conftest import Call

pytestmark = pytest.mark.realdata


@pytest.fixture
def raw(shared_data: Path) -> Path:
    return shared_data / "xtc2"


@pytest.fixture
def small(shared_data: Path) -> Path:
    return shared_data / "smalldata_lcls2" / "serial_21.h5"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_ROOT, raising=False)


def test_fields_of_raw_data_show_shape_type_origin_and_scan(call: Call, raw: Path) -> None:
    outcome = call("fields", raw / "delayscan")
    assert outcome.code == 0
    lines = {line.split()[0]: line.split() for line in outcome.out.splitlines() if line}
    assert lines["run"][1] == "xppx20415:57"
    assert lines["events"][1] == "600"
    assert lines["scan"][1:4] == ["scan/lxt_delay_ps,", "12", "settings"]
    assert lines["jungfrau/raw/raw"][1:4] == ["1x64x96", "uint16", "event"]
    assert lines["jungfrau/raw/raw"][-1] == "xppx20415-r0057-s001-c000.xtc2"
    assert lines["epixs/raw/array"][1] == "2x32x48"
    assert "epics/XPP:LAS:TEMP" in lines


def test_fields_of_a_file_with_many_settings_are_those_per_event(call: Call, raw: Path) -> None:
    short = call("fields", raw / "single" / "test_hsd.xtc2")
    whole = call("fields", raw / "single" / "test_hsd.xtc2", "--all")
    assert "fields with one value per run, mostly settings; --all lists them" in short.out
    assert len(short.out) < len(whole.out) / 10
    assert "xppts/tsConfig/group0.delay" in whole.out


def test_fields_with_statistics_and_of_both(call: Call, raw: Path, small: Path) -> None:
    outcome = call("fields", small, "--xtc", raw / "x21", "--stats")
    assert outcome.code == 0
    assert "joined  240 events in smallData and raw data" in outcome.out
    assert "fim/raw/pulse" in outcome.out
    facts = json.loads(call("fields", small, "--xtc", raw / "x21", "--json").out)
    assert facts["join"] == {"matched": 240, "only_smalldata": 0, "only_raw": 0}
    assert {"epx/raw/img", "fim/pulse"} <= {field["name"] for field in facts["fields"]}


def test_new_check_plan_run_and_show_of_raw_data(call: Call, raw: Path, tmp_path: Path) -> None:
    made = call("new", raw / "delayscan")
    assert made.code == 0
    (tmp_path / "cube.yaml").write_text(made.out)
    assert f'xtc: "{raw}/delayscan"' in made.out
    assert 'laser: "eventcode(`timing/raw/sequenceValues`, 90)"' in made.out
    assert "tmott/ttfex/fltpos is in pixels" in made.out
    assert call("check", "cube.yaml").err == ""
    plan = json.loads(call("plan", "cube.yaml", "--json").out)
    assert plan
    outcome = call("run", "cube.yaml", "--workers", 2)
    assert outcome.code == 0
    cube = open_cube(tmp_path / "xppx20415_r0057_delay.zarr")
    assert int(cube.n_events.sum()) > 500
    # Of the selected events some have no whole frame: told at once, and by `show`.
    assert "left out of jungfrau__raw__raw: on 3 missing, 1 damaged; off 1 damaged" in outcome.out
    shown = call("show", "xppx20415_r0057_delay.zarr")
    assert shown.code == 0
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["jungfrau__raw__raw", "on", "3", "1", "0"] in lines
    assert ["jungfrau__raw__raw", "off", "0", "1", "0"] in lines


@pytest.mark.slow
def test_new_and_run_of_smalldata_and_raw_data(call: Call, raw: Path, small: Path, tmp_path: Path) -> None:
    made = call("new", small, "--xtc", raw / "x21")
    (tmp_path / "cube.yaml").write_text(made.out)
    assert f'smalldata: "{small}"' in made.out
    assert f'xtc: "{raw}/x21"' in made.out
    assert call("run", "cube.yaml", "-o", "cube.zarr", "--workers", 2).code == 0
    assert cube_facts(open_cube(tmp_path / "cube.zarr"))["join"]["matched"] == 240


def write(text: str) -> str:
    Path("cube.yaml").write_text(f"cube: x\n{text}\n")
    return "cube.yaml"


def test_a_run_that_the_raw_data_are_not_of_is_refused(call: Call, raw: Path) -> None:
    path = write(f"run: {{xtc: '{raw}/delayscan'}}\nsignals: [jungfrau/raw/raw]")
    outcome = call("plan", path, "-r", 58)
    assert (outcome.code, outcome.out) == (2, "")
    assert "run 58 was requested, but the raw data are of run xppx20415:57" in outcome.err
    assert call("plan", path, "-r", 57).code == 0
    assert "changes nothing, because run.xtc is always" in call("plan", path, "-e", "mfx1").err
    path = write(f"run: {{experiment: mfx1, run: 57, xtc: '{raw}/delayscan'}}\nsignals: [jungfrau/raw/raw]")
    assert "experiment mfx1 was requested, but the raw data are of run xppx20415:57" in call("plan", path).err


def test_raw_data_under_smalldata_is_told_where_it_belongs(call: Call, raw: Path) -> None:
    outcome = call("check", write(f"run: {{smalldata: '{raw}/delayscan'}}"))
    assert (outcome.code, "is raw data; give it under run.xtc" in outcome.err) == (2, True)


@pytest.mark.parametrize("text", ["run: {xtc: none}", "run: {xtc: [cube.yaml]}", "run: {xtc: .}"])
def test_raw_data_that_are_not_there_end_with_three(call: Call, text: str) -> None:
    assert call("plan", write(text)).code == 3


def test_names_of_raw_fields_are_checked(call: Call, raw: Path) -> None:
    path = write(f"run: {{xtc: '{raw}/delayscan'}}\nsignals: [jungfrau/raw, epixs/raw/arry]")
    outcome = call("check", path)
    assert outcome.code == 2
    assert "field 'jungfrau/raw' is not in run xppx20415:57" in outcome.err
    assert "fields below it: 'jungfrau/raw/raw', 'jungfrau/raw/frame_cnt'" in outcome.err
    assert "nearest: 'epixs/raw/array'" in outcome.err


def test_broken_raw_data_end_with_three(call: Call, tmp_path: Path) -> None:
    (tmp_path / "x-r0001-s000-c000.xtc2").write_bytes(b"\xff" * 4096)
    outcome = call("fields", tmp_path / "x-r0001-s000-c000.xtc2")
    assert outcome.code == 3
    assert "x-r0001-s000-c000.xtc2" in outcome.err
