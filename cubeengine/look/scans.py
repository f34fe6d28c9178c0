"""A signal over a scan: mean or ratio to the intensity per step or bin; laser on, off, difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.events.selections import Combine, Node
from cubeengine.events.window import Window
from cubeengine.look.axes import AxisLike, find_axis
from cubeengine.look.bins import Bins
from cubeengine.look.events import floats, has_value, in_reach, look_at
from cubeengine.look.moments import Moments, moments_of, no_moments
from cubeengine.look.ratios import Statistic, mean_with_error, ratio_of_means
from cubeengine.look.selecting import RunLike, Select, kept_events, looks, node_of, run_of, states_of, words
from cubeengine.planning.axes import BinnedAxis
from cubeengine.spec.resolve import left_out
from cubeengine.types import BoolArray, FloatArray, IntArray

TIMETOOL = ("tt/*", "ttCorr/*")
"""Fields of the time tool, which means nothing in laser-off events."""

SELECTION = "selection"


@looks
def scan_curve(
    run: RunLike,
    signal: str,
    i0: str | None = None,
    *,
    axis: AxisLike = None,
    bins: Bins | None = None,
    select: Select = None,
    curves: Mapping[str, Select] | Sequence[str] | None = None,
    without: Sequence[str] = TIMETOOL,
    statistic: Statistic = "ratio_of_means",
) -> xr.Dataset:
    """Average a signal over a scan, with errors: with the laser on, off, and the difference.

    Parameters
    ----------
    run : Run, or session
        The run.
    signal : str
        A field with one number per event, or an expression.
    i0 : str, optional
        The intensity to divide by; the mean of the signal where left out.
    axis : str or ce.Axis, optional
        The variable, as "delay", or an axis as a spec has it; what the scan moves where left out.
    bins : int or edges, optional
        Bins of the axis; where left out, one for each setting if it is stepped, else 50.
    select : Select, optional
        Which events.
    curves : mapping of name to Select, or sequence of str, optional
        Selections to compare, within `select`; in a session by their names, as ``["on", "off"]``. Where left
        out: "on" and "off", as far as they occur, if the run tells the state of its laser; else "all".
    without : sequence of str
        Of the curve "off" that is made here: cuts of `select` of which all fields match are not asked, as
        the time tool sees nothing without laser.
    statistic : "ratio_of_means" or "mean_of_ratio"
        Sum of the signal over sum of i0 in the bin; or the mean of the ratios of single events.

    Returns
    -------
    xarray.Dataset
        Over `selection` and the axis: `value`, its standard `error`, and `count` of events in it. Two curves
        have `difference`, the first minus the second, with `difference_error`. `position` is where the
        events of a bin really are. The attributes hold, by curve, `n_events` that are shown, `n_missing`
        (in a bin, but without signal, i0 or, for a mean of ratios, with i0 = 0) and `n_outside` the bins.

    Raises
    ------
    FieldNotFound, SpecError
        If the run has no such field, or arguments make no sense.

    Notes
    -----
    Errors of a ratio of means are to first order, with the covariance of signal and i0; see `ratios`. The
    curves are of different events, so the error of their difference is the root of the sum of squares. A
    selection within the other would break that: then there is no difference.

    Examples
    --------
    >>> found = look.scan_curve(run, "diode2__channels[3]", "ipm2/sum", select="`ipm2/sum` > 0.3")
    >>> found["value"].dims
    ('selection', 'scan__lxt')
    >>> float(abs(found["difference"]).max()) > 5 * float(found["difference_error"].max())
    True
    """
    if statistic not in ("ratio_of_means", "mean_of_ratio"):
        raise SpecError(f"statistic must be 'ratio_of_means' or 'mean_of_ratio', got {statistic!r}")
    nodes = _curves(run, select, curves, without)
    at, binned = find_axis(run, axis, bins, _any_of(list(nodes.values())))
    events = look_at(at, [signal] if i0 is None else [signal, i0])
    gathered = _gather(_Scan(events.run, events.names, binned, nodes, statistic == "mean_of_ratio"))
    return _data(gathered, statistic, words(node_of(run, select)))


def _curves(
    source: RunLike,
    select: Select,
    curves: Mapping[str, Select] | Sequence[str] | None,
    without: Sequence[str],
) -> dict[str, Node | None]:
    """Return the selections to compare."""
    common = node_of(source, select)
    if curves is not None:
        named = curves if isinstance(curves, Mapping) else {text: text for text in curves}
        return {name: _both(common, node_of(source, own)) for name, own in named.items()}
    laser = states_of(source, "laser")
    if laser is None:
        return {"all": common}
    run, (on, off) = run_of(source), laser
    found = {"on": _both(common, on), "off": _both(_without(common, without), off)}
    there = {name: node for name, node in found.items() if _any(run, node)}
    return there or {"all": common}


def _without(node: Node | None, patterns: Sequence[str]) -> Node | None:
    """Leave the cuts out that laser-off events are not asked for."""
    try:
        return None if node is None else Combine("all", left_out(node, tuple(patterns)))
    except SpecError as err:
        raise SpecError(
            f"the laser-off curve skips the cuts on {', '.join(patterns)}, but {err}; give the curves, e.g. "
            "curves={'on': ..., 'off': ...}, or keep these cuts with without=()"
        ) from err


def _both(first: Node | None, second: Node | None) -> Node | None:
    if first is None or second is None:
        return second if first is None else first
    return Combine("all", (first, second))


def _any_of(nodes: Sequence[Node | None]) -> Node | None:
    """Return the selection of the events that any curve has: bins are found among these."""
    some = tuple(node for node in nodes if node is not None)
    return Combine("any", some) if len(some) == len(nodes) else None


def _any(run: Run, node: Node | None) -> bool:
    return any(kept_events(window, node).any() for window in run.windows())


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What is averaged: quantities over an axis, in the events of each curve."""

    run: Run
    names: tuple[str, ...]
    axis: BinnedAxis
    nodes: Mapping[str, Node | None]
    by_event: bool

    @property
    def n_bins(self) -> int:
        return self.axis.axis.n_bins


