"""Beginning a session: in a notebook with one line."""

from __future__ import annotations

from collections.abc import Mapping

from cubeengine.errors import SpecError
from cubeengine.events.opening import Files, open_run
from cubeengine.events.run import Run
from cubeengine.schema.calls import told
from cubeengine.session.saving import Saved
from cubeengine.session.session import Session


@told("ce.explore")
def explore(
    source: Files | Run | Session,
    run: int | None = None,
    *,
    xtc: Files | None = None,
    units: Mapping[str, str] | None = None,
    saved: Saved | None = "check",
) -> Session:
    """Open a run to explore, with the variables, units and selections of the last session.

    Parameters
    ----------
    source, run, xtc
        The run, as `open_run` takes it: a file, a directory, ``"experiment:run"``; or a run that is open.
        A session is returned as it is.
    units : mapping of field name to unit, optional
        Units of fields; files carry none.
    saved : "check", "accept", "recipes", "ignore", path, or None
        What was saved last time belongs to the files as they were then. "check" refuses it where they have
        changed; "accept" takes it if the events are the same; "recipes" takes units, derived variables and
        selections, and no arrays; "ignore" begins anew. A path takes the session of that file. None begins
        anew and saves nothing at the end, as a script wants it that leaves your sessions alone. What is not
        taken stays on the disk.

    Raises
    ------
    SpecError
        If there is no such run.
    SourceFormatError
        If its files, or what was saved, cannot be read.
    StoreMismatch
        If the files have changed since; the message names what can be done.

    Examples
    --------
    >>> run = explore("cubeengine-demo", units={"scan/lxt": "s"})
    >>> run.add("ratio", "diode2__channels[3] / ipm2__sum")
    >>> "ratio" in run
    True
    """
    if isinstance(source, Run | Session) and (run is not None or xtc is not None):
        raise SpecError("the run is already open; leave out run and xtc, or give the paths of its files")
    if isinstance(source, Session):
        session = source
    else:
        opened = source if isinstance(source, Run) else open_run(source, run, xtc=xtc)
        session = Session(opened, saved=saved)
    if units:
        session.declare(units)
    return session
