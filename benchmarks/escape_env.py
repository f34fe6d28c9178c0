"""Makes the environment escape-fel runs in: `python -m benchmarks.escape_env DIRECTORY`."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

# The versions the figures in README.md were measured with.
PACKAGES = ("escape-fel==0.2.16", "hdf5plugin>=5")


def escape_python(directory: Path) -> str:
    """Return the interpreter of the environment, which is made if it is not there.

    Raises
    ------
    subprocess.CalledProcessError
        If pip cannot install escape-fel.
    """
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    probe = subprocess.run([python, "-c", "import escape, hdf5plugin"], capture_output=True, check=False)
    if probe.returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


if __name__ == "__main__":
    print(escape_python(Path(sys.argv[1])))
