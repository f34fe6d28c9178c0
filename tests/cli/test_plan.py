from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import SPEC, Call


def test_plan_explains_itself(call: Call, folder: Path) -> None:
    shown = call("plan", "delay.yaml")

    assert shown.code == 0
    for part in ("lightStatus/xray == 1", "bins: 21", "because", "projected", "roi"):
        assert part in shown.out


def test_plan_reads_no_frames_and_writes_nothing(call: Call, folder: Path) -> None:
    before = sorted(folder.iterdir())
    call("plan", "delay.yaml")

    assert sorted(folder.iterdir()) == before


def test_json_adds_up_to_the_events_of_the_run(call: Call, folder: Path) -> None:
    facts = json.loads(call("plan", "delay.yaml", "--json").out)

    assert facts["events"]["run"] == 420
    assert {name: sum(fates.values()) for name, fates in facts["fates"].items()} == {"on": 420, "off": 420}
    assert {signal["name"] for signal in facts["signals"]} >= {"roi", "ipm2__sum", "delay"}


def test_sample_is_marked(call: Call, folder: Path) -> None:
    facts = json.loads(call("plan", "delay.yaml", "--events", 100, "--every", 2, "--json").out)

    assert facts["events"]["considered"] == 50
    assert "first 100" in facts["events"]["sample"]


def test_plan_that_does_not_fit_ends_with_four(call: Call, folder: Path) -> None:
    outcome = call("plan", "delay.yaml", "--memory", "1 MB")

    assert outcome.code == 4
    assert "needs" in outcome.err


def test_set_changes_the_spec(call: Call, folder: Path) -> None:
    options = ("--set", "axes.0.centers.step=1", "--set", "cubes=[on]", "--json")
    facts = json.loads(call("plan", "delay.yaml", *options).out)

    assert len(facts["axes"][0]["edges"]) == 12
    assert list(facts["fates"]) == ["on"]


def test_run_number_that_changes_nothing_is_an_error(call: Call, folder: Path) -> None:
    (folder / "fixed.yaml").write_text(SPEC.replace("Run{run:04d}", "Run0007"))

    outcome = call("plan", "fixed.yaml", "-r", 8)

    assert outcome.code == 2
    assert "run 8 changes nothing" in outcome.err
    assert call("plan", "fixed.yaml", "-e", "xppother").code == 2
    assert call("plan", "fixed.yaml", "-r", 7, "-e", "xpptest01").code == 0


def test_run_number_fills_the_template(call: Call, folder: Path) -> None:
    (folder / "xpptest01_Run0007.h5").rename(folder / "xpptest01_Run0031.h5")

    assert call("plan", "delay.yaml", "-r", 31).code == 0
    outcome = call("plan", "delay.yaml")
    assert outcome.code == 3
    assert "xpptest01_Run0007.h5" in outcome.err


def test_spec_in_another_folder_finds_its_run_beside_it(call: Call, folder: Path) -> None:
    below = folder / "below"
    below.mkdir()
    (folder / "delay.yaml").rename(below / "delay.yaml")
    (folder / "xpptest01_Run0007.h5").rename(below / "xpptest01_Run0007.h5")

    assert call("plan", "below/delay.yaml").code == 0


def test_spec_without_a_file_looks_under_the_data_root(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SPEC.replace("  smalldata: xpptest01_Run{run:04d}.h5\n", "")
    (folder / "rooted.yaml").write_text(text)
    home = folder / "root" / "xpp" / "xpptest01" / "hdf5" / "smalldata"
    home.mkdir(parents=True)
    (folder / "xpptest01_Run0007.h5").rename(home / "xpptest01_Run0007.h5")

    assert "set SIT_PSDM_DATA" in call("plan", "rooted.yaml").err
    monkeypatch.setenv("SIT_PSDM_DATA", str(folder / "root"))
    assert call("plan", "rooted.yaml").code == 0


def test_spec_that_names_no_run_says_how_to(call: Call, folder: Path) -> None:
    start, _, rest = SPEC.partition("run:\n")
    (folder / "none.yaml").write_text(start + rest[rest.index("units:") :])

    outcome = call("plan", "none.yaml")
    assert outcome.code == 2
    assert "-e EXPERIMENT -r RUN" in outcome.err
