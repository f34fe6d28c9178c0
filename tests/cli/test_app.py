from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cubeengine.cli.app import COMMANDS
from tests.cli.conftest import Call
from tests.waiting import PATIENCE, without_waits

ROOT = Path(__file__).resolve().parents[2]


def start(*args: str, cwd: Path = ROOT, process_group: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cubeengine.cli", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, stdout=pipe, stderr=pipe, env=environment, process_group=process_group
    )


def test_help_lists_every_command_in_the_order_of_use(call: Call) -> None:
    shown = call("--help")

    assert shown.code == 0
    places = [shown.out.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(call: Call, name: str) -> None:
    shown = call(name, "--help")

    assert shown.code == 0
    assert shown.out.startswith(f"Usage: cubeengine {name}")
    assert "--debug" in shown.out


def test_help_loads_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "from cubeengine.cli.app import run_command\n"
        "assert run_command(['--help']) == 0\n"
        "heavy = {'numpy', 'xarray', 'dask', 'distributed', 'h5py', 'zarr', 'numba', 'pydantic'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_version_is_that_of_the_package(call: Call) -> None:
    import cubeengine

    assert call("--version").out == f"cubeengine {cubeengine.__version__}\n"


def test_typo_in_a_command_is_answered_with_the_nearest_name(call: Call) -> None:
    outcome = call("chek", "x.yaml")

    assert outcome.code == 2
    assert "'chek'; nearest: 'check'" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("args", [("run",), ("run", "a.yaml", "--events", "0"), ("plan", "--nonsense")])
def test_wrong_arguments_end_with_two(call: Call, args: tuple[str, ...]) -> None:
    outcome = call(*args)

    assert outcome.code == 2
    assert "Error: " in outcome.err
    assert "Traceback" not in outcome.err


def test_debug_adds_the_traceback_wherever_it_stands(call: Call, tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"

    assert "Traceback" not in call("check", missing).err
    for args in (("--debug", "check", missing), ("check", missing, "--debug")):
        outcome = call(*args)
        assert outcome.code == 2
        assert "Traceback" in outcome.err
        assert outcome.err.endswith(f"error: {missing}: no such file\n")


def test_missing_run_ends_with_three_and_one_line(call: Call) -> None:
    outcome = call("fields", "nowhere.h5")

    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert "'nowhere.h5'" in outcome.err


def test_file_that_is_no_smalldata_ends_with_three(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    path.write_text("hello")

    assert call("fields", path).code == 3


def test_impossible_experiment_name_ends_with_two(call: Call) -> None:
    assert call("fields", "../etc:12").code == 2


def test_control_characters_of_a_name_do_not_reach_the_terminal(call: Call) -> None:
    assert "\x1b" not in call("fields", "\x1b[31mred.h5").err


@pytest.mark.slow
def test_closed_pipe_is_quiet(folder: Path) -> None:
    process = start("fields", "xpptest01_Run0007.h5", cwd=folder)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()

    assert process.wait(timeout=PATIENCE) == 0
    assert without_waits(process.stderr.read().decode()) == ""
    process.stderr.close()


def test_fault_of_ours_is_one_readable_message(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import cubeengine.cli.fields as fields

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(fields, "open_source", broken)
    outcome = call("fields", "x")

    assert outcome.code == 5
    assert outcome.err == (
        "error: ZeroDivisionError: oops\nthis is a bug in cubeengine; --debug shows where\n"
    )
