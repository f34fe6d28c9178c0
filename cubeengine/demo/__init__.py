"""A pump-probe run with known truth, a spec for it, and how close the cube comes."""

from cubeengine.demo.compare import Comparison, compare
from cubeengine.demo.dark import write_dark_run
from cubeengine.demo.files import (
    CONSTANTS_FOLDER,
    CUBE_NAME,
    DARK_FOLDER,
    DATA_NAME,
    EXPERIMENT,
    RAW_FOLDER,
    RUN,
    SPEC_NAME,
    check_folder,
    write_spec,
)
from cubeengine.demo.writer import write_run

__all__ = [
    "CONSTANTS_FOLDER",
    "CUBE_NAME",
    "DARK_FOLDER",
    "DATA_NAME",
    "EXPERIMENT",
    "RAW_FOLDER",
    "RUN",
    "SPEC_NAME",
    "Comparison",
    "check_folder",
    "compare",
    "write_dark_run",
    "write_run",
    "write_spec",
]
