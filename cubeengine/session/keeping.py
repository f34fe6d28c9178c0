"""Keeping a session from one time to the next: what was loaded, what is new, and when it is saved."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

from cubeengine.errors import CubeEngineError, StoreMismatch
from cubeengine.events.run import Run
from cubeengine.session.saving import Opened, free_name, places, save_notes, saved_place
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
    unasked : bool
        Whether files may be written without being asked for; else only `save` writes one.
    """

    def __init__(self, run: Run, opened: Opened, *, unasked: bool = True) -> None:
        self._unasked = unasked
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

    @property
    def may_write(self) -> bool:
        """Whether the session has a file, or may write one without being asked."""
        return self.can_save and self._unasked

    def file_of_variables(self) -> Path:
        """Return the file that holds the arrays as they are now; saves them where it does not."""
        if self.path is None or not self._saved.holds_arrays_of(self.notes) or self._in_the_way:
            return self._save_unasked()
        return self.path

    def save(self, *, overwrite: bool = False) -> Path:
        """Save the notes; see `Session.save`."""
        if (reason := self._in_the_way) and not overwrite:
            raise StoreMismatch(
                f"{self._place}: {reason}; run.save(overwrite=True) replaces it, and keeps a copy under "
                "another name"
            )
        self._unasked = True
        return self._save_to(self._wanted)

    def close(self) -> Path | None:
        """Save what is not saved yet: when the session ends, nobody is there to answer a question.

        Returns the file; None where there was nothing to save.
        """
        if self.is_saved or not self.may_write or os.getpid() != self._process:
            return None
        return self._save_unasked()

    def _save_unasked(self) -> Path:
        """Save without a word from the user: beside a file that this session may not replace."""
        reason, place = self._in_the_way, self._place
        if not reason:
            return self.save()
        path = self._save_to([free_name(wanted) for wanted in self._wanted])
        told = "%s was not replaced: %s; this session was saved in %s; open it with saved=%r"
        _LOG.warning(told, place, reason, path, str(path))
        return path

    def _save_to(self, wanted: Sequence[Path]) -> Path:
        self.path, kept = save_notes(self.run, self.notes, wanted, mine=self._stamp if self._taken else None)
        if kept is not None:
            _LOG.warning("the former content of %s was kept in %s", self.path, kept)
        self._saved, self._stamp, self._taken = self.notes, InputFile.of(self.path), True
        return self.path

    def _close_quietly(self) -> None:
        try:
            self.close()
        except CubeEngineError as err:
            _LOG.error("the session of run %s was not saved: %s", self.run.label, err)

    @property
    def _in_the_way(self) -> str:
        """Why the file that is there must not be replaced; "" where it may be."""
        if not (self.can_save and self._place.is_file()):
            return ""
        if self._stamp is None:
            return "it holds a saved session of this run that was not loaded"
        if InputFile.of(self._place) != self._stamp:
            return "another session of this run was saved in it after this one was opened"
        return ""

    @property
    def _wanted(self) -> Sequence[Path]:
        """Places to save to, best first: only the file itself where the user has named one."""
        if self.path is not None and self.path not in self._places:
            return [self.path]
        return sorted(self._places, key=lambda place: place != self._place)

    @property
    def _place(self) -> Path:
        """Where the session is, or would be, saved."""
        return self.path or saved_place(self._places) or self._places[0]
