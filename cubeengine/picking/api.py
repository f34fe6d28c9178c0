"""What a notebook calls: pick events of a run, look at what that takes, compute or write them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cubeengine.api import HasPlans, Plan, open_spec, plan, plan_hint, run_and_spec, run_of
from cubeengine.budget import Budget, parse_size
from cubeengine.engine import Result, run_to_store
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.launch.base import Executor
from cubeengine.picking.candidates import Picked, pick_events
from cubeengine.picking.compile import PickInputs, compile_picks
from cubeengine.picking.explain import explain_picks, pick_facts
from cubeengine.picking.output import pick_output
from cubeengine.picking.plan import PickWork, make_work, stored_name
from cubeengine.picking.spec import PickSpec, kind_of_spec
from cubeengine.planning.bind import Bound, bind
from cubeengine.planning.cost import Tuning
from cubeengine.planning.output import Output
from cubeengine.planning.sample import Sample
from cubeengine.planning.warn import check_bins, plan_warnings
from cubeengine.planning.wasteful import large_output
from cubeengine.progress import PLANNING, OnProgress, working
from cubeengine.schema.calls import as_path, no_attribute, told, told_methods
from cubeengine.schema.problems import Problem
from cubeengine.schema.texts import counted
from cubeengine.spec.check import read_text
from cubeengine.spec.model import CubeSpec
from cubeengine.types import FieldKind

if TYPE_CHECKING:
    import xarray as xr

FIDUCIALS = "fiducials"
"""Event numbers of LCLS-I, kept with the events where the run has them."""


def open_pick_spec(
    path: str | Path, *, overrides: Mapping[str, object] | None = None
) -> tuple[PickSpec, Run]:
    """Read a spec of picked events and open the run it means; see `open_spec`, also for the errors."""
    spec = PickSpec.load(path, overrides=overrides or {})
    return spec, run_of(spec, path, overrides=overrides)


def open_any_spec(path: str | Path, *, overrides: Mapping[str, object] | None = None) -> tuple[CubeSpec, Run]:
    """Read a spec of either kind, a `PickSpec` if it has a section `pick`; see `open_spec`."""
    kind = kind_of_spec(read_text(Path(path)), overrides)
    return (open_pick_spec if kind is PickSpec else open_spec)(path, overrides=overrides)


def plan_any(
    run: Run,
    spec: CubeSpec,
    *,
    memory: str | int | None = None,
    events: int | None = None,
    every: int | None = None,
    force: bool = False,
) -> Plan | PickPlan:
    """Plan what a spec of either kind asks for; see `plan` and `pick`."""
    if isinstance(spec, PickSpec):
        return pick(run, spec, memory=memory, events=events, every=every, force=force)
    return plan(run, spec, memory=memory, events=events, every=every, force=force)


@told("ce.pick")
def pick(
    run: Run | HasPlans | str | Path,
    spec: PickSpec | Mapping[str, Any] | str | Path,
    *,
    memory: str | int | None = None,
    events: int | None = None,
    every: int | None = None,
    tuning: Tuning | None = None,
    force: bool = False,
) -> PickPlan:
    """Pick events: select and bin the events and choose the best of every bin; reads scalars only.

    Parameters
    ----------
    run : Run, session or path
        From `open_run`, or what that takes.
    spec : PickSpec, dict or path
        What to pick, or the file that says it.
    memory : str or int, optional
        Memory per worker, e.g. "4 GiB". Default: that of the spec.
    events, every : int, optional
        A quick try on the first so many events, or on every n-th; marked as such in the store.
    tuning : Tuning, optional
        Sizes that the work is cut by.
    force : bool
        Whether nearly all events may be in one of several bins, or all outside: mostly a wrong unit.

    Returns
    -------
    PickPlan
        Explains itself when printed.

    Raises
    ------
    SpecError
        If the spec does not fit the run, lists all problems; or it is that of a cube.
    BudgetExceeded
        If the events do not fit the memory.

    Examples
    --------
    >>> import numpy as np
    >>> import cubeengine as ce
    >>> frames = np.arange(24, dtype=np.uint16).reshape(6, 2, 2)
    >>> run = ce.Run(ce.MemorySource({"i0": np.array([1.0, 5.0, 2.0, 9.0, np.nan, 3.0]), "frame": frames}))
    >>> best = ce.Pick(field="i0", which="largest", events=2)
    >>> spec = ce.PickSpec(cube="best", signals=["frame"], pick=best)
    >>> picked = ce.pick(run, spec).compute(workers=1)
    >>> picked["i0_value"].values.tolist()
    [[9.0, 5.0]]
    >>> bool((picked["frame"][0, 0] == frames[3]).all())
    True
    """
    run, wanted = run_and_spec(run, spec, PickSpec)
    if not isinstance(wanted, PickSpec):
        raise SpecError(
            "this spec has no section 'pick', so it describes a cube; use ce.plan, or "
            "ce.PickSpec for picked events"
        )
    budget = Budget(parse_size(memory) if memory is not None else wanted.resources.memory)
    with working(PLANNING):
        bound = bind(run, wanted, sample=Sample(events, every), further=_further(run, wanted))
        if not force:
            check_bins(bound)
        return PickPlan(bound, wanted, pick_events(bound, wanted, budget), budget, tuning)


def _further(run: Run, spec: PickSpec) -> dict[str, str]:
    """Return what is read beside the spec's signals: the values events are judged by, and their fiducials."""
    found = {}
    field, name = spec.pick.field, spec.pick.value_name
    if field is not None and name is not None and field not in {axis.field for axis in spec.axes}:
        found[name] = field
    taken = {signal.variable for signal in spec.signals} | {axis.variable for axis in spec.axes}
    known = run.aligned(spec.run.events).fields if spec.run.events else run.fields
    info = known.get(FIDUCIALS)
    if info is not None and info.kind is FieldKind.EVENT and not info.shape and FIDUCIALS not in taken:
        found[FIDUCIALS] = FIDUCIALS
    return found


