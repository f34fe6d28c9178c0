"""Pedestals of a run: choose the events, look at a sample, add all of them up, judge every pixel."""

from __future__ import annotations

import functools
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine.budget import DEFAULT_MEMORY, Budget, parse_size
from cubeengine.engine import window_of
from cubeengine.errors import SpecError
from cubeengine.events.opening import HasRun, as_source
from cubeengine.events.run import Run
from cubeengine.graph.inputs import reader_in_files
from cubeengine.graph.work import WorkFolder
from cubeengine.launch import launched
from cubeengine.launch.base import Executor
from cubeengine.pedestals.dark import Finding, frame_findings, refuse, scalar_findings
from cubeengine.pedestals.finishing import Slotted, finished
from cubeengine.pedestals.limits import Limits
from cubeengine.pedestals.request import FEWEST_FOR_MEDIAN, Request, Rule, Select, make_request
from cubeengine.pedestals.result import Pedestal
from cubeengine.pedestals.tasks import Estimates, Evidence, Job, Windows
from cubeengine.pedestals.work import Frames, Work, cut, pass_graph, sample_graph
from cubeengine.progress import Progress
from cubeengine.schema.calls import told
from cubeengine.shared import SharedArray, in_files
from cubeengine.types import IntArray

OnProgress = Callable[[Progress], None]

CLIP = 5.0
"""Half width of what counts, in standard deviations: all but 6e-7 of a normal distribution."""

FEWEST = 50
"""Values of a pixel in a range that an estimate needs: noise is then known to a tenth."""

SAMPLED = 256
"""Events that are looked at first, spread over all."""

MAX_SUM = 2**62


