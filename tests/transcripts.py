"""Transcripts of the documentation: what a user types, typed again, and what is answered."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import without_waits

HOME = "/home/me"
"""Stands in the documentation for the folder that the user works in."""

PROMPT = re.compile(r"^In \[(\d+)\]: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Transcript:
    """One call of a program.

    Attributes
    ----------
    command : str
        What was typed in the terminal.
    greeting : str
        What the program said first.
    lines : tuple of (str, str)
        What was typed into it, and what it answered.
    """

    command: str
    greeting: str
    lines: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The transcript as it stands in the documentation."""
        said = "".join(
            f"In [{number}]: {typed}\n{answer}\n" for number, (typed, answer) in enumerate(self.lines, 1)
        )
        return f"$ {self.command}\n{self.greeting}{said}".rstrip() + "\n"


def read_transcript(text: str) -> Transcript:
    """Read a transcript of the documentation."""
    command, _, rest = text.removeprefix("$ ").partition("\n")
    greeting, *said = PROMPT.split(rest)
    pairs = [part.partition("\n") for part in said[1::2]]
    lines = tuple(
        (typed, answer.strip("\n") + "\n" if answer.strip("\n") else "") for typed, _, answer in pairs
    )
    return Transcript(command, greeting, lines)


def run_transcript(
    command: str, typed: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Transcript:
    """Type lines into a program of the command line, from a pipe, and write down what it says."""
    ended = subprocess.run(
        ["bash", "-c", command],
        input="".join(f"{line}\n" for line in typed),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    greeting, *said = PROMPT.split(without_waits(ended.stdout).replace(str(folder), HOME))
    answers = [f"{answer.strip(chr(10))}\n" if answer.strip("\n") else "" for answer in said[1::2]]
    return Transcript(command, greeting, tuple(zip(typed, answers, strict=False)))
