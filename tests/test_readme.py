"""What README.md and docs/ show works: their shell, Python and YAML examples run on the demo's run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cubeengine import CubeSpec, open_run, plan
from cubeengine.cli.app import COMMANDS, cubeengine_group, run_command
from cubeengine.demo.files import SPEC
from cubeengine.spec.yaml import load_data

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs" / "guide.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `cubeengine demo` was run."""
    home = tmp_path_factory.mktemp("readme")
    assert run_command(["demo", str(home / "cubeengine-demo"), "--events", "2500"]) == 0
    return home


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a shell that finds `cubeengine`."""
    programs = tmp_path_factory.mktemp("bin")
    program = programs / "cubeengine"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cubeengine.cli "$@"\n')
    program.chmod(0o755)
    own = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(programs / "ipython")}
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **own}


def test_install_commands_are_two_and_name_extras_that_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installs = [block for block in blocks(README, "sh") if "venv" in block]

    assert len(installs) == 2
    assert "cubeengine demo" in installs[0]
    assert "pytest" in installs[1]
    for block in installs:
        (named,) = re.findall(r"'\.\[(\w+)\]'", block)
        assert named in extras


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = re.findall(r"python -m (pytest[^\n]*)", README)

    assert f'python" -m {command}\n' in (ROOT / ".ci" / "run").read_text()


@pytest.mark.slow
def test_shell_examples_run(folder: Path, environment: Mapping[str, str]) -> None:
    examples = [block for block in blocks(README, "sh") if "venv" not in block]
    assert len(examples) == 3
    for block in examples:
        script = ["bash", "-euo", "pipefail", "-c", block]
        ended = subprocess.run(script, cwd=folder, env=environment, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr.decode()
    assert (folder / "cube.zarr").is_dir()
    assert (folder / "frames.png").is_file()


def test_python_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)

    assert names["cube"]["frame_mean"].shape == (2, 21, 48, 64)
    assert names["error"].dims == names["cube"]["frame_std"].dims


def test_spec_of_the_readme_plans(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks(README, "yaml")
    (folder / "readme.yaml").write_text(block)

    assert run_command(["plan", str(folder / "readme.yaml")]) == 0
    assert run_command(["check", str(folder / "readme.yaml")]) == 0


@pytest.mark.parametrize("block", blocks(GUIDE, "yaml"))
def test_parts_of_specs_in_the_guide_plan(folder: Path, block: str) -> None:
    part = load_data(block, "guide")
    assert isinstance(part, dict)
    whole = merged(load_data(SPEC, "demo"), part)
    home = folder / "cubeengine-demo"
    run = open_run(home / "xppdemo20_Run0012.h5", xtc=home / "xtc")

    made = plan(run, CubeSpec.from_dict(whole).at(home))

    assert made.work.n_selected > 0
    assert CubeSpec.loads(made.bound.spec.to_yaml()) == made.bound.spec


def test_python_examples_of_the_guide_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for block in blocks(GUIDE, "python"):
        exec(compile(block, "guide.md", "exec"), {})

    assert "units: {scan/lxt: s, tt/ttCorr: ps}" in capsys.readouterr().out


def merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Put a part into a spec: units and derived variables beside those there are, all else instead."""
    added = {key: {**whole[key], **part[key]} for key in ("units", "derive") if key in part}
    return {**whole, **part, **added}


def test_every_command_stands_in_the_readme() -> None:
    table = re.findall(r"^\| `cubeengine (\w+)", README, re.MULTILINE)

    assert table == list(COMMANDS)


def test_every_option_that_is_named_exists() -> None:
    import click

    context = click.Context(cubeengine_group)
    known = {"--debug", "--help"}
    for name in COMMANDS:
        command = cubeengine_group.get_command(context, name)
        assert command is not None
        known |= {option for parameter in command.params for option in parameter.opts}
    text = README[README.index("## Commands") :] + GUIDE

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for name in re.findall(r"\]\(([^):]+)\)", page.read_text()):
            assert (page.parent / name.partition("#")[0]).is_file(), (page.name, name)


def test_guide_names_every_function_of_expressions() -> None:
    from cubeengine.events.functions import FUNCTIONS

    named = set(re.findall(r"`(\w+)[`(]", GUIDE))
    assert FUNCTIONS.keys() <= named
