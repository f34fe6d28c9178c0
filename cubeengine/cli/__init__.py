"""The command line: one file per command, each loaded when it is called."""

from cubeengine.cli.app import main

__all__ = ["main"]
