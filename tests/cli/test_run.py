from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine.cli.progress import ProgressDisplay
from cubeengine.progress import Progress, progress_line
from cubeengine.store.read import cube_hash, open_cube
from tests.cli.conftest import SPEC, Call

CUBE = "xpptest01_r0007_delay.zarr"


def left_over(folder: Path) -> list[str]:
    known = {"xpptest01_Run0007.h5", "delay.yaml", CUBE}
    return [path.name for path in folder.iterdir() if path.name not in known]


def test_run_writes_the_cube_under_its_default_name(call: Call, folder: Path) -> None:
    outcome = call("run", "delay.yaml")

    assert outcome.code == 0
    assert f"wrote {CUBE} in " in outcome.out
    assert re.search(r"measured peak memory \d.*, projected \d", outcome.out)
    assert left_over(folder) == []
    cube = open_cube(CUBE)
    assert list(cube["selection"].values) == ["on", "off"]
    assert cube["roi_mean"].shape == (2, 21, 12, 14)


def test_progress_without_a_terminal_is_plain_lines(call: Call, folder: Path) -> None:
    lines = call("run", "delay.yaml").err.splitlines()

    assert lines[-1].startswith("100 %")
    assert all("\x1b" not in line and "\r" not in line for line in lines)


def test_part_of_the_run_is_marked_in_the_cube(call: Call, folder: Path) -> None:
    call("run", "delay.yaml", "-o", "part.zarr", "--events", 200)

    cube = open_cube("part.zarr")
    assert int(cube["n_events"].sum()) <= 200
    assert "first 200" in str(cube.attrs)
    assert "first 200" in call("show", "part.zarr").out


def test_existing_cube_is_kept_unless_told(call: Call, folder: Path) -> None:
    assert call("run", "delay.yaml").code == 0
    before = cube_hash(Path(CUBE))

    refused = call("run", "delay.yaml", "--set", "cubes=[on]")
    assert refused.code == 2
    assert "--overwrite" in refused.err or "overwrite" in refused.err
    assert cube_hash(Path(CUBE)) == before
    assert call("run", "delay.yaml", "--set", "cubes=[on]", "--overwrite").code == 0
    assert list(open_cube(CUBE)["selection"].values) == ["on"]
    assert left_over(folder) == []


def test_what_is_no_cube_is_never_overwritten(call: Call, folder: Path) -> None:
    mine = folder / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")

    assert call("run", "delay.yaml", "-o", "mine", "--overwrite").code == 2
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_unknown_launcher_ends_with_two_and_leaves_nothing(call: Call, folder: Path) -> None:
    outcome = call("run", "delay.yaml", "--launcher", "thread")

    assert outcome.code == 2
    assert "'threads'" in outcome.err
    assert left_over(folder) == []


def test_damaged_frames_end_with_three_and_leave_nothing(call: Call, folder: Path) -> None:
    path = folder / "xpptest01_Run0007.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    outcome = call("run", "delay.yaml")
    assert outcome.code == 3
    assert "Traceback" not in outcome.err
    assert left_over(folder) == []


def test_run_without_experiment_is_named_after_its_file(call: Call, folder: Path) -> None:
    shutil.move("xpptest01_Run0007.h5", "night.h5")
    start, _, rest = SPEC.partition("run:\n")
    text = start + "run: {smalldata: night.h5}\n" + rest[rest.index("units:") :]
    (folder / "night.yaml").write_text(text)

    assert "wrote night_delay.zarr" in call("run", "night.yaml").out


def test_new_spec_runs_as_it_is(call: Call, folder: Path) -> None:
    starter = call("new", "xpptest01_Run0007.h5")
    assert starter.code == 0
    (folder / "new.yaml").write_text(starter.out)

    assert call("check", "new.yaml").code == 0
    assert call("plan", "new.yaml").code == 0
    assert call("run", "new.yaml", "-o", "new.zarr").code == 0
    cube = xr.open_zarr(folder / "new.zarr")
    assert cube.sizes["delay"] == 21
    counts = cube["n_events"].sel(selection="off").values
    assert np.ptp(counts) <= 3


def test_warnings_are_told_before_the_run(call: Call, folder: Path) -> None:
    beside = "axes.0.centers={start: 100, stop: 101, step: 0.5}"
    outcome = call("run", "delay.yaml", "--set", beside, "--force")

    assert outcome.code == 0
    assert "warning" in outcome.err.splitlines()[0]


def test_progress_line_tells_rate_and_time_left() -> None:
    line = progress_line(Progress(done=512, total=1024, seconds=2.0, message=""))

    assert line.split("  ") == [" 50 %", "512 B of 1 KiB", "256 B/s", "2 s left"]


def test_plain_lines_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay() as display:
        for done, seconds in ((0, 0.0), (10, 1.0), (50, 11.0), (60, 12.0), (100, 13.0), (100, 14.0)):
            display(Progress(done=done, total=100, seconds=seconds, message="2 threads"))

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "2 threads"
    assert [line.split()[0] for line in lines[1:]] == ["50", "100"]
