"""What is done of a cube that is being made: kept beside the target, so that a later run can go on from it.

Beside `delay.zarr` lie, while a run makes it, the temporary store and a hidden folder
`.delay.zarr.state-<key of the plan>` with

    lock          held by the run as long as it lives
    facts.json    what the plan rests on, to name what has changed
    begun         there once the temporary store is made
    done/         one small file per write task that is done, with what it counted
    partials/     sums of long streams, as far as they are: see `graph.checkpoints`
    running/      leaves that are at work
    skipped/      tasks that were given up
    incidents/    one small file per block that was tried again or left out, for the cube to tell

A run that is killed leaves them. The next run of the same target removes them, or, told to resume, goes on.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from cubeengine.errors import StoreMismatch
from cubeengine.store import files

logger = logging.getLogger(__name__)

Facts = Mapping[str, str]
Counts = dict[str, list[int]]
Incident = Mapping[str, Any]

WORK_PREFIX = ".cubeengine-work-"
"""Begins the names of folders with files that tasks share; of no use after the run."""

_STATE = re.compile(r"\..+\.state-[0-9a-f]{16}")
_FACTS, _BEGUN = "facts.json", "begun"
_FOLDERS = ("done", "partials", "running", "skipped", "incidents")


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of one run."""

    folder: Path  # where it lies

    @property
    def is_begun(self) -> bool:
        """Whether the temporary store was made, so that tasks may be done."""
        return (self.folder / _BEGUN).exists()

    def begin(self) -> None:
        """Note that the temporary store is made."""
        with files.writing(self.folder, "writing the state of the run"):
            files.replace_file(self.folder / _BEGUN, b"")

    def clear(self) -> None:
        """Forget all that is done."""
        with files.writing(self.folder, "clearing the state of the run"):
            (self.folder / _BEGUN).unlink(missing_ok=True)  # first: the rest means nothing without it
            for name in _FOLDERS:
                files.remove_folder(self.folder / name)
                (self.folder / name).mkdir()

    def marker(self, task: str) -> Path:
        """Return the file that says that a write task is done; see `mark_done`."""
        return self.folder / "done" / f"{task}.json"

    def done(self, task: str) -> Counts | None:
        """Return what a write task counted; None where it is not done."""
        path = self.marker(task)
        with files.reading(path, "reading the state of the run"):
            try:
                counts: Counts = json.loads(path.read_text())
            except FileNotFoundError:
                return None
            except ValueError as err:
                raise StoreMismatch(
                    f"{path}: cannot be read ({err}); run again without --resume, in Python resume=False"
                ) from err
        return counts

    def is_skipped(self, task: str) -> bool:
        """Whether a task was given up, to be counted and left out."""
        return (self.folder / "skipped" / task).exists()

    def skip(self, task: str) -> None:
        """Give a task up."""
        with files.writing(self.folder, "writing the state of the run"):
            files.replace_file(self.folder / "skipped" / task, b"")

    def running(self, task: str) -> Path:
        """Return the file that is there while a task is at work; see `graph.tasks.reduce_leaf`."""
        return self.folder / "running" / task

    def most_begun(self) -> str | None:
        """Return the task that was begun most often without coming to its end; None where none was."""
        begun = []
        for mark in (self.folder / "running").iterdir():
            with suppress(FileNotFoundError):  # its task came to its end meanwhile
                begun.append((mark.stat().st_size, mark.name))
        return max(begun)[1] if begun else None

    @property
    def partials(self) -> Path:
        """Folder of partial sums."""
        return self.folder / "partials"

    @property
    def incidents(self) -> Path:
        """Folder of what went wrong and was got over; see `note_incident`."""
        return self.folder / "incidents"

    def read_incidents(self) -> list[Incident]:
        """Return what went wrong so far, of this run and of those that it goes on from, in a fixed order."""
        files = sorted(path for path in self.incidents.iterdir() if path.suffix == ".json")
        return [incident for path in files if (incident := _read_incident(path))]


def mark_done(marker: Path, counts: Counts) -> None:
    """Mark a write task as done, its chunks being on the disk."""
    with files.writing(marker, "writing the state of the run"):
        files.replace_file(marker, json.dumps(counts).encode())


