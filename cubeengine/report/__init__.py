"""A page about a cube, in one file: how it was made, where the events went, what its signals look like."""

from cubeengine.report.write import write_report

__all__ = ["write_report"]
