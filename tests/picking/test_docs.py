"""The examples of docs/picking.md run, in a folder that `cubeengine demo` has written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cubeengine as ce
from cubeengine.cli.app import run_command

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "picking.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picking")
    assert run_command(["demo", str(folder / "demo"), "--events", "1500"]) == 0
    return folder / "demo"


@pytest.mark.slow
def test_commands_run_on_the_spec(home: Path, tmp_path: Path) -> None:
    (spec,), script = blocks("yaml"), "\n".join(blocks("sh"))
    (home / "pick.yaml").write_text(spec)
    program = tmp_path / "cubeengine"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cubeengine.cli "$@"\n')
    program.chmod(0o755)
    places = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    command = ["bash", "-euo", "pipefail", "-c", script]
    ended = subprocess.run(command, cwd=home, env={**os.environ, **places}, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert (home / "frames.png").stat().st_size > 1000
    picked = ce.open_cube(home / "brightest.zarr")
    assert picked.sizes["pick"] == 3
    assert set(re.findall(r"`(n_\w+|event|row|timestamp|time)`", TEXT)) <= set(picked.variables)
    assert ce.PickSpec.loads(ce.PickSpec.load(home / "pick.yaml").to_yaml()) == ce.PickSpec.load(
        home / "pick.yaml"
    )


@pytest.mark.slow
def test_python_examples_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "picking.md", "exec"), names)

    assert names["best"].dims == ("scan__lxt", "roi_dim0", "roi_dim1")
    assert names["bright"].notnull().all()
