"""Finding the file of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cubeengine.errors import SpecError
from cubeengine.events.locate import DATA_ROOT, Located, locate, raw_runs, run_of_name, smalldata_files
from cubeengine.types import RunId


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    return tmp_path


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    "place",
    [
        "xpp/xpptut15/hdf5/smalldata/xpptut15_Run0012.h5",
        "xpp/xpptut15/hdf5/smalldata/xpptut15_Run012.h5",
        "xpp/xpptut15/ftc/ldat_xpptut15_Run012.h5",
        "xpptut15/hdf5/smalldata/xpptut15_Run0012.h5",
        "xpptut15/xpptut15_Run0012.h5",
        "xpptut15_Run0012.h5",
    ],
)
def test_a_run_is_found_where_facilities_put_it(root: Path, place: str) -> None:
    path = put(root / place)
    for found in (locate("xpptut15:12"), locate("xpptut15", 12), locate("xpptut15", 12, root=root)):
        assert found.smalldata == path
        assert found.run_id == RunId("xpptut15", 12)


def test_the_usual_place_comes_first(root: Path) -> None:
    put(root / "xpptut15_Run0012.h5")
    usual = put(root / "xpp/xpptut15/hdf5/smalldata/xpptut15_Run0012.h5")
    assert locate("xpptut15:12").smalldata == usual


def test_a_run_that_is_not_there_names_every_place(root: Path) -> None:
    with pytest.raises(SpecError) as caught:
        locate("xpptut15:12")
    text = str(caught.value)
    assert "xpptut15:12" in text
    for name in ("xpp/xpptut15/hdf5/smalldata/xpptut15_Run0012.h5", "xpptut15_Run012.h5"):
        assert str(root / name) in text


def test_without_a_data_root_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA_ROOT, raising=False)
    with pytest.raises(SpecError, match="set SIT_PSDM_DATA"):
        locate("xpptut15:12")
    monkeypatch.setenv(DATA_ROOT, str(tmp_path / "nowhere"))
    with pytest.raises(SpecError, match="nowhere is not a directory"):
        locate("xpptut15:12")


@pytest.mark.parametrize(
    "name", ["../etc", "a/b", "", ".", "..", "a b", "-x", "a\nb", "a\x00", "é", "a;b", "$HOME"]
)
def test_experiments_that_are_no_names_never_become_paths(root: Path, name: str) -> None:
    with pytest.raises(SpecError, match="not an experiment name"):
        locate(name, 12)


@pytest.mark.parametrize("run", [-1, 10**6, True])
def test_run_numbers_are_checked(root: Path, run: int) -> None:
    with pytest.raises(SpecError, match="not a run number"):
        locate("xpptut15", run)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = put(tmp_path / "mfx101_Run0007.h5")
    assert locate(path).smalldata == locate(str(path)).smalldata == path
    assert locate(path).run_id == RunId("mfx101", 7)
    assert locate(put(tmp_path / "other.h5")).run_id is None


def test_a_path_that_is_not_there_says_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="experiment:run such as xpptut15:252"):
        locate(tmp_path / "absent.h5")


def test_a_directory_with_one_file_stands_for_it(tmp_path: Path) -> None:
    path = put(tmp_path / "xpptut15_Run0012.h5")
    put(tmp_path / "notes.txt")
    put(tmp_path / "xpptut15_Run0012_part0.h5")
    put(tmp_path / "xpptut15_Run0012_part1.h5")
    assert locate(tmp_path).smalldata == path


def test_a_directory_with_several_files_lists_them(tmp_path: Path) -> None:
    names = ["a_Run0001.h5", "a_Run0002.h5"]
    for name in names:
        put(tmp_path / name)
    with pytest.raises(SpecError, match="2 smallData files") as caught:
        locate(tmp_path)
    assert all(name in str(caught.value) for name in names)


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="contains no smallData file"):
        locate(tmp_path)


def test_parts_without_their_joined_file_are_files(tmp_path: Path) -> None:
    put(tmp_path / "a_Run0001_part0.h5")
    assert len(smalldata_files(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xpptut15_Run0252.h5", RunId("xpptut15", 252)),
        ("xpptut15_Run252.h5", RunId("xpptut15", 252)),
        ("ldat_xpptut15_Run0252.h5", RunId("xpptut15", 252)),
        ("tmo-x_1_Run0003_part1.h5", RunId("tmo-x_1", 3)),
        ("serial_21.h5", None),
        ("_Run0001.h5", None),
    ],
)
def test_run_and_experiment_are_read_from_the_file_name(name: str, expected: RunId | None) -> None:
    assert run_of_name(Path(name)) == expected


@pytest.mark.parametrize("place", ["xpp/xppx1/xtc", "xppx1/xtc"])
def test_raw_files_of_a_run_are_found_with_or_without_smalldata(root: Path, place: str) -> None:
    put(root / place / "xppx1-r0012-s000-c000.xtc2")
    assert locate("xppx1:12") == Located(None, (root / place,), RunId("xppx1", 12), 12)
    path = put(root / "xppx1_Run0012.h5")
    assert locate("xppx1", 12) == Located(path, (root / place,), RunId("xppx1", 12), 12)
    with pytest.raises(SpecError, match=r"no raw files; tried:(\n.*)*/xtc/xppx1-r0013-\*.xtc2"):
        locate("xppx1:13")


@pytest.mark.parametrize(
    "name",
    ["x/xppx1-r0012-s000-c000.xtc2.inprogress", "smalldata/xppx1-r0012-s000-c000.smd.xtc2"],
)
def test_raw_files_that_are_written_and_smd_files_count(root: Path, name: str) -> None:
    put(root / "xppx1/xtc" / name.removeprefix("x/"))
    assert locate("xppx1:12").xtc == (root / "xppx1/xtc",)


def test_raw_files_of_lcls1_are_passed_over(root: Path) -> None:
    put(root / "xppx1/xtc/e101-r0012-s00-c00.xtc")
    put(root / "xppx1/xtc/xppx1-r0012-s000-c000.xtc")
    with pytest.raises(SpecError, match="no smallData file and no raw files"):
        locate("xppx1:12")
    path = put(root / "xppx1_Run0012.h5")
    assert locate("xppx1:12").xtc == ()
    with pytest.raises(SpecError, match="only raw files of LCLS-I"):
        locate(root / "xppx1/xtc")
    assert locate(root).smalldata == path


@pytest.mark.parametrize("folder", [".", "xtc"])
def test_a_directory_may_hold_smalldata_and_raw_files(tmp_path: Path, folder: str) -> None:
    raw = put(tmp_path / folder / "xppx1-r0012-s000-c000.xtc2")
    put(tmp_path / "jungfrau.h5")
    path = put(tmp_path / "xppx1_Run0012.h5")
    assert locate(tmp_path) == Located(path, (raw.parent,), RunId("xppx1", 12))
    path.unlink()
    (tmp_path / "jungfrau.h5").unlink()
    assert locate(tmp_path) == Located(None, (raw.parent,))


def test_files_are_told_apart(tmp_path: Path) -> None:
    raw = [put(tmp_path / f"a-r0001-s00{n}-c000.xtc2") for n in range(2)]
    path = put(tmp_path / "a_Run0001.h5")
    assert locate(raw) == Located(None, tuple(raw))
    assert locate([raw[0], path, raw[1]]) == Located(path, tuple(raw), RunId("a", 1))
    with pytest.raises(SpecError, match="2 files are not raw"):
        locate([path, put(tmp_path / "b.h5")])
    with pytest.raises(SpecError, match=r"none.xtc2' is not a file"):
        locate([tmp_path / "none.xtc2"])


def test_runs_of_a_directory_are_told_by_their_names(tmp_path: Path) -> None:
    for name in ("a-r0001-s000-c000.xtc2", "a-r0001-s001-c000.xtc2", "smalldata/a-r0001-s000-c000.smd.xtc2"):
        put(tmp_path / name)
    assert raw_runs(tmp_path) == {"a-r0001"}
    put(tmp_path / "a-r0012-s000-c000.xtc2.inprogress")
    assert raw_runs(tmp_path) == {"a-r0001", "a-r0012"}