@dataclass(slots=True, eq=False)
class _Gathered:
    """Moments of (signal, i0 or nothing, position) of curve after curve, and events that have none."""

    scan: _Scan
    moments: Moments
    missing: IntArray
    outside: IntArray
    overlap: bool = field(default=False)


def _gather(scan: _Scan) -> _Gathered:
    n_curves = len(scan.nodes)
    n_rows = 2 if scan.by_event or len(scan.names) == 1 else 3
    nothing = no_moments(n_rows, n_curves * scan.n_bins)
    found = _Gathered(scan, nothing, np.zeros(n_curves, np.int64), np.zeros(n_curves, np.int64))
    for window in scan.run.windows():
        _add(found, window)
    return found


def _add(found: _Gathered, window: Window) -> None:
    scan = found.scan
    index, position = _on_axis(scan.axis, window)
    values, there = _values(scan, window)
    masks = [kept_events(window, node) for node in scan.nodes.values()]
    for number, kept in enumerate(masks):
        inside = kept & (index >= 0)
        shown = inside & there
        found.outside[number] += np.count_nonzero(kept) - np.count_nonzero(inside)
        found.missing[number] += np.count_nonzero(inside) - np.count_nonzero(shown)
        rows = np.stack([*(row[shown] for row in values), position[shown]])
        groups = number * scan.n_bins + index[shown]
        found.moments += moments_of(rows, groups, len(found.moments.count))
    found.overlap |= len(masks) == 2 and bool((masks[0] & masks[1]).any())


def _on_axis(axis: BinnedAxis, window: Window) -> tuple[IntArray, FloatArray]:
    """Return the bin of every event, and where it is on the axis: NaN where that is not known."""
    binned = axis.bins(window)
    position = np.where(has_value(binned.values), binned.values.data.astype(np.float64), np.nan)
    return np.where(in_reach(position), binned.index, -1).astype(np.int64), position