def note_incident(folder: Path, name: str, incident: Incident) -> None:
    """Note that something went wrong and was got over, in place of an earlier note of the same name.

    What cannot be noted stands in the log alone: for that no run is lost.
    """
    try:
        files.replace_file(folder / f"{name}.json", json.dumps(dict(incident)).encode())
    except OSError as err:
        logger.warning("%s: cannot be recorded (%s): %s", name, err, dict(incident))


def _read_incident(path: Path) -> Incident:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        logger.warning("%s: cannot be read (%s)", path, err)
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def held_state(target: Path, key: str, facts: Facts, *, resume: bool) -> Iterator[RunState]:
    """Hold the state of a run, new or as an earlier run left it. It stays when the context is left.

    Parameters
    ----------
    target : Path
        The cube that is made.
    key : str
        Names the plan, 16 hexadecimal digits.
    facts : mapping of str to str
        What the plan rests on, e.g. "spec" -> its text.
    resume : bool
        Whether to go on from what an earlier run left.

    Raises
    ------
    StoreMismatch
        If another run makes the same cube now; or, with `resume`, if what was left is of another plan:
        names what is different.
    StoreWriteError
        If the file system fails.
    """
    folder = target.with_name(f".{target.name}.state-{key}")
    state = RunState(folder)
    with ExitStack() as held:  # what goes wrong while the state is held is no fault of its files
        with files.writing(folder, "saving the state of the run"):
            for other in _states(target):
                if other != folder:
                    _deal_with(other, target, facts, resume=resume)
            folder.mkdir(exist_ok=True)
            held.enter_context(_locked(folder, target))
            for litter in folder.glob(f"{WORK_PREFIX}*"):
                shutil.rmtree(litter)
            if not (resume and state.is_begun):
                state.clear()
            for mark in (folder / "running").iterdir():
                mark.unlink(missing_ok=True)  # a worker that outlived its killed run may remove it as well
            files.replace_file(folder / _FACTS, json.dumps(dict(facts)).encode())
        yield state


def remove_state(state: RunState) -> None:
    """Remove the state of a run that is finished, or that nobody will go on with."""
    shutil.rmtree(state.folder, ignore_errors=True)


def _states(target: Path) -> list[Path]:
    start = f".{target.name}.state-"
    return sorted(
        path
        for path in target.parent.iterdir()
        if path.name.startswith(start) and _STATE.fullmatch(path.name) and not path.is_symlink()
    )


def _deal_with(other: Path, target: Path, facts: Facts, *, resume: bool) -> None:
    """Remove what a run of another plan left; told to resume, say instead what has changed."""
    with _locked(other, target):
        if resume:
            raise StoreMismatch(
                f"{target}: cannot continue from an earlier run: {_difference(other, facts)}; undo that "
                "change, or run without --resume, in Python resume=False, to start over"
            )
        _remove_store_of(other, target)
        shutil.rmtree(other)


def _remove_store_of(state: Path, target: Path) -> None:
    store = target.with_name(f".{target.name}.tmp-{state.name[-16:]}")
    if store.is_dir() and not store.is_symlink():
        shutil.rmtree(store)


def _difference(other: Path, facts: Facts) -> str:
    try:
        before: Facts = json.loads((other / _FACTS).read_text())
    except (OSError, ValueError):
        return "the record of that run is incomplete"
    changed = [name for name in facts if before.get(name) != facts[name]]
    if not changed:
        return "the plan has changed"
    name = changed[0]
    return f"{name} changed: {_short(before.get(name, 'none'), facts[name])}"


def _short(before: str, now: str) -> str:
    """Show where two texts begin to differ, in a line."""
    equal = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False))))
    start = max(equal - 20, 0)
    return f"{before[start : start + 60]!r} then, {now[start : start + 60]!r} now"


@contextmanager
def _locked(folder: Path, target: Path) -> Iterator[None]:
    """Hold the lock of a state; the system lets go of it when the process ends, however it ends."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise StoreMismatch(
                f"{target}: another run is making this cube now; wait for it, or choose another output with "
                "-o"
            ) from err
        except OSError as err:
            # Some network file systems have no locks.
            logger.warning(
                "%s: cannot be locked (%s): make sure that only one run makes this cube at a time",
                target,
                err,
            )
        yield
