"""The run beneath a session, as `Run` has it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cubeengine.events.field import Field
from cubeengine.events.group import FieldGroup
from cubeengine.events.run import Run
from cubeengine.events.scan import Scan
from cubeengine.events.table import FieldTable


class RunView(ABC):
    """Fields and events of a run, which is another one whenever something was added."""

    @property
    @abstractmethod
    def run(self) -> Run:
        """The immutable run, with all that was added."""

    @property
    def fields(self) -> FieldTable:
        """All fields by name, with what was added; a table when shown."""
        return self.run.fields

    @property
    def n_events(self) -> int:
        """Events of the run."""
        return self.run.n_events

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""
        return self.run.time

    @property
    def timestamps(self) -> NDArray[np.uint64]:
        """(n_events,) packed time as the facility writes it, rising."""
        return self.run.timestamps

    @property
    def scan(self) -> Scan:
        """What the scan of this run moved."""
        return self.run.scan

    def __getitem__(self, name: str) -> Field | FieldGroup:
        return self.run[name]

    def field(self, name: str) -> Field:
        """Return one field by its whole name."""
        return self.run.field(name)

    def __contains__(self, name: object) -> bool:
        return name in self.run

    def __iter__(self) -> Iterator[str]:
        return iter(self.run)

    def __len__(self) -> int:
        return len(self.run)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.run)