def _values(scan: _Scan, window: Window) -> tuple[list[FloatArray], BoolArray]:
    """Return signal and intensity, or their ratio, and where they are finite."""
    columns = [window.column(name) for name in scan.names]
    everywhere = np.ones(window.n_events, bool)
    there = np.logical_and.reduce([has_value(column) for column in columns])
    values = [floats(column, everywhere) for column in columns]
    if scan.by_event and len(values) == 2:
        with np.errstate(all="ignore"):
            values = [values[0] / values[1]]
    return values, there & np.logical_and.reduce([in_reach(row) for row in values])


def _data(found: _Gathered, statistic: Statistic, selection: str) -> xr.Dataset:
    scan, axis = found.scan, found.scan.axis.axis
    shape = len(scan.nodes), scan.n_bins
    ratio = len(scan.names) == 2 and not scan.by_event
    value, error = (
        part.reshape(shape) for part in (ratio_of_means if ratio else mean_with_error)(found.moments)
    )
    dims, attrs = (SELECTION, axis.name), _value_attrs(scan, statistic)
    count = found.moments.count.reshape(shape)
    data = xr.Dataset(
        {
            "value": (dims, value, attrs),
            "error": (dims, error, {**attrs, "long_name": f"standard error of {attrs['long_name']}"}),
            "count": (dims, count, {"long_name": "events"}),
        },
        coords={SELECTION: list(scan.nodes), **_axis_coords(found, count)},
        attrs={
            "run": str(scan.run.run_id or scan.run.label),
            "selection": selection,
            "statistic": statistic if len(scan.names) == 2 else "mean",
            "n_events": count.sum(axis=1).tolist(),
            "n_missing": found.missing.tolist(),
            "n_outside": found.outside.tolist(),
        },
    )
    return data if len(scan.nodes) != 2 or found.overlap else _with_difference(data, list(scan.nodes))


def _with_difference(data: xr.Dataset, names: list[str]) -> xr.Dataset:
    first, second = (data.sel({SELECTION: name}, drop=True) for name in names)
    attrs = {**data["value"].attrs, "long_name": f"{names[0]} - {names[1]}"}
    error: xr.DataArray = xr.apply_ufunc(np.hypot, first["error"], second["error"])
    return data.assign(
        difference=(first["value"] - second["value"]).assign_attrs(attrs),
        difference_error=error.assign_attrs(
            {**attrs, "long_name": f"standard error of {attrs['long_name']}"}
        ),
    )


def _value_attrs(scan: _Scan, statistic: Statistic) -> dict[str, Any]:
    signal, *rest = scan.names
    unit = scan.run.fields.unit(signal) or ""
    if not rest:
        return {"long_name": signal, **({"units": unit} if unit else {})}
    base = scan.run.fields.unit(rest[0]) or ""
    units = "" if unit == base else f"{unit or '1'}/{base}" if base else unit
    name = f"{signal} / {rest[0]}"
    return {"long_name": name, "statistic": statistic, **({"units": units} if units else {})}


def _axis_coords(found: _Gathered, count: IntArray) -> dict[str, Any]:
    axis = found.scan.axis.axis
    edges = np.asarray(axis.edges)
    attrs = {"long_name": axis.long_name, "field": axis.field, **({"units": axis.unit} if axis.unit else {})}
    centres = axis.centers
    total = count.sum(axis=0)
    mean = found.moments.mean[-1].reshape(count.shape)
    pooled = (mean * count).sum(axis=0) / np.maximum(total, 1)
    return {
        axis.name: (axis.name, centres, attrs),
        f"{axis.name}_low": (axis.name, edges[:-1], attrs),
        f"{axis.name}_high": (axis.name, edges[1:], attrs),
        "position": (
            axis.name,
            centres if axis.counts_steps else np.where(total > 0, pooled, centres),
            attrs,
        ),
    }
