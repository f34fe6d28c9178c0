from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeengine.cli.stats import ColumnStats, column_stats
from cubeengine.types import Column
from tests.cli.conftest import Call

RUN = "xpptest01_Run0007.h5"


def test_fields_tells_events_time_scan_and_every_field(call: Call, folder: Path) -> None:
    shown = call("fields", RUN)

    assert shown.code == 0
    assert "420" in shown.out
    assert "scan/lxt, 21 settings" in shown.out
    with h5py.File(folder / RUN) as file:
        names = [f"{group}/{leaf}" for group in ("ipm2", "tt", "epix", "lightStatus") for leaf in file[group]]
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line.strip()}
    assert set(names) <= lines.keys()
    assert "12x14" in lines["epix/ROI_0_area"]
    assert "chunks of 100" in lines["epix/ROI_0_area"]


def test_fields_json_holds_the_same(call: Call, folder: Path) -> None:
    facts = json.loads(call("fields", RUN, "--json").out)

    assert facts["n_events"] == 420
    assert facts["scan"] == {"variables": ["scan/lxt"], "n_steps": 21}
    assert facts["counted_steps"] == {"field": "scan/varStep", "n_steps": 21}
    by_name = {field["name"]: field for field in facts["fields"]}
    assert by_name["epix/ROI_0_area"]["shape"] == [12, 14]
    assert "stats" not in by_name["ipm2/sum"]


def test_stats_are_those_of_numpy(call: Call, folder: Path) -> None:
    facts = json.loads(call("fields", RUN, "--stats", "--json").out)

    with h5py.File(folder / RUN) as file:
        values = file["ipm3/sum"][:]
    stats = next(field["stats"] for field in facts["fields"] if field["name"] == "ipm3/sum")
    assert stats["min"] == np.nanmin(values)
    assert stats["median"] == np.nanmedian(values)
    assert stats["max"] == np.nanmax(values)
    assert stats["missing"] == pytest.approx(np.isnan(values).mean(), abs=1e-12)
    shown = call("fields", RUN, "--stats").out
    line = next(line for line in shown.splitlines() if line.startswith(" ipm3/sum"))
    assert f"{np.nanmax(values):.6g}" in line


def test_missing_integers_are_left_out_of_the_stats() -> None:
    column = Column(np.array([0, 5, -99999, 7]), np.array([True, True, False, True]))

    assert column_stats(column) == ColumnStats(min=0, median=5.0, max=7, missing=0.25, zero=0.25)


def test_column_without_values_has_no_range() -> None:
    assert column_stats(Column(np.array([np.nan, np.nan]))) == ColumnStats(None, None, None, 1.0, 0.0)
    assert column_stats(Column(np.array([]))) == ColumnStats(None, None, None, 0.0, 0.0)


def test_markup_in_a_field_name_is_shown_as_it_is(call: Call, folder: Path) -> None:
    with h5py.File(folder / RUN, "r+") as file:
        file["odd/[red]x"] = np.zeros(420)

    assert "odd/[red]x" in call("fields", RUN).out


def test_field_that_cannot_be_read_does_not_hide_the_others(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cubeengine.errors import SourceFormatError
    from cubeengine.sources.smalldata import SmallDataSource

    read = SmallDataSource.read

    def reading(self: SmallDataSource, name: str, *args: object) -> Column:
        if name == "ipm3/sum":
            raise SourceFormatError("ipm3/sum: chunk 2 is damaged")
        return read(self, name, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(SmallDataSource, "read", reading)
    outcome = call("fields", RUN, "--stats")

    assert outcome.code == 3
    assert outcome.err == "error: ipm3/sum: chunk 2 is damaged\n"
    assert "ipm2/sum" in outcome.out
