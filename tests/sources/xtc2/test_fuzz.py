"""Cut off and damaged files: an error that names the file, or data; in time, and in bounded memory.

`CUBEENGINE_FUZZ=50000 pytest tests/sources/xtc2/test_fuzz.py` reads that many damaged runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import Place, read_exactly
from cubeengine.sources.xtc2.run_files import StreamFiles, find_run
from cubeengine.sources.xtc2.stream import Stream, open_stream
from cubeengine.sources.xtc2.values import decode
from tests.quick import first_quick
from tests.sources.xtc2 import mutations
from tests.sources.xtc2.agreement import read_whole

N_DAMAGED = int(os.environ.get("CUBEENGINE_FUZZ", "1000"))
PER_PROCESS = 5000
SOURCE_STEP = 1 if N_DAMAGED >= 50_000 else 41
"""Of the places at which a file is cut, only every so often one for the whole source."""

FUNCTIONS = ["tests.sources.xtc2.test_fuzz:read_run", "tests.sources.xtc2.agreement:read_whole"]
"""What reads everything of the run in a folder."""

CUT = ["intg_det/xpptut15-r0014-s000-c000.xtc2", "multi-seg-epics/xpptut15-r0014-s000-c000.xtc2",
       "multi-seg-epics/smalldata/xpptut15-r0014-s001-c000.smd.xtc2"]  # fmt: skip


def read_run(folder: Path) -> list[list[Any]]:
    """Read all values of all events."""
    return [read_stream(open_stream(files)) for files in find_run(folder).streams]


def read_stream(stream: Stream) -> list[Any]:
    events, found = stream.events, []
    descriptors = [os.open(file.path, os.O_RDONLY) for file in stream.files]
    try:
        for row in range(len(events)):
            number, offset = int(events.file[row]), int(events.offset[row])
            path = stream.files[number].path
            data = read_exactly(descriptors[number], offset, int(events.size[row]), path)
            parts = decode(data, stream.schemas[events.schema[row]], Place(path, offset))
            found.append([shown(value) for part in parts for value in part.values.values()])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return found


def shown(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("first", range(0, N_DAMAGED, PER_PROCESS))
def test_damaged_runs_give_errors_or_data(function: str, first: int) -> None:
    stop = min(first + PER_PROCESS, N_DAMAGED)

    report = mutations.in_child(function, first, stop)

    assert report.faults == []
    assert report.errors + report.read == stop - first
    assert report.errors > report.read / 4, "the damage does too little harm to test anything"


def take_too_much(folder: Path) -> None:
    if folder.name == "damaged":
        np.ones(300 * 1024 * 1024, np.uint8)


def die(folder: Path) -> None:
    if folder.name == "damaged":
        os.abort()


@pytest.mark.slow
def test_the_limits_are_real() -> None:
    greedy = mutations.in_child(f"{__name__}:take_too_much", 4, 5)
    dying = mutations.in_child(f"{__name__}:die", 4, 5)

    assert [("run 4" in fault, "MemoryError" in fault) for fault in greedy.faults] == [(True, True)]
    assert [fault[:18] for fault in dying.faults] == ["run 4: the process"]


def test_the_run_that_is_damaged_can_be_read_whole(tmp_path: Path) -> None:
    mutations.write_run(tmp_path)

    assert read_whole(tmp_path) == 8 * 5
    counts = [[item[0] for item in stream] for stream in read_run(tmp_path)]

    assert counts == [[0, 1, 2, 6, 7], [0, 1, 2, 6, 7]]


def cut_everywhere(path: Path, files: StreamFiles) -> tuple[int, int]:
    """Cut a file at every 8th byte from its end on; gives how often that was an error, and how often not."""
    whole = read_stream(open_stream(files))
    errors = 0
    sizes = range(path.stat().st_size // 8 * 8, -1, -8)
    for size in sizes:
        os.truncate(path, size)
        try:
            found = read_stream(open_stream(files))
        except SourceFormatError as err:
            assert str(path) in str(err)  # noqa: PT017 - an error is one of two right answers
            errors += 1
        else:
            assert found == whole[: len(found)]
    return errors, len(sizes) - errors


@pytest.mark.parametrize("name", first_quick(sorted(mutations.whole_run())))
def test_a_file_that_is_cut_off_gives_its_first_events_or_an_error(tmp_path: Path, name: str) -> None:
    mutations.write_run(tmp_path)
    stream = next(item for item in find_run(tmp_path).streams if f"s{item.number:03d}" in name)

    errors, read = cut_everywhere(tmp_path / name, stream)

    assert errors > 0 or name.endswith("c001.xtc2")
    assert read > 0


@pytest.mark.parametrize("name", first_quick(sorted(mutations.whole_run())))
def test_a_run_that_is_cut_off_is_read_alike_by_both_ways_or_an_error(tmp_path: Path, name: str) -> None:
    mutations.write_run(tmp_path)
    whole, path = read_whole(tmp_path), tmp_path / name
    compared = []
    for size in range(path.stat().st_size // 8 * 8, -1, -8 * SOURCE_STEP):
        os.truncate(path, size)
        try:
            compared.append(read_whole(tmp_path))
        except SourceFormatError as err:
            assert str(tmp_path) in str(err)  # noqa: PT017 - an error is one of two right answers

    assert compared[0] == whole


@pytest.mark.realdata
@pytest.mark.parametrize("name", CUT)
def test_a_real_file_that_is_cut_off_gives_its_first_events_or_an_error(
    tmp_path: Path, shared_data: Path, name: str
) -> None:
    content = (shared_data / "xtc2" / name).read_bytes()
    path = tmp_path / Path(name).name
    path.write_bytes(content)
    files = StreamFiles(0, path)
    if ".smd." in name:
        data = shared_data / "xtc2" / name.replace("smalldata/", "").replace(".smd.", ".")
        files = StreamFiles(0, data, path)

    errors, read = cut_everywhere(path, files)

    assert errors > 0
    assert read > 0
