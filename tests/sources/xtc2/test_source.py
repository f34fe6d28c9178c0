"""The source suite over made runs of raw files, and what only raw files have."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.shared import in_files
from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from cubeengine.types import FieldKind, RunId
from tests.makers.xtc2 import SmallRun, write_frame_run, write_scalar_run, write_small_run
from tests.suites.sources import SourceCase, SourceSuite, read_blocks


def _case(run: SmallRun) -> SourceCase:
    missing = {name: ~valid for name, valid in run.valid.items()}
    columns = {**run.columns, "epics/wave.x": run.columns["epics/wave.x"].astype(np.float32)}
    return SourceCase(open_xtc2(run.folder), run.timestamps, columns, missing)


def _frames(folder: Path) -> SourceCase:
    """Datagrams so large that they are read in pieces, not whole."""
    run = write_frame_run(folder, n_events=40, shape=(90, 101), n_segments=5, n_streams=2)
    columns = {"camera/raw/raw": run.frames(), "beam/raw/x": run.x, "beam/raw/codes": run.codes}
    columns |= {f"camera/{i}/raw/raw": run.frames()[:, i] for i in range(5)}
    return SourceCase(open_xtc2(folder), run.timestamps, columns)


def _rates(folder: Path) -> SourceCase:
    """Streams that miss most events, each others."""
    run = write_scalar_run(folder, n_events=6_000, n_streams=3, presence=0.4)
    some = run.present.any(axis=0)
    columns = {f"scalar{i}/raw/value": run.values[i, some] for i in range(3)}
    missing = {f"scalar{i}/raw/value": ~run.present[i, some] for i in range(3)}
    return SourceCase(open_xtc2(folder), run.timestamps[some], columns, missing)


CASES: dict[str, Callable[[Path], SourceCase]] = {
    "small data, chunks": lambda folder: _case(write_small_run(folder)),
    "big files alone, not ended": lambda folder: _case(
        write_small_run(folder, small_data=False, reconfigure=True, ends=False)
    ),
    "configured twice": lambda folder: _case(write_small_run(folder, reconfigure=True, seed=5)),
    "large frames": _frames,
    "streams of other rates": _rates,
}


class TestRawRun(SourceSuite):
    @pytest.fixture(scope="class", params=CASES.values(), ids=CASES.keys())
    @classmethod
    def case(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceCase:
        made: SourceCase = request.param(tmp_path_factory.mktemp("raw"))
        return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return write_small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def source(run: SmallRun) -> Xtc2Source:
    return open_xtc2(run.folder)


def test_damaged_values_are_missing_and_marked(run: SmallRun, source: Xtc2Source) -> None:
    for name, damaged in run.damaged.items():
        found = source.read(name).damaged
        np.testing.assert_array_equal(np.zeros_like(damaged) if found is None else found, damaged, name)


def test_every_tile_of_a_frame_has_the_same_events(run: SmallRun, source: Xtc2Source) -> None:
    reader = source.reader("jungfrau/raw/raw")
    n = np.prod(reader.shape)
    for low in range(0, n, 50):
        tile = slice(low, min(low + 50, n))
        _, valid = read_blocks(reader, np.arange(source.n_events), tile, 3_000)
        np.testing.assert_array_equal(valid, run.valid["jungfrau/raw/raw"])


def test_missing_rows_are_not_read(run: SmallRun, source: Xtc2Source) -> None:
    lacking = np.flatnonzero(np.arange(source.n_events) % 7 == 6)
    reader = source.reader("epix/raw/raw")
    (block,) = reader.blocks(np.repeat(lacking, 50), elements=slice(None), block_nbytes=1)
    assert len(block.data) == 1
    assert block.valid is not None
    assert not block.valid.any()


def test_rows_that_repeat_are_read_once(source: Xtc2Source) -> None:
    rows = np.repeat([3, 3, 8], 100)
    (block,) = source.reader("epix/raw/raw").blocks(rows, elements=slice(None), block_nbytes=1000)
    assert len(block.data) == 2
    np.testing.assert_array_equal(
        block.data[block.take], source.read("epix/raw/raw", rows).data.reshape(300, -1)
    )


def test_tables_can_go_into_files(source: Xtc2Source, run: SmallRun, tmp_path: Path) -> None:
    def save(name: str, array: np.ndarray) -> Path:
        path = tmp_path / f"{name}.npy"
        np.save(path, array)
        return path

    for name in ("jungfrau/raw/raw", "scan/lxt_ps", "epics/XPP:COUNT"):
        moved = in_files(source.reader(name), save, name.replace("/", "_"))
        found, valid = read_blocks(pickle.loads(pickle.dumps(moved)), np.arange(60), slice(None), 5_000)
        np.testing.assert_array_equal(valid, run.valid.get(name, np.ones(60, bool)))
        np.testing.assert_array_equal(found[valid], run.columns[name].reshape(60, -1)[valid])


@pytest.mark.parametrize("name", ["jungfrau/raw/raw", "epix/raw/raw", "scan/lxt_ps", "epics/XPP:TEMP"])
def test_matched_rows_are_those_of_the_events(source: Xtc2Source, name: str) -> None:
    match = np.array([5, -1, 0, 59, 7, 7, -1, 13])
    reader = source.matched_reader(name, match)
    found, valid = read_blocks(reader, np.arange(8), slice(None), 10_000)
    column = source.read(name)
    there = (match >= 0) & (True if column.valid is None else column.valid[match])
    values = column.data.reshape(60, -1)
    np.testing.assert_array_equal(found[there], values[match[there]])
    if reader.dtype.kind == "f":
        assert np.isnan(found[match < 0]).all()
    else:
        np.testing.assert_array_equal(valid, there)


def test_run_and_files_are_known(run: SmallRun, source: Xtc2Source) -> None:
    assert source.run_id == RunId("xpptest24", 31)
    paths = {file.path for file in source.files}
    assert {path.resolve() for chunks in run.files.values() for path in chunks} < paths
    assert sum("smd" in path.name for path in paths) == 3


def test_time_counts_from_1990(source: Xtc2Source) -> None:
    assert str(source.time[0]).startswith("2024-03-05")


def test_detector_is_described(source: Xtc2Source) -> None:
    info = source.detector("jungfrau/raw/raw")
    assert info is not None
    assert (info.name, info.kind, info.segments) == ("jungfrau", "jungfrau", (0, 1))
    assert info.unique_id == "jungfrau_jf_0-serial_jf_1"
    only = source.detector("jungfrau/0/raw/raw")
    assert only is not None
    np.testing.assert_array_equal(only.settings["config/trbit"][0], np.arange(4))
    assert source.detector("scan/lxt_ps") is None


def test_configuration_is_once_per_run(source: Xtc2Source) -> None:
    info = source.fields["jungfrau/config/trbit"]
    assert (info.kind, info.shape) == (FieldKind.RUN, (4,))
    assert source.read("jungfrau/config/mode").data == 4
    assert source.read("runinfo/runinfo/expt").data == "xpptest24"


def test_labels_of_an_enumeration_are_in_the_note(source: Xtc2Source) -> None:
    assert source.fields["jungfrau/config/mode"].note == "4 = fixed"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hsd/raw/waveform", "shape varies"),
        ("ipm2/raw/note", "text"),
        ("epics/XPP:STATE", "once per run"),
        ("jungfrau/config/trbit", "once per run"),
    ],
)
def test_what_is_not_one_array_per_event_is_listed_but_not_read(
    source: Xtc2Source, name: str, reason: str
) -> None:
    assert name in source.fields
    with pytest.raises(SpecError, match=reason):
        source.reader(name)


def test_raw_files_have_no_align_groups(source: Xtc2Source) -> None:
    with pytest.raises(SpecError, match="align group"):
        source.aligned("intg")


def test_leading_zeros_can_count_as_missing(source: Xtc2Source) -> None:
    name = "jungfrau/0/raw/frame_cnt"
    assert source.leading_zero_rows(name) == 0
    assert source.leading_zero_rows("scan/step_value") == 10
    marked = source.with_missing({"scan/step_value": "leading_zeros"})
    assert np.isnan(marked.read("scan/step_value").data[:10]).all()
    reader = marked.matched_reader("scan/step_value", np.array([12, 3]))
    found, _ = read_blocks(reader, np.arange(2), slice(None), 1000)
    np.testing.assert_array_equal(found.ravel(), [1, np.nan])
    with pytest.raises(SpecError, match="not a mark"):
        source.with_missing({"scan/step_value": "zeros"})


def test_file_that_changed_after_opening_is_an_error(tmp_path: Path) -> None:
    run = write_small_run(tmp_path)
    source = open_xtc2(tmp_path)
    with run.files[0][0].open("ab") as file:
        file.write(bytes(24))
    with pytest.raises(SourceFormatError, match="changed after"):
        source.read("ipm2/raw/sum")
    source.read("epix/raw/raw")


def test_file_of_a_run_that_has_not_ended_may_grow_but_not_shrink(tmp_path: Path) -> None:
    run = write_small_run(tmp_path, ends=False)
    source = open_xtc2(tmp_path)
    path = run.files[0][0]
    with path.open("ab") as file:
        file.write(bytes(24))
    np.testing.assert_array_equal(
        source.read("timing/raw/pulseId").data[:3], run.columns["timing/raw/pulseId"][:3]
    )
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(SourceFormatError, match="changed after"):
        source.read("ipm2/raw/sum")