@told("ce.pedestal")
def pedestal(
    run: Run | HasRun,
    detector: str,
    *,
    select: Select = None,
    merge: str | Path | None = None,
    limits: Limits | None = None,
    kind: str | None = None,
    accept: Sequence[str] = (),
    clip: float = CLIP,
    fewest: int = FEWEST,
    launcher: str | Executor = "threads",
    workers: int | None = None,
    memory: str | int = DEFAULT_MEMORY,
    folder: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> Pedestal:
    """Compute pedestal, noise and status of every pixel of a detector from dark events.

    Parameters
    ----------
    run : Run
        From `open_run`; or what has one, as a session.
    detector : str
        The detector, "jungfrau", or the field of its raw frames, "jungfrau/raw/raw".
    select : str, mapping, Cut, Selection or mask, optional
        Which events are dark: an expression, what a spec has under `select`, or booleans over the events.
        Default: all.
    merge : path, optional
        A file of constants that gives what these events do not: gains, masks, geometry, and pedestals of
        gain ranges that are not in these data.
    limits : Limits, optional
        What a good pixel is. Default: what is usual for the kind of detector.
    kind : str, optional
        Kind of detector; default: what the raw data say.
    accept : names of checks, optional
        Checks whose answer "not dark" is passed over; recorded in the file.
    clip : float
        Values of a pixel farther than so many standard deviations from its median are rejected.
    fewest : int
        Values that a pixel needs in a gain range, 16 or more; with fewer its constants there are NaN.
    launcher, workers
        As for `Plan.compute`.
    memory : str or int
        Memory of one worker, e.g. "4 GiB".
    folder : path, optional
        A folder that all workers see, for files of the work. Default: the system's temporary one.
    on_progress : callable, optional
        Called with a `Progress` as parts of the input are done.

    Returns
    -------
    Pedestal
        Tells what came out when printed; `.plot()` draws it, `.save(path)` writes the file of constants.

    Raises
    ------
    NotDark
        If the events are not dark, with everything that tells so.
    SpecError
        If there is no such detector, or an argument does not fit.
    BudgetExceeded
        If the work does not fit the memory.

    Notes
    -----
    A sample of events, spread over all, gives each pixel and gain range a median and, from the median
    absolute deviation, a window of `clip` standard deviations either side. One pass over all events adds up
    what lies in the windows, in whole numbers: the result is the same to the last bit for any memory,
    launcher and number of workers. Mean and noise are those of the normal distribution that explains best
    what is seen in the window (Cohen, Ann. Math. Stat. 21 (1950) 557); the variance is that with count - 1.

    Examples
    --------
    >>> dark = pedestal(ce.open_run("cubeengine-demo/dark"), "jungfrau")
    >>> path = dark.save("jungfrau.h5")
    """
    given = as_source(run)
    run = given if isinstance(given, Run) else given.run
    rule = Rule(clip, fewest, limits or Limits(), frozenset(accept))
    path = None if merge is None else Path(merge)
    request = make_request(run, detector, rule, select=select, kind=kind, merge=path)
    findings = list(scalar_findings(run, request.chosen))
    refuse(findings, rule.accepted, request.label)
    budget = Budget(parse_size(memory))
    with _folder(folder) as space, launched(launcher, workers, budget) as executor:
        passes = _Passes.prepared(request, budget, executor, space, on_progress)
        windows, first = passes.look()
        found = passes.add(windows)
    judged = {item.check: item for item in frame_findings(found.evidence, request.kind, clip)}
    refuse(list(judged.values()), rule.accepted, request.label)
    sampled = [item for item in first if item.check not in judged]  # skewness is that of the sample
    return finished(request, found, [*findings, *sampled, *judged.values()])


@contextmanager
def _folder(beside: str | Path | None) -> Iterator[WorkFolder]:
    folder = WorkFolder(None if beside is None else Path(beside))
    try:
        yield folder
    finally:
        folder.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Passes:
    """The two passes over the events: over a sample, and over all."""

    request: Request
    job: Job
    work: Work
    executor: Executor
    space: WorkFolder
    sample_nbytes: int
    track: _Tracker

    @classmethod
    def prepared(
        cls,
        request: Request,
        budget: Budget,
        executor: Executor,
        space: WorkFolder,
        on_progress: OnProgress | None,
    ) -> _Passes:
        """Cut the work, and put what tasks share into files."""
        rows = request.rows
        sample = rows[_spread(len(rows), SAMPLED)]
        reader = reader_in_files(request.run.reader(request.field), "frames", space)
        frames = Frames(
            reader, request.panels.count * request.panels.n_elements, request.slots.n_slots,
            request.kind.ranges, len(rows), len(sample),
        )  # fmt: skip
        work = cut(frames, budget, executor.threads, separate=executor.separate)
        rule = request.rule
        job = Job(
            key=request.key(),
            reader=reader,
            rows=in_files(SharedArray(rows), space.save, "rows"),
            sample=in_files(SharedArray(sample), space.save, "sample"),
            slots=in_files(request.slots, space.save, "slots"),
            tiles=work.tiles,
            block_nbytes=work.block_nbytes,
            clip=rule.clip,
            fewest_sampled=FEWEST_FOR_MEDIAN,
            fewest=rule.fewest,
            most_rejected=rule.limits.rejected,
        )
        frame_nbytes = frames.n_elements * reader.dtype.itemsize
        looked = frame_nbytes * len(sample) // len(work.tiles) * len(work.tiles)
        track = _Tracker(looked + frame_nbytes * len(rows), executor.description, on_progress)
        return cls(request, job, work, executor, space, looked, track)

    def look(self) -> tuple[list[Windows], list[Finding]]:
        """Find the windows of every part of the frame in a sample; events that are not dark end here."""
        graph, names = sample_graph(self.job)
        windows: dict[str, Windows] = {}
        evidence: dict[str, Evidence] = {}

        def keep(name: str, value: Any) -> None:
            found, evidence[name] = value
            windows[name] = in_files(found, self.space.save, name)
            self.track(self.sample_nbytes // len(names))

        self.executor.run(graph, names, keep, threads=self.work.threads)
        rule = self.request.rule
        whole = functools.reduce(operator.add, (evidence[name] for name in names))
        findings = list(frame_findings(whole, self.request.kind, rule.clip))
        refuse(findings, rule.accepted, self.request.label)
        return [windows[name] for name in names], findings

    def add(self, windows: Sequence[Windows]) -> Slotted:
        """Add all events up."""
        self._check_sums(windows)
        ahead = window_of(self.executor, self.work.threads)
        passed = pass_graph(self.job, windows, self.work, ahead=ahead)
        found = Slotted(self.job.slots.n_slots, self.work.tiles[-1][1], self.request.n_events)
        places = dict(zip(passed.results, self.work.tiles, strict=True))

        def keep(name: str, value: Estimates | None) -> None:
            if isinstance(value, Estimates):
                found.put(places[name], value)
            else:
                self.track(passed.weights[name])

        names = [*passed.weights, *passed.results]
        self.executor.run(passed.graph, names, keep, threads=self.work.threads)
        return found

    def _check_sums(self, windows: Sequence[Windows]) -> None:
        """Check that sums of squares cannot overflow."""
        widest = max((int(part.half.load().max(initial=0)) for part in windows), default=0)
        if self.request.n_events * widest**2 > MAX_SUM:
            raise SpecError(
                f"the values of a pixel spread over {2 * widest:,} ADU, too far for sums over "
                f"{self.request.n_events:,} events; check that these are raw frames, or select fewer events"
            )


class _Tracker:
    """Adds up the input that is dealt with, and passes it on."""

    def __init__(self, total: int, message: str, on_progress: OnProgress | None) -> None:
        self._total, self._message, self._on_progress = total, message, on_progress
        self._done, self._start = 0, time.perf_counter()
        self(0)

    def __call__(self, nbytes: int) -> None:
        self._done += nbytes
        if self._on_progress is not None:
            seconds = time.perf_counter() - self._start
            self._on_progress(Progress(self._done, self._total, seconds, self._message))


def _spread(n_events: int, most: int) -> IntArray:
    """Return numbers of events, spread evenly over all, at most so many."""
    if n_events <= most:
        return np.arange(n_events)
    return np.linspace(0, n_events - 1, most).astype(np.int64)
