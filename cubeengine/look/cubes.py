"""The ratio of two signals of a cube, with errors, from the run that the cube was made of.

A cube holds how a signal varies, but not how two vary together; the run does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.budget import format_size
from cubeengine.errors import CubeEngineError, SpecError
from cubeengine.events.opening import open_run
from cubeengine.events.run import Run
from cubeengine.events.variables import with_saved_variables
from cubeengine.look.events import floats, has_value, in_reach, look_at
from cubeengine.look.moments import Moments, moments_of, no_moments
from cubeengine.look.ratios import ratio_of_means
from cubeengine.planning.bind import Bound, bind
from cubeengine.planning.grouping import Grouping
from cubeengine.plots.values import (
    SELECTION,
    Drawable,
    axes_of,
    element_dims,
    label_of,
    ratio_of_sums,
    ratio_unit,
)
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_facts
from cubeengine.types import FloatArray

MOST_NBYTES = 256 * 2**20
"""Arrays are read again for a picture up to this size in all; more take too long, and too much memory."""

MOST_ELEMENTS = 512
"""Elements of a vector that is read again: each is dealt with by itself."""

SAME = 1e-9
"""Share of mean and spread by which means of the same values may differ, added up in other orders."""

RAW = ".xtc2"


@dataclass(slots=True)
class RatioOfRun:
    """Ratios of signals in the bins of one cube, from its run where that can be had, else from the cube.

    From the run they are sums over the events that have both signals, with errors that include the
    covariance, as `scan_curve` has them. From the cube they are ratios of its sums, without errors; see
    `ratio_of_sums`.

    Parameters
    ----------
    bound : Bound, optional
        The cube's spec on its run, where that is at hand. Otherwise the run is opened by the input files that
        the cube names, if all have the size and time stamp that it recorded, and the events are binned again;
        they must be as many in every bin. Done once, for all ratios. Counts and means of both signals must be
        the cube's as well: it may be of a run that was changed in Python.

    Examples
    --------
    >>> spec = ce.CubeSpec(cube="all", signals=["diode2/channels", "ipm2/sum"])
    >>> cube = ce.plan(run, spec).compute()
    >>> found = look.RatioOfRun()(cube, "diode2__channels", "ipm2__sum")
    >>> found.notes[0].partition(",")[0]
    'from the run (xppdemo20_Run0012.h5)'
    >>> figure = ce.plot_cube(cube, "diode2/channels", "ipm2/sum", ratio=look.RatioOfRun())
    """

    bound: Bound | None = None
    _reason: str = field(default="", init=False)

    def __call__(self, dataset: xr.Dataset, signal: str, over: str) -> Drawable:
        """Return the ratio of two signals; its notes name where it is from.

        Raises
        ------
        SpecError
            If it cannot be had from the run, and the cube's sums are not of the same events; or `over` has
            elements.
        """
        try:
            _check_numbers(dataset, signal, over)
            return _ratio(dataset, self._bound_to(dataset), signal, over)
        except (CubeEngineError, OSError) as err:
            return ratio_of_sums(dataset, signal, over, because=str(err))

    def _bound_to(self, dataset: xr.Dataset) -> Bound:
        if self._reason:
            raise SpecError(self._reason)
        if self.bound is None:
            try:
                self.bound = _bound_again(dataset)
            except (CubeEngineError, OSError) as err:
                self._reason = str(err)
                raise
        return self.bound


def _bound_again(dataset: xr.Dataset) -> Bound:
    """Bin the events of the run that a cube was made of as they were binned then.

    Raises
    ------
    SpecError
        If the cube is not of one whole run, or its files have changed.
    """
    facts = cube_facts(dataset)
    if facts.get("merged_from") or facts.get("history"):
        raise SpecError("the cube was made of other cubes")
    if facts.get("partial_run"):
        raise SpecError("the cube is of part of the run")
    inputs: Sequence[Mapping[str, Any]] = facts.get("inputs") or ()
    if not inputs or not facts.get("spec"):
        raise SpecError("the cube names no input files")
    for file in inputs:
        _check_unchanged(file)
    spec = CubeSpec.from_dict(facts["spec"])
    plain = tuple(signal for signal in spec.signals if not signal.stages)
    bound = bind(_opened(spec, inputs), spec.model_copy(update={"signals": plain}))
    found = {str(file.path) for file in bound.run.files}
    if found != {str(file["path"]) for file in inputs}:
        raise SpecError(f"the run opens as other files than the cube names: {', '.join(sorted(found))}")
    return bound


def _check_unchanged(file: Mapping[str, Any]) -> None:
    path = Path(file["path"])
    if not path.exists():
        raise SpecError(f"the input file {path} is not there")
    now = path.stat()
    if (now.st_size, now.st_mtime_ns) != (file["size"], file["mtime_ns"]):
        raise SpecError(f"the input file {path} has changed since the cube was made")


def _opened(spec: CubeSpec, inputs: Sequence[Mapping[str, Any]]) -> Run:
    """Open the run of files: smallData, raw data or both; a session's variables, if any, come last."""
    paths = [Path(file["path"]) for file in inputs]
    variables = paths.pop() if spec.run.variables else None
    raw = [path for path in paths if path.suffix == RAW]
    smalldata = [path for path in paths if path.suffix != RAW]
    run = open_run(smalldata[0], xtc=raw or None) if smalldata else open_run(raw)
    return run if variables is None else with_saved_variables(run, variables)


