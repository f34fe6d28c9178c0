"""What a notebook calls: open a run, plan a cube, compute it or write it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from cubeengine.budget import Budget, parse_size
from cubeengine.engine import Result, run_to_store
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.events.locate import Located, locate, run_id
from cubeengine.events.opening import as_source, open_located, open_run, with_raw
from cubeengine.events.run import Run
from cubeengine.events.table import html_table
from cubeengine.events.variables import with_saved_variables
from cubeengine.graph.compile import compile_plan
from cubeengine.graph.inputs import SignalInput
from cubeengine.graph.lazy import lazy_arrays
from cubeengine.graph.work import WorkFolder
from cubeengine.launch.base import Executor
from cubeengine.planning.bind import Bound, bind
from cubeengine.planning.cost import Tuning
from cubeengine.planning.explain import explain, plan_facts
from cubeengine.planning.make import make_plan
from cubeengine.planning.output import Output, cube_output, statistic_attrs, statistic_dims
from cubeengine.planning.plan import CubePlan
from cubeengine.planning.provenance import cube_attributes
from cubeengine.planning.sample import Sample
from cubeengine.planning.warn import check_bins, plan_warnings
from cubeengine.planning.wasteful import large_cube
from cubeengine.progress import PLANNING, OnProgress, working
from cubeengine.schema.calls import as_mapping, as_path, no_attribute, told, told_methods
from cubeengine.schema.problems import Problem
from cubeengine.schema.texts import counted, kind_of
from cubeengine.spec.model import CubeSpec, RunPaths, resolve_paths
from cubeengine.types import RunId

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Plan", "open_run", "open_spec", "plan"]


@told("ce.open_spec")
def open_spec(path: str | Path, *, overrides: Mapping[str, object] | None = None) -> tuple[CubeSpec, Run]:
    """Read a spec and open its run, as the command line does.

    Parameters
    ----------
    path : str or Path
        File of the spec; file names in it are relative to its folder.
    overrides : mapping, optional
        Values that take the place of the file's, by dotted key, e.g. ``{"run.run": 13}``.

    Raises
    ------
    SpecError
        With every problem in the spec; or if it names no run, or another run was asked for than it opens.
    SourceFormatError
        If there is no such run, or it cannot be read.

    Examples
    --------
    >>> spec, run = open_spec("cubeengine-demo/delay.yaml", overrides={"run.run": 12})
    >>> spec.cube, run.n_events
    ('delay', 1500)
    """
    spec = CubeSpec.load(path, overrides=as_mapping(overrides, "overrides", "{'run.run': 13}"))
    return spec, run_of(spec, path, overrides=overrides)


def run_of(spec: CubeSpec, path: str | Path, *, overrides: Mapping[str, object] | None = None) -> Run:
    """Open the run that a spec means: the files it names, else by experiment and run number.

    Parameters
    ----------
    spec : CubeSpec
        Read from the file `path` with these `overrides`; see `open_spec`, also for the errors.
    """
    _check_templates(spec, overrides or {})
    paths = resolve_paths(spec, Path(path).parent)
    opened = _opened(spec, paths, path)
    return opened if paths.variables is None else with_saved_variables(opened, paths.variables)


def _opened(spec: CubeSpec, paths: RunPaths, path: str | Path) -> Run:
    """Open the files that a spec names, else those of its experiment and run."""
    run = spec.run
    if paths.smalldata is not None or paths.xtc:
        return open_located(_located(spec, paths))
    if run.experiment is None or run.run is None:
        raise SpecError(
            f"{path}: the spec names no run; add  run: {{smalldata: FILE}}  or  run: {{xtc: FOLDER}}, or "
            "give -e EXPERIMENT -r RUN on the command line"
        )
    return open_source(f"{run.experiment}:{run.run}")


def _located(spec: CubeSpec, paths: RunPaths) -> Located:
    """Return the files that a spec names, and the run it says they are of."""
    wanted = spec.run
    found = Located(None) if paths.smalldata is None else _locate(str(paths.smalldata))
    if paths.smalldata is not None and found.smalldata is None:
        raise SpecError(f"run.smalldata: {paths.smalldata} is raw data; give it under run.xtc")
    if found.run_id is not None and _differing(spec, found.run_id):
        says = [wanted.experiment, None if wanted.run is None else f"run {wanted.run}"]
        raise SpecError(
            f"run.smalldata: the file says {found.run_id.experiment} run {found.run_id.run}, the spec says "
            f"{' '.join(filter(None, says))}; correct one of them, or write  "
            "{experiment}_Run{run:04d}  in the file's name"
        )
    known = wanted.experiment is not None and wanted.run is not None
    run_id = RunId(wanted.experiment or "", wanted.run or 0) if known else found.run_id
    return Located(found.smalldata, paths.xtc, run_id, wanted.run, wanted.experiment)


def _check_templates(spec: CubeSpec, overrides: Mapping[str, object]) -> None:
    """Refuse an experiment or run that the files' names do not follow: another run's cube is worse.

    Raw data say themselves of which run they are.
    """
    experiment, run = overrides.get("run.experiment"), overrides.get("run.run")
    smalldata, raw = spec.run.smalldata, spec.run.xtc
    xtc = " ".join((raw,) if isinstance(raw, str) else raw or ())
    for key, template in (("smalldata", smalldata), ("xtc", xtc)):
        if template and experiment is not None and not _follows(template, "{experiment}", str(experiment)):
            raise SpecError(_changes_nothing(f"experiment {experiment}", key, template, "{experiment}"))
    named = {int(digits) for digits in re.findall(r"(?i:run)_?([0-9]+)", smalldata or "")}
    if smalldata and run is not None and not ("{run" in smalldata or run in named):
        raise SpecError(_changes_nothing(f"run {run}", "smalldata", smalldata, "{run:04d}"))


def _follows(template: str, place: str, value: str) -> bool:
    return place in template or value in template


def _changes_nothing(what: str, key: str, template: str, missing: str) -> str:
    return f"{what} changes nothing, because run.{key} is always {template!r}; write {missing} in it"


def open_source(source: str, xtc: Sequence[str] = ()) -> Run:
    """Open a run that a user names; see `locate_source`.

    Raises
    ------
    SourceFormatError
        If nothing is there, or it cannot be read.
    """
    return open_located(locate_source(source, xtc))


def locate_source(source: str, xtc: Sequence[str] = ()) -> Located:
    """Find the files of a run that a user names: a file, a directory or experiment:run.

    Parameters
    ----------
    source : str
        What is named.
    xtc : sequence of str
        Raw files, or their directory, beside smallData.

    Raises
    ------
    SpecError
        If an experiment or run is no such name, or `xtc` stands beside raw data.
    SourceFormatError
        If nothing is there.
    """
    name, colon, number = source.partition(":")
    if colon and number.isdecimal() and not Path(source).exists():
        run_id(name, int(number))  # a wrong name is the user's, not missing data
    return with_raw(_locate(source), xtc)


def _locate(source: str) -> Located:
    """Find files; what is not there is missing input."""
    try:
        return locate(source)
    except SpecError as err:
        raise SourceFormatError(str(err)) from err


@runtime_checkable
class HasPlans(Protocol):
    """What holds a run and knows what a plan of it needs, as a session does."""

    def prepared(self, spec: CubeSpec) -> tuple[Run, CubeSpec]:
        """Return the run with what was given to it, and the spec with the file of that."""


def run_and_spec(run: object, spec: object, kind: type[CubeSpec] = CubeSpec) -> tuple[Run, CubeSpec]:
    """Return the run and the spec that are meant: either may be given by its path.

    Raises
    ------
    SpecError
        If they are something else, with the right call.
    """
    call = f"{kind.planned_by}(run, spec)"
    if isinstance(run, CubeSpec | dict) or isinstance(spec, Run):
        raise SpecError(f"the run comes first: {call}")
    if isinstance(spec, str | Path):
        if "\n" in str(spec):
            raise SpecError(f"to read a spec from text, use {kind.__name__}.loads(text): {call}")
        wanted = kind.load(spec)
    else:
        wanted = kind.from_dict(spec) if isinstance(spec, Mapping) else spec  # type: ignore[assignment]
    if not isinstance(wanted, CubeSpec):
        raise SpecError(f"{call} takes a {kind.__name__} or the path of its file, not {kind_of(spec)}")
    source = as_source(run)
    opened = source if isinstance(source, Run) else source.run
    _check_same_run(opened, wanted)
    return source.prepared(wanted) if isinstance(source, HasPlans) else (opened, wanted)


def _check_same_run(run: Run, spec: CubeSpec) -> None:
    """Refuse a spec that names another run than the one it is planned on: the cube would say both."""
    if run.run_id is None:
        return
    if differing := _differing(spec, run.run_id):
        named = ":".join(str(part) for part in (spec.run.experiment, spec.run.run) if part is not None)
        changes = {f"run.{key}": getattr(run.run_id, key) for key in differing}
        raise SpecError(
            f"the spec names run {named}, but the run given is {run.run_id}; leave experiment and run "
            f"out of the spec, or  spec = ce.CubeSpec.load(path, overrides={changes})"
        )


def _differing(spec: CubeSpec, found: RunId) -> list[str]:
    """Return which of `experiment` and `run` a spec gives otherwise than a file says."""
    asked = {"experiment": spec.run.experiment, "run": spec.run.run}
    return [key for key, one in asked.items() if one is not None and one != getattr(found, key)]


@told("ce.plan", "spec, run = ce.open_spec('delay.yaml')  opens both")
def plan(
    run: Run | HasPlans | str | Path,
    spec: CubeSpec | Mapping[str, Any] | str | Path,
    *,
    memory: str | int | None = None,
    events: int | None = None,
    every: int | None = None,
    tuning: Tuning | None = None,
    force: bool = False,
) -> Plan:
    """Plan a cube: select and bin the events, decide all work; reads scalars only.

    Parameters
    ----------
    run : Run, session or path
        From `open_run`, or what that takes.
    spec : CubeSpec, dict or path
        What to make, or the file that says it.
    memory : str or int, optional
        Memory per worker, e.g. "4 GiB". Default: that of the spec.
    events, every : int, optional
        A quick try on the first so many events, or on every n-th; marked as such in the cube.
    tuning : Tuning, optional
        Sizes the planner aims at.
    force : bool
        Whether nearly all events may be in one of several bins, or all outside: mostly a wrong unit.

    Returns
    -------
    Plan
        Explains itself when printed.

    Raises
    ------
    SpecError
        If the spec does not fit the run; lists all problems. If more than 99 % of the selected events are in
        one of several bins, or all outside the bins, unless `force` is given.
    BudgetExceeded
        If the cube does not fit the memory.

    Examples
    --------
    >>> spec, run = open_spec("cubeengine-demo/delay.yaml")
    >>> planned = plan(run, spec, every=10)
    >>> dict(planned.compute()["n_events"].sizes)
    {'selection': 2, 'delay': 21}
    """
    run, spec = run_and_spec(run, spec)
    if spec.planned_by != CubeSpec.planned_by:
        raise SpecError(f"this is a {type(spec).__name__}, not the spec of a cube; use {spec.planned_by}")
    budget = Budget(parse_size(memory) if memory is not None else spec.resources.memory)
    with working(PLANNING):
        bound = bind(run, spec, sample=Sample(events, every))
        if not force:
            check_bins(bound)
        return Plan(bound, make_plan(bound, budget, tuning), budget)


@told_methods("plan")
class Plan:
    """A planned cube of one run: print it, then compute or write it.

    Attributes
    ----------
    bound : Bound
        The spec on its run: masks, bins, cut flows, fates.
    work : CubePlan
        The decided work.
    budget : Budget
        Memory of one worker.
    """

    def __init__(self, bound: Bound, work: CubePlan, budget: Budget) -> None:
        self.bound, self.work, self.budget = bound, work, budget

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or hasattr(type(self), name):
            object.__getattribute__(self, name)
        no_attribute("a plan", name, dir(type(self)), plan_hint(name))

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        tasks, bins = counted(self.work.n_tasks, "task"), counted(self.work.n_bins, "bin")
        return f"<Plan of {self.bound.spec.cube!r}: {tasks}, {bins}>"

    def _repr_html_(self) -> str:
        events = zip(self.bound.selections, self.bound.n_events.sum(axis=1).tolist(), strict=True)
        axes = (f"{axis.name}: {counted(axis.n_bins, 'bin')}" for axis in self.work.axes)
        rows = [
            ("cube", self.bound.spec.cube),
            ("run", self.bound.run.label),
            ("axes", "; ".join(axes) or "none: one bin"),
            ("events in the bins", "; ".join(f"{name}: {n:,}" for name, n in events)),
            ("signals", ", ".join(signal.name for signal in self.work.signals)),
            *(("warning", warning.message) for warning in self.warnings),
        ]
        return html_table(("plan", "print(plan) shows more"), rows)

    def explain(self) -> str:
        """Describe cut flow, bins, strategies with their reasons, memory, and warnings."""
        return explain(self.bound, self.work, self.budget, self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """Return the same facts as plain data."""
        return plan_facts(self.bound, self.work, self.budget, self.warnings)

    @cached_property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed but probably not meant."""
        return (*plan_warnings(self.bound), *large_cube(self.work))

    def lazy(self) -> xr.Dataset:
        """Return the cube as dask arrays: nothing is read until they are computed.

        Computing several of them together reads each byte once.
        """
        import xarray as xr

        from cubeengine.store.attributes import stored_attributes

        folder = WorkFolder()
        compiled = compile_plan(self.work, self._inputs, folder, window=_usual_window())
        output = self._output
        variables: dict[str, Any] = {}
        for name, values in output.small.items():
            layout = output.layout[name]
            variables[name] = xr.Variable(layout.dims, values, dict(layout.attrs))
        for signal in self.work.signals:
            for statistic, array in lazy_arrays(compiled, self.work, signal).items():
                dims = statistic_dims(self.work, signal, statistic)
                attrs = statistic_attrs(signal, statistic)
                variables[f"{signal.name}_{statistic}"] = xr.Variable(dims, array, attrs)
        dataset = xr.Dataset(variables, attrs=stored_attributes(output.layout.attrs))
        return dataset.set_coords([array.name for array in output.layout.arrays if array.coordinate])

    def compute(
        self,
        *,
        launcher: str | Executor = "threads",
        workers: int | None = None,
        on_progress: OnProgress = None,
    ) -> xr.Dataset:
        """Compute the cube into memory.

        Parameters
        ----------
        launcher : str or Executor
            "threads", "processes", "local", a scheduler's address; or what `launch` gave, to use
            the same workers for several cubes.
        workers : int, optional
            Threads or worker processes. Default: the processors this process may use.
        on_progress : callable, optional
            Called with a `Progress` as parts of the input are done. Default: in IPython and in notebooks
            a bar.

        Returns
        -------
        xarray.Dataset
            As `open_cube` gives it.
        """
        import tempfile

        from cubeengine.store.read import open_cube

        with tempfile.TemporaryDirectory(prefix="cubeengine-") as folder:
            path = Path(folder) / "cube.zarr"
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
        """Compute the cube and publish it as a zarr store.

        Parameters
        ----------
        path : str or Path
            The store; a reader finds there the old cube or the new one, never a part.
        launcher, workers
            As for `compute`.
        overwrite : bool
            Whether a cube that is there may be replaced.
        resume : bool
            Whether to go on from what an earlier run left, and to leave what is done if this one ends early.
        on_progress : callable, optional
            Called with a `Progress` as parts of the input are done.

        Raises
        ------
        StoreMismatch
            If something is at `path` that may not be replaced.
        LaunchError
            If the workers cannot be started, or are lost.
        """
        return run_to_store(
            self.work,
            partial(compile_plan, self.work, self._inputs),
            self._output,
            as_path(path, "the cube", "'delay.zarr'"),
            launcher=launcher,
            workers=workers,
            budget=self.budget,
            overwrite=overwrite,
            resume=resume,
            may_skip=self.bound.spec.on_error == "skip",
            on_progress=on_progress,
        )

    @property
    def _inputs(self) -> dict[str, SignalInput]:
        run, grouping = self.bound.run, self.bound.grouping
        return {
            signal.name: SignalInput(
                run.reader(signal.source),
                grouping,
                run.rows,
                signal.pipeline,
                self.bound.spec.on_error,
            )
            for signal in self.bound.signals
        }

    @property
    def _output(self) -> Output:
        coordinates = {signal.name: signal.coordinates(self.bound.run) for signal in self.bound.signals}
        attrs = cube_attributes(self.bound, self.work, self.budget)
        return cube_output(self.work, self.bound.n_events, coordinates, attrs)


def plan_hint(name: str) -> str:
    """Say what to write instead of an attribute that a plan does not have; "" if unknown."""
    if name in ("run", "write", "save", "execute", "to_netcdf", "to_hdf5", "make"):
        return (
            "plan.to_zarr('delay.zarr') makes the cube and writes it, plan.compute() returns it as a Dataset"
        )
    if name in ("plot", "show", "draw"):
        return "plan.compute() returns the cube, and ce.plot_cube draws it"
    return ""


def _usual_window() -> int:
    import os

    return len(os.sched_getaffinity(0)) + 1
