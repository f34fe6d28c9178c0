r"""The batch script of one run: readable, every value quoted, nothing pasted into shell text as it is.

Lines of sbatch's own (``#SBATCH``) know quotes and backslashes, but no line ends; so control characters in
their values are refused. How the run hears of the time limit depends on what the script becomes: srun would
kill its tasks on SIGTERM, so there Slurm signals the tasks themselves; anything else gets it in place of the
shell that it has replaced (both tried under Slurm 22.05, and with mpich's mpirun).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from cubeengine.errors import SpecError
from cubeengine.submit.options import BatchOptions
from cubeengine.submit.site import jobs_folder

_BARE = re.compile(r"[A-Za-z0-9_./:,@+%=-]+", re.ASCII)
_PLACE = re.compile(r"@([a-z]+)@")
MAX_VALUE = 1000
"""Characters of one option; sbatch reads lines of a few thousand."""


@dataclass(frozen=True, slots=True)
class JobScript:
    """All that stands in a batch script.

    Attributes
    ----------
    name : str
        Of the job, and of its files in the folder `logs`.
    cube, label : str
        Name of the cube, and of the run, for people.
    options : BatchOptions
        What is asked of Slurm.
    cpus : int
        Processors of each task.
    memory : int or None
        Bytes per processor, where `options.mem` says nothing.
    output : Path
        The cube.
    logs : Path
        Absolute; for the log and the progress.
    command : sequence of sequences of str
        Words of the command; each sequence on a line.
    setup : sequence of str
        Lines of shell, taken as they are.
    environment : mapping of str to str
        Variables to be set.
    """

    name: str
    cube: str
    label: str
    options: BatchOptions
    cpus: int
    memory: int | None
    output: Path
    logs: Path
    command: Sequence[Sequence[str]]
    setup: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def log(self, job: str = "%j") -> str:
        """Return the name of a job's log."""
        return f"{self.logs / self.name}_{job}.log"

    def progress(self, job: str) -> str:
        """Return the name of the file with a job's progress."""
        return f"{self.logs / self.name}_{job}.json"

    @property
    def path(self) -> Path:
        """Where the script lies."""
        return self.logs / f"{self.name}.sh"

    def text(self, version: str) -> str:
        """Write the script.

        Raises
        ------
        SpecError
            If sbatch cannot take a value.
        """
        values = {
            "version": version,
            "cube": self.cube,
            "label": self.label,
            "directives": "\n".join(self._directives()),
            "environment": "\n".join(self._environment()),
            "progress": shlex.quote(f"{self.logs / self.name}_"),
            "seconds": str(self.options.signal_seconds),
            "command": " \\\n  ".join(shlex.join(words) for words in self.command if words),
        }
        template = jobs_folder().joinpath("run.sh").read_text()
        return _PLACE.sub(lambda match: values[match[1]], template)

    def _directives(self) -> list[str]:
        asked, tasks = self.options, self.options.ntasks
        signalled = "" if is_srun(self.command[0]) else "B:"
        pairs: list[tuple[str, object]] = [
            ("job-name", self.name),
            ("output", _log_pattern(self.logs / self.name)),
            ("open-mode", "append"),
            *((name, getattr(asked, name)) for name in ("partition", "account", "reservation", "qos")),
            *(("nodes", asked.nodes), ("ntasks", tasks), ("cpus-per-task", self.cpus)),
            *(("time", asked.time), ("signal", f"{signalled}TERM@{asked.signal_seconds}")),
            *self._memory(),
        ]
        flags = {"use-min-nodes": asked.use_min_nodes, "exclusive": asked.exclusive}
        lines = [directive(name, str(value)) for name, value in pairs if value is not None]
        lines += [directive(name) for name, wanted in flags.items() if wanted]
        lines.append(directive("requeue" if asked.requeue else "no-requeue"))
        return lines + [f"#SBATCH {_word(option, 'extra')}" for option in asked.extra]

    def _memory(self) -> list[tuple[str, object]]:
        if self.options.mem is not None:
            return [("mem", _mebibytes(self.options.mem))]
        if self.options.exclusive:
            return [("mem", "0")]  # all that the node has
        return [] if self.memory is None else [("mem-per-cpu", _mebibytes(self.memory))]

    def _environment(self) -> list[str]:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        if self.setup:
            # Set-up scripts of conda and modules read variables that are not set.
            lines += ["", "# Environment of the site.", "set +u", *self.setup, "set -u", ""]
        return lines


def is_srun(words: Sequence[str]) -> bool:
    """Return whether a command starts its tasks with srun."""
    return bool(words) and PurePath(words[0]).name == "srun"


def directive(name: str, value: str | None = None) -> str:
    r"""Write a line for sbatch.

    Raises
    ------
    SpecError
        If the value holds characters that sbatch cannot take, or is too long.

    Examples
    --------
    >>> directive("job-name", 'my "best" cube')
    '#SBATCH --job-name="my \\"best\\" cube"'
    """
    return f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={_word(value, name)}"


def _word(value: str, name: str) -> str:
    if not value.isprintable():
        raise SpecError(
            f"{name}: sbatch cannot take {value[:80]!r}: its options cannot contain line ends, other "
            "control characters, or bytes that are not UTF-8"
        )
    if len(value) > MAX_VALUE:
        raise SpecError(f"{name}: {value[:40]!r}... has {len(value):,} characters, more than {MAX_VALUE:,}")
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _log_pattern(start: Path) -> str:
    if "\\" in str(start):
        raise SpecError(f"{start}: sbatch allows no backslash in the name of a log; choose another --logdir")
    return str(start).replace("%", "%%") + "_%j.log"


def _mebibytes(nbytes: int) -> str:
    return f"{-(-nbytes // 2**20)}M"
