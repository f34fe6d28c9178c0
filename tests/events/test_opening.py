"""Opening smallData, raw data, and both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cubeengine.errors import FieldNotFound, SourceFormatError, SpecError
from cubeengine.events.locate import DATA_ROOT
from cubeengine.events.opening import open_run
from cubeengine.types import RunId

pytestmark = pytest.mark.realdata


@pytest.fixture
def raw(shared_data: Path) -> Path:
    return shared_data / "xtc2"


@pytest.fixture
def small(shared_data: Path) -> Path:
    return shared_data / "smalldata_lcls2" / "serial_21.h5"


def test_raw_data_alone(raw: Path) -> None:
    run = open_run(raw / "x21")
    assert (run.run_id, run.n_events, run.join) == (RunId("xpptut15", 14), 240, None)
    files = sorted((raw / "x21").glob("*.xtc2"))
    assert open_run(files).n_events == 240
    assert "epx/raw/img" in open_run(files[1])


def test_raw_data_beside_smalldata(raw: Path, small: Path) -> None:
    run = open_run(small, xtc=raw / "x21")
    assert run.join is not None
    assert run.join.facts == {"matched": 240, "only_smalldata": 0, "only_raw": 0}
    truth = np.sort(np.load(raw / "x21" / "truth.npy"), order="ts")
    np.testing.assert_array_equal(run["fim/raw/pulse"].read().values, truth["pulse"])
    np.testing.assert_array_equal(run["fim/pulse"].read().values, truth["pulse"])
    with pytest.raises(
        FieldNotFound, match=f"cubeengine fields {small.resolve()} --xtc {(raw / 'x21').resolve()}$"
    ):
        run["zzz"]


def test_a_directory_and_a_data_root_with_both(
    tmp_path: Path, raw: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "xpp" / "xpptut15"
    home.mkdir(parents=True)
    (home / "xtc").symlink_to(raw / "x21")
    (home / "xpptut15_Run0014.h5").symlink_to(small)
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    for run in (open_run(home), open_run("xpptut15:14"), open_run("xpptut15", 14)):
        assert run.join is not None
        assert run.run_id == RunId("xpptut15", 14)


def test_one_run_of_a_directory_of_several(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "xppx20415" / "xtc"
    (home / "smalldata").mkdir(parents=True)
    for path in [*(raw / "delayscan").rglob("*.xtc2"), *(raw / "x21").rglob("*.xtc2")]:
        folder = home / "smalldata" if path.parent.name == "smalldata" else home
        (folder / path.name).symlink_to(path)
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    assert open_run("xppx20415:57").n_events == 600
    with pytest.raises(SourceFormatError, match="xpptut15"):
        open_run(home)


def test_a_run_number_that_the_raw_data_deny_is_refused(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xpptut15").mkdir()
    (tmp_path / "xpptut15" / "xtc").symlink_to(raw / "intg_det")
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    with pytest.raises(SpecError, match="run 14 was requested, but the raw data are of run xpptut15:1"):
        open_run("xpptut15:14")


def test_what_does_not_go_together_is_refused(raw: Path, small: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"no event of .*serial_21.h5 .*240 events, 2021-09-09"):
        open_run(small, xtc=raw / "delayscan")
    with pytest.raises(SpecError, match="is already raw data"):
        open_run(raw / "x21", xtc=raw / "x21")
    with pytest.raises(SourceFormatError, match="not raw data"):
        open_run(small, xtc=small)
    with pytest.raises(SourceFormatError, match="No such file"):
        open_run(small, xtc=raw / "none")


def test_raw_fields_are_lazy_and_know_what_is_missing(raw: Path) -> None:
    run = open_run(raw / "delayscan")
    frames = run["jungfrau/raw/raw"].dask()
    assert frames.sizes == {"event": 600, "jungfrau__raw__raw_dim0": 1,
                            "jungfrau__raw__raw_dim1": 64, "jungfrau__raw__raw_dim2": 96}  # fmt: skip
    valid = frames.valid.values
    assert np.flatnonzero(~valid).tolist() == [123, 124, 200, 377, 411]
    column = run.column("jungfrau/raw/raw")
    assert column.damaged is not None
    assert np.flatnonzero(column.damaged).tolist() == [200, 411]
