"""Files that are given in the wrong place: which kind they are, and which command reads that kind."""

from __future__ import annotations

from pathlib import Path

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SPECS = (".yaml", ".yml", ".json")
_CUBE = "it is a cube, or another zarr store:  cubeengine show {0}  shows it, ce.open_cube opens it"
_SPEC = "it is a spec:  cubeengine check {0}  and  cubeengine run {0}  read it, ce.open_spec opens it"
_RUN = "it holds data:  cubeengine fields {0}  lists their fields, ce.open_run opens them"
_SESSION = "it is a saved session: ce.explore of the run's own file opens it again"


def reader_words(path: Path) -> str:
    """Say what a file is by its name and first bytes, and what reads it; "" where that is not known.

    Examples
    --------
    >>> reader_words(Path("delay.yaml"))
    ''
    """
    try:
        if path.is_dir():
            words = _CUBE if (path / "zarr.json").is_file() or (path / ".zgroup").is_file() else ""
        elif not path.is_file():
            words = ""
        elif path.name.endswith(".session.nc"):
            words = _SESSION
        elif path.suffix in _SPECS:
            words = _SPEC
        else:
            with path.open("rb") as file:
                words = _RUN if path.suffix == ".xtc2" or file.read(len(_HDF5)) == _HDF5 else ""
    except OSError:  # what cannot be read is told by what wanted to read it
        return ""
    return words.format(path)
