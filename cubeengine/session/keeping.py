"""Keeping a session from one time to the next: what was loaded, what is new, and when it is saved."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from pathlib import Path

from cubeengine.errors import CubeEngineError, StoreMismatch
from cubeengine.events.run import Run
from cubeengine.session.saving import Opened, free_name, places, save_notes
from cubeengine.types import InputFile

_LOG = logging.getLogger(__name__)


class Keeper:
    """Holds the notes of a session, and saves them. Outlives the session: it is asked last, at its end.

    Parameters
    ----------
    run : Run
        The run as opened.
    opened : Opened
        What was there from last time.
    """

    def __init__(self, run: Run, opened: Opened) -> None:
        self.run, self.notes, self.remarks = run, opened.notes, opened.remarks
        self.loaded_from = opened.path if opened.stamp and opened.notes.is_empty is False else None
        self.path = opened.path
        self._saved, self._stamp, self._taken = opened.notes, opened.stamp, opened.taken
        self._process, self._places = os.getpid(), places(run)

    def close_with(self, owner: object) -> None:
        """Save when `owner` is no longer used, or else when the process ends.

        The end of the process is waited for by `atexit` itself, from now on: weakref's own turn may come
        after that of the HDF5 library, which would be too late.
        """
        import h5py  # noqa: F401 - before us in the order of the end

        finalizer = weakref.finalize(owner, self._close_quietly)
        finalizer.atexit = False
        atexit.register(finalizer)

    @property
    def is_saved(self) -> bool:
        """Whether nothing was told since it was loaded or saved."""
        return self.notes is self._saved

    @property
    def can_save(self) -> bool:
        """Whether the run is of files, beside which a session can be kept."""
        return bool(self._places)

    def file_of_variables(self) -> Path:
        """Give the file that holds the arrays as they are now; saves them where it does not."""
        if self.path is None or not self._saved.holds_arrays_of(self.notes) or self._is_others():
            self.save()
        return self.path or self.save()

    def save(self, *, overwrite: bool = False) -> Path:
        """Save the notes; see `Session.save`."""
        if self._is_others() and not overwrite:
            raise StoreMismatch(
                f"{self.path}: another session of this run was saved there since this one was opened; "
                "run.save(overwrite=True) takes its place, and keeps it under another name"
            )
        wanted = list(dict.fromkeys([*([self.path] if self.path else []), *self._places]))
        self.path = save_notes(self.run, self.notes, wanted, aside=self._is_others() or not self._taken)
        self._saved, self._stamp, self._taken = self.notes, InputFile.of(self.path), True
        return self.path

    def close(self) -> Path | None:
        """Save what is not saved yet: when the session ends, nobody is there to answer a question.

        What another session has saved meanwhile stays; this one is then saved beside it. Gives the file;
        None where there was nothing to save.
        """
        if self.is_saved or not self.can_save or os.getpid() != self._process:
            return None
        if not self._is_others():
            return self.save()
        path = save_notes(self.run, self.notes, [free_name(self._place)])
        self._saved = self.notes
        _LOG.warning("another session was saved to %s meanwhile; this one is in %s", self._place, path)
        return path

    def _close_quietly(self) -> None:
        try:
            self.close()
        except CubeEngineError as err:
            _LOG.error("the session of run %s is not saved: %s", self.run.label, err)

    def _is_others(self) -> bool:
        """Tell whether the file is not the one that this session has read or written."""
        return self.can_save and self._place.is_file() and InputFile.of(self._place) != self._stamp

    @property
    def _place(self) -> Path:
        """Where the session is, or would be, saved."""
        return self.path or self._places[0]
