"""Stand-ins for Slurm's commands: shell scripts in a folder that is put on PATH."""

from __future__ import annotations

import shlex
from pathlib import Path


def write_command(folder: Path, name: str, *, out: str = "", err: str = "", code: int = 0) -> Path:
    """Write a command that notes its words and the environment beside it, prints, and ends with a code."""
    path = folder / name
    noted = shlex.quote(str(folder / f"{name}.words"))
    lines = [
        "#!/bin/bash",
        f"printf '%s\\n' \"$@\" >>{noted}",
        f"env >{noted}.env",
        f"printf %s {shlex.quote(out)}",
        f"printf %s {shlex.quote(err)} >&2",
        f"exit {code}",
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def words(folder: Path, name: str) -> list[str]:
    """Return the words that a command was called with, of all calls."""
    return (folder / f"{name}.words").read_text().splitlines()
