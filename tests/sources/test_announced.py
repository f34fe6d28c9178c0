"""How many events files announce, and how many are read of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeengine import api, cube_facts
from cubeengine.plots import describe_cube
from cubeengine.report.page import report_html
from cubeengine.sources.registry import open_source
from cubeengine.spec.model import CubeSpec
from tests.makers.marked import write_fields
from tests.makers.smalldata import write_joined, write_lcls2
from tests.sources.xtc2 import handmade as hand

N = 9
CONTENT = hand.data_file(N)
EVENT = len(hand.event(0, 0))
HALF = EVENT // 2


def write_run(folder: Path, *contents: bytes, indices: tuple[bytes | None, ...]) -> Path:
    """Write the streams of a run, each with its smd file where there is one."""
    (folder / "smalldata").mkdir(parents=True)
    for number, (content, index) in enumerate(zip(contents, indices, strict=True)):
        name = f"xpptest-r0007-s{number:03}-c000"
        (folder / f"{name}.xtc2").write_bytes(content)
        if index is not None:
            (folder / "smalldata" / f"{name}.smd.xtc2").write_bytes(index)
    return folder


def counts(folder: Path) -> list[tuple[str, int, int]]:
    return [(found.what, found.announced, found.read) for found in open_source(folder).announced]


INDEX = hand.index_of(CONTENT)
POINTER = len(hand.pointer(0, 0, 0))


@pytest.mark.parametrize(
    ("cut", "cut_index", "announced", "read"),
    [
        (0, 0, N, N),
        (1, 0, N, N - 1),
        (2 * EVENT, 0, N, N - 2),
        (2 * EVENT + HALF, 0, N, N - 3),
        (0, POINTER, N, N - 1),  # the smd file ends earlier than the file of events
        (0, 3 * POINTER + 5, N, N - 4),
        (EVENT, POINTER, N - 1, N - 1),  # nothing says that there was one more
        (EVENT + 1, POINTER, N - 1, N - 2),
    ],
)
def test_smd_files_and_files_of_events_are_compared(
    tmp_path: Path, cut: int, cut_index: int, announced: int, read: int
) -> None:
    content, index = CONTENT[: len(CONTENT) - cut], INDEX[: len(INDEX) - cut_index]
    folder = write_run(tmp_path, content, indices=(index,))
    whole = ("raw data", announced, read)
    stream = ("stream 0 (xpptest-r0007-s000-c000.xtc2)", announced, read)
    assert counts(folder) == ([whole] if read == announced else [whole, stream])
    assert open_source(folder).n_events == read


@pytest.mark.parametrize(
    ("cut", "expected"), [(0, None), (EVENT, None), (1, N), (EVENT - 24, N), (EVENT - 23, None)]
)
def test_without_smd_files_an_event_that_is_begun_announces_itself(
    tmp_path: Path, cut: int, expected: int | None
) -> None:
    folder = write_run(tmp_path, CONTENT[: len(CONTENT) - cut], indices=(None,))
    assert counts(folder)[:1] == ([] if expected is None else [("raw data", expected, N - 1)])


def test_events_of_one_stream_may_lack_though_others_have_them(tmp_path: Path) -> None:
    short = CONTENT[: -2 * EVENT]
    folder = write_run(tmp_path, CONTENT, short, indices=(INDEX, INDEX))
    name = "stream 1 (xpptest-r0007-s001-c000.xtc2)"
    assert counts(folder) == [("raw data", N, N), (name, N, N - 2)]


def test_what_is_behind_the_last_event_and_cannot_be_read_is_no_error(tmp_path: Path) -> None:
    folder = write_run(tmp_path, CONTENT + b"\xff" * 100, indices=(INDEX,))
    source = open_source(folder)
    assert source.n_events == N
    assert counts(folder) == [("raw data", N, N)]


def test_plan_cube_show_and_report_say_how_many_events_are_lacking(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "xtc", CONTENT[: -3 * EVENT], indices=(INDEX,))
    plan = api.plan(api.open_run(folder), CubeSpec(cube="x", signals=["counter/raw/value"]))
    lacking = "6 of 9 announced events were read, 3 are missing"
    warnings = [problem.message for problem in plan.warnings if problem.path == ("run",)]
    assert [lacking in message for message in warnings] == [True, True]
    assert "xpptest-r0007-s000-c000.xtc2: ends before byte" in warnings[1]
    assert lacking in str(plan)
    cube = plan.compute()
    facts = cube_facts(cube)["announced"]
    assert [(entry["announced"], entry["read"]) for entry in facts] == [(9, 6), (9, 6)]
    assert describe_cube(cube).count(lacking) == 2
    assert report_html(cube, "a.zarr").count(lacking) == 2


def test_a_whole_run_says_so_as_well(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "xtc", CONTENT, indices=(INDEX,))
    plan = api.plan(api.open_run(folder), CubeSpec(cube="x", signals=["counter/raw/value"]))
    assert ("run",) not in [problem.path for problem in plan.warnings]
    assert "raw data: 9 of 9 announced events were read" in str(plan)
    assert "raw data: 9 of 9 announced events were read" in describe_cube(plan.compute())


class TestJoinedSmallData:
    def test_all_events_of_the_parts_are_there(self, tmp_path: Path) -> None:
        source = open_source(write_joined(tmp_path).path)
        (whole,) = source.announced
        assert (whole.announced, whole.read, whole.why) == (source.n_events, source.n_events, "")

    def test_a_part_that_has_grown_since_is_told(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        n_events = open_source(truth.path).n_events
        with h5py.File(truth.parts[1], "r+", libver="latest") as file:
            times = file["timestamp"]
            n_part = len(times)
            times.resize(n_part + 4, axis=0)
            times[-4:] = times[n_part - 1] + 1 + np.arange(4)
        whole, part = open_source(truth.path).announced
        assert (whole.announced, whole.read) == (n_events + 4, n_events)
        assert (part.what, part.announced, part.read) == (f"part {truth.parts[1].name}", n_part + 4, n_part)
        assert "join the parts again" in str(part)

    def test_a_part_that_came_late_is_told(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        late = truth.parts[0].with_name(truth.parts[0].name.replace("part0", "part7"))
        shutil.copy(truth.parts[0], late)
        truth.parts[0].with_name(truth.parts[0].name.replace("part0", "part8")).write_bytes(b"no HDF5")
        whole, part = open_source(truth.path).announced
        with h5py.File(late) as file:
            n_late = len(file["timestamp"])
        assert (part.announced, part.read) == (n_late, 0)
        assert whole.announced - whole.read == n_late
        assert "lacks this part" in part.why

    def test_links_to_parts_are_the_parts(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        truth = write_joined(tmp_path / "data")
        (tmp_path / "link").symlink_to(tmp_path / "data")
        (whole,) = open_source(tmp_path / "link" / truth.path.name).announced
        assert whole.is_complete


def test_files_without_an_index_announce_nothing(tmp_path: Path) -> None:
    assert open_source(write_lcls2(tmp_path / "a.h5", n_events=30).path).announced == ()


def test_events_of_an_align_group_that_the_run_lacks_are_told(tmp_path: Path) -> None:
    path = write_fields(tmp_path / "a.h5", {"x": np.arange(8.0)})
    times = open_source(path).timestamps
    group = np.append(times[[1, 4, 6]], times[-1] + np.uint64(5))
    write_fields(tmp_path / "b.h5", {"x": np.arange(8.0), "intg/timestamp": group, "intg/v": np.arange(4)})
    (found,) = open_source(tmp_path / "b.h5").aligned("intg").announced
    assert (found.what, found.announced, found.read) == ("align group 'intg'", 4, 3)


def test_both_parts_of_a_joined_run_say_theirs(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "xtc", CONTENT[:-EVENT], indices=(INDEX,))
    times = np.array([hand.second(1 + i) for i in range(N)])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["timestamp"], file["x"] = times, np.arange(N)
    run = api.open_run(tmp_path / "a.h5", xtc=folder)
    assert [(found.what, found.announced, found.read) for found in run.announced][:1] == [
        ("raw data", N, N - 1)
    ]
