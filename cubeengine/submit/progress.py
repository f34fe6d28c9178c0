"""How far a run in a batch job is: a small file that the run writes and ``cubeengine jobs`` reads."""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

VARIABLE = "CUBEENGINE_PROGRESS"
"""Environment variable that names the file."""
WRITE_SECONDS = 5.0
MAX_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a run.

    Attributes
    ----------
    done, total : int
        Input bytes.
    seconds : float
        Since the workers were ready.
    ended : str
        "" while it runs, then "made", "stopped" (by a signal) or "failed".
    updated : float
        When this was written, in seconds since 1970.
    """

    done: int = 0
    total: int = 0
    seconds: float = 0.0
    ended: str = ""
    updated: float = 0.0

    @property
    def rate(self) -> float:
        """Bytes per second so far."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


class ProgressFile:
    """Writes the file every few seconds; that it cannot be written does not disturb the run.

    Parameters
    ----------
    path : Path
        The file; replaced as a whole.
    """

    def __init__(self, path: Path, *, every: float = WRITE_SECONDS) -> None:
        self._path, self._every = path, every
        self._seen, self._due = Seen(), 0.0

    def update(self, done: int, total: int, seconds: float) -> None:
        """Note how far the run is."""
        self._seen = Seen(done, total, seconds)
        if time.monotonic() >= self._due:
            self._write()

    def close(self, ended: str) -> None:
        """Note how the run ended."""
        self._seen = replace(self._seen, ended=ended)
        self._write()

    def _write(self) -> None:
        self._due = time.monotonic() + self._every
        text = json.dumps(asdict(replace(self._seen, updated=time.time())))
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            temporary.write_text(text)
            temporary.replace(self._path)


def read_progress(path: Path) -> Seen | None:
    """Read what a run wrote; None where there is nothing, or nothing of ours."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(MAX_BYTES))
        seen = Seen(
            int(data["done"]), int(data["total"]), float(data["seconds"]), str(data["ended"]),
            float(data["updated"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return seen if math.isfinite(seen.seconds) and math.isfinite(seen.updated) else None
