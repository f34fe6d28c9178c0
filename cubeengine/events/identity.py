"""Which version of a run something was made for: told by its files and by the times of its events.

A file of the same size and time stamp is taken to be the same file. Where these differ, its content is
asked: all of it for small files, blocks of it for large ones. A small file that was copied or touched is so
known to be the same; of a large one it is likely, and the user is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np

from cubeengine.budget import format_size
from cubeengine.events.run import Run
from cubeengine.sources.base import Source
from cubeengine.sources.joined import JoinedSource
from cubeengine.types import InputFile

WHOLE_NBYTES = 256 * 2**20
"""Runs of files up to this size, all together, are hashed whole: a third of a second."""

BLOCK_NBYTES, N_BLOCKS = 2**16, 64
"""Of larger ones so many blocks, spread over all files, the first and the last of each file among them."""


class Sameness(StrEnum):
    """How a run compares with the one that something was made for."""

    SAME = "same"  # the same files, or files of the same content
    LIKELY = "likely"  # as far as was looked: files too large to be read whole
    CHANGED = "changed"  # the same events, other content
    OTHER = "other"  # other events


@dataclass(frozen=True, slots=True)
class FileMark:
    """A file of a run.

    Attributes
    ----------
    name : str
        Its name, for messages: a file may be moved.
    size, mtime_ns : int
        As it was when the run was opened.
    digest : str
        Hash of its content; "" where that was not found.
    """

    name: str
    size: int
    mtime_ns: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run is known by."""

    n_events: int  # its events
    times: str  # hash of their times
    files: tuple[FileMark, ...]
    """Those that say which events there are: of smallData joined with raw data, the former."""
    whole: bool = True  # whether the digests of the files are of all their content

    @classmethod
    def of(cls, run: Run) -> Self:
        """Describe a run; reads nothing but the times, which are in memory."""
        files = leading_files(run.source)
        times = np.ascontiguousarray(run.timestamps).astype("<u8", copy=False)
        return cls(
            run.n_events,
            hashlib.blake2b(times.data.cast("B") if times.size else b"", digest_size=16).hexdigest(),
            tuple(FileMark(file.path.name, file.size, file.mtime_ns) for file in files),
            sum(file.size for file in files) <= WHOLE_NBYTES,
        )

    def with_digests(self, files: Sequence[InputFile]) -> Identity:
        """Return the same with hashes of those files that are there and still as they were opened."""
        digests = _digests(files, whole=self.whole)
        marks = zip(self.files, digests, strict=True)
        return replace(self, files=tuple(replace(mark, digest=digest) for mark, digest in marks))

    def compare(self, run: Run) -> Sameness:
        """Return whether a run is the one that this was found of."""
        now = Identity.of(run)
        if (now.n_events, now.times) != (self.n_events, self.times):
            return Sameness.OTHER
        if [(file.size, file.mtime_ns) for file in now.files] == [
            (file.size, file.mtime_ns) for file in self.files
        ]:
            return Sameness.SAME
        if [file.size for file in now.files] != [file.size for file in self.files]:
            return Sameness.CHANGED
        found = now.with_digests(leading_files(run.source))
        if "" in self._digests or found._digests != self._digests:
            return Sameness.CHANGED
        return Sameness.SAME if self.whole else Sameness.LIKELY

    @property
    def _digests(self) -> tuple[str, ...]:
        return tuple(file.digest for file in self.files)

    def to_json(self) -> str:
        """Return text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            plain: dict[str, Any] = json.loads(text)
            files = tuple(FileMark(**file) for file in plain.pop("files"))
            return cls(files=files, **plain)
        except (TypeError, KeyError, AttributeError) as err:
            raise ValueError(f"is not the identity of a run ({err})") from err

    def __str__(self) -> str:
        names = ", ".join(f"{file.name} of {format_size(file.size)}" for file in self.files[:2])
        more = f" and {len(self.files) - 2} more files" if len(self.files) > 2 else ""
        return f"{self.n_events:,} events in {names or 'memory'}{more}"


def leading_files(source: Source) -> tuple[InputFile, ...]:
    """Return the files that say which events there are: of joined data, those of smallData."""
    return source.smalldata.files if isinstance(source, JoinedSource) else source.files


def _digests(files: Sequence[InputFile], *, whole: bool) -> Iterator[str]:
    blocks = max(N_BLOCKS // max(len(files), 1), 2)
    for file in files:
        try:
            digest = _whole(file.path) if whole else _sampled(file.path, file.size, blocks)
            unchanged = InputFile.of(file.path) == file
        except OSError:
            unchanged = False
        yield digest if unchanged else ""


def _whole(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _sampled(path: Path, size: int, n_blocks: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for place in np.linspace(0, max(size - BLOCK_NBYTES, 0), n_blocks).astype(int).tolist():
            file.seek(place)
            digest.update(file.read(BLOCK_NBYTES))
    return digest.hexdigest()