def _ratio(dataset: xr.Dataset, bound: Bound, signal: str, over: str) -> Drawable:
    """Return the ratio over the events that have both signals, in every bin of every selection."""
    _check_bins(dataset, bound)
    run, (top, base) = _looked_at(dataset, bound, (signal, over))
    above, below, found = _moments(run, ((top,), (base,), (top, base)), bound.grouping)
    _check_same_numbers(dataset, signal, above)
    _check_same_numbers(dataset, over, below)
    ratios = [ratio_of_means(moments) for moments in found]
    count = found[0].count.reshape(bound.n_events.shape).sum(axis=1).tolist()
    value, error = (_as_drawn(dataset, signal, [ratio[part] for ratio in ratios]) for part in (0, 1))
    return Drawable(
        value,
        error,
        f"{label_of(dataset, signal)} / {label_of(dataset, over)}",
        ratio_unit(*(str(dataset[f"{name}_mean"].attrs.get("units", "")) for name in (signal, over))),
        notes=(_source_note(bound, count),),
        error_notes=(f"errors of the ratio include how {signal} and {over} vary together",),
    )


def _source_note(bound: Bound, count: Sequence[int]) -> str:
    selected = bound.n_events.sum(axis=1).tolist()
    shown = (f"{name} {n:,} of {of:,}" for name, n, of in zip(bound.selections, count, selected, strict=True))
    return (
        f"from the run ({bound.run.files[0].path.name}), over the events that have both: {', '.join(shown)}"
    )


def _check_bins(dataset: xr.Dataset, bound: Bound) -> None:
    """Raise where a cube does not have the bins that its spec makes of the run, with as many events."""
    counts, axes = dataset["n_events"].values, [binned.axis for binned in bound.axes]
    same = (
        list(map(str, dataset[SELECTION].values)) == list(bound.selections)
        and axes_of(dataset) == tuple(axis.name for axis in axes)
        and counts.size == bound.n_events.size
        and np.array_equal(counts.ravel(), bound.n_events.ravel())
        and all(np.array_equal(_edges(dataset, axis.name), axis.edges) for axis in axes)
    )
    if not same:
        raise SpecError("the bins that the cube's spec makes of its input files are not those of the cube")


def _edges(dataset: xr.Dataset, axis: str) -> FloatArray:
    bounds = dataset[f"{axis}_bnds"].values
    return np.append(bounds[:, 0], bounds[-1:, 1])


def _check_numbers(dataset: xr.Dataset, signal: str, over: str) -> None:
    """Raise, before a run is opened, where signals are more than numbers of it."""
    for name in (signal, over):
        if name in (cube_facts(dataset).get("stages") or {}):
            raise SpecError(f"{name} is made by stages, which are not done again for a picture")
    elements = element_dims(dataset, signal)
    n_elements = math.prod(dataset.sizes[dim] for dim in elements)
    if len(elements) > 1 or n_elements > MOST_ELEMENTS:
        raise SpecError(f"{signal} has {n_elements:,} elements per event, not to be read again for a picture")
    if element_dims(dataset, over):
        raise SpecError(f"{over} is not one number per event")


