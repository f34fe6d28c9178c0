"""Batch scripts for tests, without a run or a file; and how they are checked."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from cubeengine.spec.model import CubeSpec
from cubeengine.submit.job import RunCommand, run_script
from cubeengine.submit.script import JobScript
from cubeengine.submit.site import Site, load_site

SPEC = CubeSpec.from_dict({"cube": "delay", "run": {"experiment": "xpptut15", "run": 252}})


def script(site: Site | str = "generic", **changes: Any) -> JobScript:
    """Return the script of run 252; the changes are those of the command, or of `run_script`."""
    site = load_site(site) if isinstance(site, str) else site
    command = {"spec": Path("/home/ada/cube.yaml"), "output": Path("/data/xpptut15_r0252_delay.zarr")}
    others: dict[str, Any] = {
        "site": site,
        "options": site.batch,
        "launcher": site.job.launcher,
        "logs": Path("/data/logs"),
        "environment": {},
    }
    given = {name: changes.pop(name) for name in list(changes) if name in others}
    spec = changes.pop("of", SPEC)
    return run_script(RunCommand(**command | changes), spec, 252, **others | given)


def shellcheck() -> str:
    """Return the program, or skip the test."""
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck is not installed here; the test extra has it")
    return found
