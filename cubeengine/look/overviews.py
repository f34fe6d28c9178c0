"""What one looks at first in a run: its shots, intensity, scan, time tool, and what is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.events.window import Window
from cubeengine.look.axes import scanned
from cubeengine.look.events import has_value
from cubeengine.look.histograms import histogram
from cubeengine.look.selecting import RunLike, kept_events, looks, origin, run_of, states_of
from cubeengine.look.traces import trace
from cubeengine.spec.survey import Survey
from cubeengine.types import FieldKind

_LOG = logging.getLogger(__name__)

PERCENTILES = (0.1, 99.9)
RATE_BINS = 100
RATE_EVENTS = 50
"""Events of a bin of the rate, or more: one event at its border is 2 % then."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The fields of a run that are looked at first; None where it has none.

    Attributes
    ----------
    i0 : str, or None
        Intensity of the X-rays.
    scan : str, or None
        What the scan moves.
    timetool, amplitude : str, or None
        Position and amplitude of the time tool.
    """

    i0: str | None = None
    scan: str | None = None
    timetool: str | None = None
    amplitude: str | None = None


@looks
def choices(run: RunLike) -> Choices:
    """Choose the fields to look at first, by the names that are usual; see `spec.survey`.

    Parameters
    ----------
    run : Run, or session
        The run; of a long one the first million events are asked which monitors vary.

    Returns
    -------
    Choices

    Examples
    --------
    >>> look.choices(run)
    Choices(i0='ipm2/sum', scan='scan/lxt', timetool='tt/FLTPOS', amplitude='tt/AMPL')
    """
    at = run_of(run)
    survey = Survey(at, next(at.windows()))  # names are told by the first events, in long runs
    tool = survey.timetool
    position = tool.position or tool.timetool
    return Choices(survey.i0, _scanned(at), timetool=position, amplitude=tool.amplitude if position else None)


def _scanned(run: Run) -> str | None:
    try:
        return scanned(run)
    except SpecError:
        return None


@looks
def overview(
    run: RunLike, *, fields: Choices | None = None, missing: Iterable[str] | None = None
) -> Mapping[str, xr.Dataset | xr.DataArray]:
    """Gather what one looks at first.

    Parameters
    ----------
    run : Run, or session
        The run.
    fields : Choices, optional
        The fields to show; the usual ones that the run has, where left out.
    missing : names, optional
        Of which fields missing values are counted; all with one number per event, where left out.

    Returns
    -------
    mapping of name to xarray.Dataset or DataArray
        `shots` by state of laser and X-rays; `rate` of events; `missing` fraction by field; and where the run
        has them: `i0` (histogram), `i0_trace`, `scan` (trace over events), `timetool` and `amplitude`
        (histograms).

    Examples
    --------
    >>> found = look.overview(run)
    >>> found["shots"].sel(state="laser off").item() < found["shots"].sel(state="laser on").item()
    True
    """
    at, chosen = run_of(run), fields or choices(run)
    found: dict[str, xr.Dataset | xr.DataArray] = {
        "shots": shots(run),
        "rate": event_rate(run),
        "missing": missing_fractions(run, missing),
    }
    for key, name in (("i0", chosen.i0), ("timetool", chosen.timetool), ("amplitude", chosen.amplitude)):
        if name is not None:
            found[key] = histogram(at, name, percentiles=PERCENTILES)
    if chosen.i0 is not None:
        found["i0_trace"] = trace(at, chosen.i0)
    if chosen.scan is not None:
        found["scan"] = trace(at, chosen.scan, over="event")
    return found


@looks
def shots(run: RunLike) -> xr.DataArray:
    """Count the events by state of laser and X-rays, as far as the run says.

    Parameters
    ----------
    run : Run, or session
        The run.

    Returns
    -------
    xarray.DataArray
        int64 over `state`: "laser on", "laser off", "laser unknown", "X-rays on", "dropped" (no X-rays),
        "X-rays unknown".

    Examples
    --------
    >>> int(look.shots(run).sel(state=["laser on", "laser off", "laser unknown"]).sum()) == run.n_events
    True
    """
    at = run_of(run)
    told = {"laser": states_of(run, "laser"), "X-rays": states_of(run, "xray")}
    names = {"laser": ("laser on", "laser off"), "X-rays": ("X-rays on", "dropped")}
    nodes = {
        name: node for what, pair in told.items() for name, node in zip(names[what], pair or (), strict=False)
    }
    counts = dict.fromkeys(nodes, 0)
    for window in at.windows():
        for name, node in nodes.items():
            counts[name] += _number(window, node)
    for what, pair in names.items():
        counts[f"{what} unknown"] = at.n_events - sum(counts.get(name, 0) for name in pair)
    order = ("laser on", "laser off", "laser unknown", "X-rays on", "dropped", "X-rays unknown")
    shown = [name for name in order if name in counts]
    return xr.DataArray(
        [counts[name] for name in shown], coords={"state": shown}, dims="state", name="shots",
        attrs={"long_name": "events", "n_total": at.n_events, **origin(at, None)},
    )  # fmt: skip


def _number(window: Window, node: Node) -> int:
    return int(np.count_nonzero(kept_events(window, node)))


@looks
def event_rate(run: RunLike, *, bins: int = RATE_BINS) -> xr.DataArray:
    """Return the rate of events over time: where it falls, data are missing.

    Parameters
    ----------
    run : Run, or session
        The run.
    bins : int
        Bins at most; a short run has fewer, of 50 events each.

    Returns
    -------
    xarray.DataArray
        Events per second (Hz) over `time`, in bins of equal length.

    Examples
    --------
    >>> look.event_rate(run).attrs["units"]
    'Hz'
    """
    at = run_of(run)
    time = at.time.view(np.int64)
    first, last = (int(time[0]), int(time[-1])) if len(time) > 1 else (0, 1)
    n_bins = max(min(bins, len(time) // RATE_EVENTS), 1)
    edges = first + (last - first) * (np.arange(n_bins + 1) / n_bins)
    # The last event only ends the last interval, so that a steady beam gives a steady rate.
    places = np.searchsorted(time[:-1], edges)
    rate = np.diff(places) / (np.diff(edges) * 1e-9)
    starts = edges[:-1].astype(np.int64).view("datetime64[ns]")
    attrs = {"long_name": "rate of events", "units": "Hz", **origin(at, None)}
    along = ("time", starts, {"long_name": "time (UTC)"})
    return xr.DataArray(rate, coords={"time": along}, dims="time", name="rate", attrs=attrs)


@looks
def missing_fractions(run: RunLike, fields: Iterable[str] | None = None) -> xr.DataArray:
    """Return the fraction of events that lack a value (missing, damaged or NaN), by field.

    Parameters
    ----------
    run : Run, or session
        The run.
    fields : names, optional
        Fields with one number per event; all of them where left out.

    Returns
    -------
    xarray.DataArray
        Over `field`, the largest fraction first. Fields that cannot be read are in the attribute
        `unreadable`.

    Examples
    --------
    >>> look.missing_fractions(run, ["tt/AMPL", "ipm2/sum"])["field"].values.tolist()
    ['tt/AMPL', 'ipm2/sum']
    """
    at = run_of(run)
    names = [name for name, info in at.fields.items() if _is_number(info.kind, info.shape, info.dtype)]
    wanted = names if fields is None else [at.fields.resolve(name) for name in fields]
    lacking: dict[str, int] = {}
    unreadable = []
    for name in wanted:
        try:
            lacking[name] = sum(_lacking(at, window, name) for window in at.windows())
        except SourceFormatError as err:
            _LOG.warning("missing values of %s are not counted: %s", name, err)
            unreadable.append(name)
    order = sorted(lacking, key=lambda name: -lacking[name])
    share = np.array([lacking[name] for name in order]) / max(at.n_events, 1)
    attrs = {"long_name": "events without value", "unreadable": unreadable, **origin(at, None)}
    return xr.DataArray(share, coords={"field": order}, dims="field", name="missing", attrs=attrs)


def _is_number(kind: FieldKind, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bool:
    return kind is FieldKind.EVENT and not shape and dtype.kind in "biuf"


def _lacking(run: Run, window: Window, name: str) -> int:
    """Count events without value; columns of fields are not kept, as there are many."""
    column = window.column(name) if name in run.derived else run.source.read(name, window.events)
    return len(column) - int(np.count_nonzero(has_value(column)))