@told_methods("plan")
class PickPlan:
    """Picked events of one run: print it, then compute or write them.

    Parameters
    ----------
    bound : Bound
        The spec on its run: masks, bins, cut flows, fates.
    spec : PickSpec
        What was asked for.
    picked : Picked
        Which events.
    budget : Budget
        Memory of one worker.
    tuning : Tuning, optional
        Sizes that the work is cut by.
    """

    def __init__(
        self, bound: Bound, spec: PickSpec, picked: Picked, budget: Budget, tuning: Tuning | None = None
    ) -> None:
        self.bound, self.spec, self.picked, self.budget = bound, spec, picked, budget
        self._readers = {signal.name: bound.run.reader(signal.source) for signal in bound.signals}
        self.work: PickWork = make_work(bound, picked, self._readers, budget, tuning)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or hasattr(type(self), name):
            object.__getattribute__(self, name)
        no_attribute("a plan", name, dir(type(self)), plan_hint(name))

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        n_picked = int(self.picked.n_picked.sum())
        picked, tasks = counted(n_picked, "event"), counted(self.work.n_tasks, "task")
        return f"<PickPlan of {self.spec.cube!r}: {picked}, {tasks}>"

    def explain(self) -> str:
        """Describe cut flow, bins, what was picked, what is read and written, memory, and warnings."""
        return explain_picks(self.bound, self.spec, self.work, self.budget, self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """Return the same facts as plain data."""
        return pick_facts(self.bound, self.spec, self.work, self.budget, self.warnings)

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but probably not meant."""
        slots = f"{self.picked.events.size:,} slots for events"
        found = large_output(self.work.output_nbytes, self.work.read_nbytes, slots)
        return (*plan_warnings(self.bound), *found)

    def compute(
        self,
        *,
        launcher: str | Executor = "threads",
        workers: int | None = None,
        on_progress: OnProgress = None,
    ) -> xr.Dataset:
        """Read the picked events into memory.

        Parameters
        ----------
        launcher, workers, on_progress
            As for `Plan.compute`.

        Returns
        -------
        xarray.Dataset
            As the store holds it.
        """
        import tempfile

        from cubeengine.store.read import open_cube

        with tempfile.TemporaryDirectory(prefix="cubeengine-") as folder:
            path = Path(folder) / "picked.zarr"
            result = self.to_zarr(path, launcher=launcher, workers=workers, on_progress=on_progress)
            return open_cube(result.path).load()

    def to_zarr(
        self,
        path: str | Path,
        *,
        launcher: str | Executor = "threads",
        workers: int | None = None,
        overwrite: bool = False,
        resume: bool = False,
        on_progress: OnProgress = None,
    ) -> Result:
        """Read the picked events and publish them as a zarr store; see `Plan.to_zarr`."""
        return run_to_store(
            self.work,
            partial(compile_picks, self.work, self._inputs),
            self._output,
            as_path(path, "the store", "'picked.zarr'"),
            launcher=launcher,
            workers=workers,
            budget=self.budget,
            overwrite=overwrite,
            resume=resume,
            may_skip=self.spec.on_error == "skip",
            on_progress=on_progress,
        )

    @property
    def _inputs(self) -> PickInputs:
        names = {signal.name: stored_name(self.bound, signal) for signal in self.bound.signals}
        pipelines = {names[s.name]: s.pipeline for s in self.bound.signals if s.pipeline is not None}
        readers = {names[name]: reader for name, reader in self._readers.items()}
        return PickInputs(readers, pipelines, self.bound.run.rows, self.spec.on_error)

    @property
    def _output(self) -> Output:
        coordinates = {
            stored_name(self.bound, signal): signal.coordinates(self.bound.run)
            for signal in self.bound.signals
        }
        return pick_output(self.bound, self.spec, self.work, self.budget, coordinates)
