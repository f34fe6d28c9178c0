"""A pump-probe run with known truth, a spec for it, and how close the cube comes."""

from cubeengine.demo.compare import Comparison, compare
from cubeengine.demo.files import (
    CUBE_NAME,
    DATA_NAME,
    EXPERIMENT,
    RAW_FOLDER,
    RUN,
    SPEC_NAME,
    write_spec,
)
from cubeengine.demo.writer import write_run

__all__ = [
    "CUBE_NAME",
    "DATA_NAME",
    "EXPERIMENT",
    "RAW_FOLDER",
    "RUN",
    "SPEC_NAME",
    "Comparison",
    "compare",
    "write_run",
    "write_spec",
]