def _looked_at(dataset: xr.Dataset, bound: Bound, signals: Sequence[str]) -> tuple[Run, list[str]]:
    """Return the run, and names in it: of signals, or of the mean of their elements where a cube has that."""
    run, sources, names = bound.run, {signal.name: signal.source for signal in bound.signals}, []
    for signal in signals:
        if signal not in sources:
            raise SpecError(f"{signal} is none of the signals of the cube's spec")
        name = run.fields.resolve(sources[signal])
        info, elements = run.fields[name], element_dims(dataset, signal)
        if elements and info.shape != tuple(dataset.sizes[dim] for dim in elements):
            raise SpecError(f"the elements of {signal} in the cube are not those of {name}")
        if info.shape and info.nbytes > MOST_NBYTES:
            raise SpecError(f"{signal} has {format_size(info.nbytes)} in the run, too much for a picture")
        if info.shape and not elements:
            events = look_at(run, [f"mean(`{name}`)"])
            run, (name,) = events.run, events.names
        names.append(name)
    return run, names


def _check_same_numbers(dataset: xr.Dataset, signal: str, found: Sequence[Moments]) -> None:
    """Raise where the run does not have as many values of a signal in every bin as the cube, with their mean.

    A cube names the files of its run, not marks and values that were put into it in Python.
    """
    mean, count = dataset[f"{signal}_mean"], dataset[f"{signal}_count"]
    counts, means, stds = (
        _as_drawn(dataset, signal, parts)
        for parts in zip(*((each.count, each.means()[0], each.stds()[0]) for each in found), strict=True)
    )
    other = (counts != count) | (np.abs(means - mean) > SAME * (np.abs(mean) + stds))
    # Where a bin holds infinite values, there is nothing to compare.
    if bool((other & (np.isfinite(mean) | (count == 0))).any()):
        raise SpecError(
            f"the run gives other numbers of {signal} than the cube: it was made of a run that was changed "
            "in Python (with_missing, with_values), or lacks single elements of events; ce.look.plot_scan "
            "draws such a run with errors"
        )


def _moments(run: Run, wanted: Sequence[Sequence[str]], grouping: Grouping) -> list[list[Moments]]:
    """Return moments of signals, for each of their elements, by selection and bin; reads the run once.

    Parameters
    ----------
    run : Run
        The run.
    wanted : sequence of one or two names
        A signal; and a scalar whose events it must have, and vary with.
    grouping : Grouping
        Where the events are.
    """
    found = [
        [no_moments(len(names), grouping.n_groups)] * math.prod(run.fields[names[0]].shape)
        for names in wanted
    ]
    for window in run.windows():
        first, stop = np.searchsorted(grouping.events, (window.events.start, window.events.stop))
        rows = np.asarray(grouping.events[first:stop]) - window.events.start
        groups = np.asarray(grouping.groups[first:stop])
        columns = {name: window.column(name) for names in wanted for name in names}
        for moments, (top, *base) in zip(found, wanted, strict=True):
            above, below = columns[top], [columns[name] for name in base]
            for number in range(len(moments)):
                one = replace(above, data=above.data[:, number]) if above.data.ndim > 1 else above
                there = np.logical_and.reduce(
                    [has_value(each) & in_reach(each.data) for each in (one, *below)]
                )
                kept = there[rows]
                values = np.stack([floats(each, rows[kept]) for each in (one, *below)])
                moments[number] += moments_of(values, groups[kept], grouping.n_groups)
    return [[_by_selection(each, grouping) for each in moments] for moments in found]


def _by_selection(moments: Moments, grouping: Grouping) -> Moments:
    """Put the bins of each selection together from its groups, selection after selection."""
    per_selection = [
        reduce(add, (_some(moments, slice(member, None, grouping.width)) for member in members))
        for members in grouping.members
    ]
    count, mean, products = (
        np.concatenate([getattr(each, part) for each in per_selection], axis=-1)
        for part in ("count", "mean", "products")
    )
    return Moments(count, mean, products)


def _some(moments: Moments, groups: slice) -> Moments:
    return Moments(moments.count[groups], moments.mean[:, groups], moments.products[:, :, groups])


def _as_drawn(dataset: xr.Dataset, signal: str, parts: Sequence[FloatArray]) -> xr.DataArray:
    """Return values of (selection, bins) for each element with the dimensions of a signal's mean."""
    mean = dataset[f"{signal}_mean"]
    by_bin = mean.transpose(*dataset["n_events"].dims, *element_dims(dataset, signal))
    values = np.stack(parts, axis=-1).reshape(by_bin.shape)
    return xr.DataArray(values, by_bin.coords, by_bin.dims).transpose(*mean.dims)
