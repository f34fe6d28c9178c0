"""What docs/pedestals.md shows works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from cubeengine.cli.app import run_command
from cubeengine.demo import write_dark_run, write_run
from cubeengine.pedestals.dark import CHECKS
from cubeengine.pedestals.limits import STATUS_BITS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pedestals.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "cubeengine-demo"
    home.mkdir()
    write_run(home, n_events=500)
    write_dark_run(home / "dark")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_examples_run(folder: Path) -> None:
    for block in blocks("sh"):
        program, *arguments = shlex.split(block.replace("\\\n", " "), comments=True)
        assert program == "cubeengine"
        assert run_command(arguments) == 0
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "pedestals.md", "exec"), names)

    assert names["dark"].bad.sum() == 15
    assert {path.name for path in folder.iterdir()} == {
        "cubeengine-demo", "dark.h5", "dark.png", "jungfrau.h5",
    }  # fmt: skip


def test_page_names_every_check_bit_and_option() -> None:
    from cubeengine.cli.pedestal import command

    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(CHECKS)
    assert [int(bit) for bit in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(STATUS_BITS)
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert named <= options
    assert options - named <= {"--debug", "--xtc", "--kind", "--output", "--overwrite"}
