"""What a picture shows: mean, ratio of sums or difference of a signal, with its error. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from cubeengine.errors import SpecError, nearest_names
from cubeengine.store.read import RUN, cube_facts, find_signal, is_stack, sem, signal_names

SELECTION = "selection"

_MINUS = "\N{NO-BREAK SPACE}\N{MINUS SIGN}\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Drawable:
    """A quantity over (selection, axes..., elements...), ready to draw.

    Attributes
    ----------
    value, error : xarray.DataArray
        The quantity and its standard error, of the same shape; after a difference without `selection`.
    label : str
        What it is, for a title: "diode2 / ipm2/sum".
    unit : str
        Unit of both; "" when there is none.
    centred : bool
        True where zero is the natural middle of the colours, as for a difference.
    notes : tuple of str
        What must be said beside the picture.
    error_notes : tuple of str
        What must be said where the errors are shown: that they are approximate, and why.
    """

    value: xr.DataArray
    error: xr.DataArray
    label: str
    unit: str
    centred: bool = False
    notes: tuple[str, ...] = ()
    error_notes: tuple[str, ...] = ()


def axes_of(dataset: xr.Dataset) -> tuple[str, ...]:
    """Return the names of the binned axes of a cube."""
    return tuple(str(dim) for dim in dataset["n_events"].dims if dim != SELECTION)


def run_words(dataset: xr.Dataset) -> str:
    """Name the runs of a cube: "xpptut15 run 12", "xpptut15 runs 12, 20-22"; "" where it does not say."""
    facts = cube_facts(dataset)
    entries = facts.get("merged_from") or [facts]
    names = [name for entry in entries for name in str(entry.get("run") or "").split(", ") if name]
    named = (facts.get("spec") or {}).get("run") or {}
    if not names and {"experiment", "run"} <= named.keys():
        names = [f"{named['experiment']}:{named['run']}"]
    if not names and is_stack(dataset):
        names = [f"{named.get('experiment', '')}:{number}" for number in dataset[RUN].values]
    numbers: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        experiment, _, number = name.rpartition(":")
        numbers.setdefault(experiment, []).append(number)
    return ", ".join(
        f"{experiment} {'runs' if len(found) > 1 else 'run'} {_ranges(found)}".strip()
        for experiment, found in numbers.items()
    )


def _ranges(numbers: Sequence[str]) -> str:
    """Write run numbers in their order, three or more in a row as a range: "12, 20-22"."""
    parts: list[list[str]] = []
    for number in numbers:
        follows = bool(parts) and number.isdecimal() and parts[-1][-1].isdecimal()
        if follows and int(number) == int(parts[-1][-1]) + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 2 else ", ".join(part) for part in parts)


def axis_span(dataset: xr.Dataset, axis: str) -> tuple[str, str]:
    """Return where an axis begins and ends, as text: its edges; of stacked runs the first and the last."""
    if axis == RUN and is_stack(dataset):
        return str(dataset[axis].values[0]), str(dataset[axis].values[-1])
    bounds = dataset.variables.get(f"{axis}_bnds")
    return ("", "") if bounds is None else (f"{bounds.values[0, 0]:.6g}", f"{bounds.values[-1, 1]:.6g}")


def display_unit(values: ArrayLike, unit: str) -> tuple[str, float]:
    """Choose the unit that values are shown in, and the factor to it: seconds below 1e-6 become ps or fs.

    Examples
    --------
    >>> display_unit([-2e-12, 8e-12], "s")
    ('ps', 1000000000000.0)
    """
    sizes = np.abs(np.asarray(values, np.float64)) if unit == "s" else np.empty(0)
    largest = sizes[np.isfinite(sizes)].max(initial=0.0)
    if not 0.0 < largest < 1e-6:
        return unit, 1.0
    return ("fs", 1e15) if largest < 1e-12 else ("ps", 1e12)


def axes_for_display(dataset: xr.Dataset) -> xr.Dataset:
    """Return a cube whose axes have the units that they are shown in: only for pictures and text."""
    for axis in axes_of(dataset):
        unit = str(dataset[axis].attrs.get("units", "")) if axis in dataset.coords else ""
        names = [name for name in (axis, f"{axis}_bnds") if name in dataset.variables]
        if unit != "s":
            continue
        values = np.concatenate([dataset[name].values.ravel() for name in names])
        shown, factor = display_unit(values, unit)
        if shown == unit:
            continue
        scaled = {
            name: (dataset[name].dims, dataset[name].values * factor, dataset[name].attrs | {"units": shown})
            for name in names
        }
        coords = {name: scaled.pop(name) for name in names if name in dataset.coords}
        dataset = dataset.assign_coords(coords).assign(scaled)
    return dataset


def default_signal(dataset: xr.Dataset) -> str:
    """Return the first signal that is no axis, or else the first.

    Raises
    ------
    SpecError
        If the cube has no signals.
    """
    names = signal_names(dataset)
    if not names:
        raise SpecError("the cube has no signals to draw")
    axes = axes_of(dataset)
    return next((name for name in names if name not in axes), names[0])


def element_dims(dataset: xr.Dataset, signal: str) -> tuple[str, ...]:
    """Return the dimensions of one event's value of a signal."""
    leading = dataset["n_events"].dims
    return tuple(str(dim) for dim in dataset[f"{signal}_mean"].dims if dim not in leading)


def drawable(
    dataset: xr.Dataset,
    signal: str,
    *,
    over: str | None = None,
    difference: str | Sequence[str] | None = None,
    ratio: Ratio | None = None,
) -> Drawable:
    """Work out what is to be drawn.

    Parameters
    ----------
    dataset : xarray.Dataset
        A cube.
    signal : str
        Name of a signal, or of its field.
    over : str, optional
        A scalar signal to divide by: ratio of the sums over the events of each bin, which must be the same.
    difference : str or two names, optional
        Two selections, "on,off": the first minus the second.
    ratio : Ratio, optional
        Makes the ratio. Default: `ratio_of_sums`.

    Returns
    -------
    Drawable
        The mean with its standard error, or what was asked for.

    Raises
    ------
    FieldNotFound
        If the cube has no such signal.
    SpecError
        If `over` is not scalar, or of other events than the signal; or `difference` does not name two
        selections of the cube.
    """
    found = _mean(dataset, find_signal(dataset, signal))
    if over is not None:
        found = (ratio or ratio_of_sums)(dataset, find_signal(dataset, signal), find_signal(dataset, over))
    if difference is not None:
        first, second = _pair(dataset, difference)
        found = _difference(found, first, second, _shared_events(dataset, first, second))
    partial = dataset.attrs.get("partial_run")
    return replace(found, notes=(*found.notes, f"part of the run only: {partial}")) if partial else found


def mean_over_elements(dataset: xr.Dataset, signal: str) -> xr.Dataset:
    """Replace a signal by the mean of its elements, read bin by bin.

    Its standard deviation is NaN then: how the elements of one event vary together is not in a cube. Its
    count is that of the events that have all elements which are not missing throughout the bin.
    """
    count, mean, std = (f"{signal}_{part}" for part in ("count", "mean", "std"))
    one_bin = dict.fromkeys(dataset["n_events"].dims, 1)
    counts = dataset[count].chunk(one_bin)
    elements = [dim for dim in counts.dims if dim not in one_bin]
    least = counts.where(counts > 0).min(elements).fillna(0).astype(np.int64).compute()
    values = dataset[mean].chunk(one_bin).mean(element_dims(dataset, signal), keep_attrs=True).compute()
    values = values.assign_attrs(label=f"{label_of(dataset, signal)}, mean of all elements", reduced="mean")
    small = dataset.drop_vars([count, mean, std])
    return small.assign({count: least, mean: values, std: xr.full_like(values, np.nan)})


def field_of(dataset: xr.Dataset, signal: str) -> str:
    """Return the name users know a signal by."""
    return str(dataset[f"{signal}_mean"].attrs.get("field", signal))


def label_of(dataset: xr.Dataset, signal: str) -> str:
    """Return what a signal is called in pictures: its own name, where it has one, else that of its field."""
    mean = dataset[f"{signal}_mean"]
    own = str(mean.attrs.get("label", signal))
    field = field_of(dataset, signal)
    return field if own == field.replace("/", "__") else own


def _mean(dataset: xr.Dataset, signal: str) -> Drawable:
    mean = dataset[f"{signal}_mean"]
    unit = str(mean.attrs.get("units", ""))
    return Drawable(mean, sem(dataset, signal), label_of(dataset, signal), unit)


def ratio_of_sums(dataset: xr.Dataset, signal: str, over: str, because: str = "") -> Drawable:
    """Return sum(signal) / sum(over) of the same events, without errors: a cube does not hold them.

    Parameters
    ----------
    dataset : xarray.Dataset
        A cube.
    signal, over : str
        Names of signals.
    because : str, optional
        Why it is not taken from the run instead.

    Raises
    ------
    SpecError
        If the sums are not surely of the same events; see `check_same_events`.
    """
    check_same_events(dataset, signal, over, because)
    top, bottom = _mean(dataset, signal), _mean(dataset, over)
    value = (top.value / bottom.value.where(bottom.value != 0)).transpose(*top.value.dims)
    return Drawable(
        value,
        xr.full_like(value, np.nan, dtype=np.float64),
        f"{top.label} / {bottom.label}",
        ratio_unit(top.unit, bottom.unit),
        notes=(f"ratio of the sums in the cube{f': {because}' if because else ''}",),
        error_notes=(
            f"no errors: the cube does not hold how {top.label} and {bottom.label} vary together; "
            "ce.look.plot_scan draws the run with errors",
        ),
    )


Ratio: TypeAlias = Callable[[xr.Dataset, str, str], Drawable]
"""Returns a signal of a cube over another, by the names of both; its notes say where it is from."""


def check_same_events(dataset: xr.Dataset, signal: str, over: str, because: str = "") -> None:
    """Raise where a signal and what it is to be divided by are not of the same events.

    Raises
    ------
    SpecError
        If `over` has elements; or if either lacks a selected event in a bin where the signal has values: then
        the sums are over different events, or nobody knows that they are not.
    """
    if element_dims(dataset, over):
        raise SpecError(
            f"over {over!r}: must be one number per event, but it has {_shape(dataset, over)} elements"
        )
    selected, below = dataset["n_events"], dataset[f"{over}_count"]
    count = dataset[f"{signal}_count"]
    elements = [dim for dim in count.dims if dim not in selected.dims]
    most, least = count.max(elements), count.where(count > 0, selected).min(elements)
    wrong = ((most > 0) & ((most != selected) | (least != selected) | (below != selected))).values
    if not wrong.any():
        return
    place = tuple(int(number[0]) for number in np.nonzero(wrong))
    where = dict(zip(selected.dims, place, strict=True))
    bins = ", ".join(f"{dim} {selected[dim].values[number]}" for dim, number in where.items())
    field, base = field_of(dataset, signal), field_of(dataset, over)
    has_elements = element_dims(dataset, signal) or "reduced" in dataset[f"{signal}_mean"].attrs
    has_value = f"isfinite(sum(`{field}`))" if has_elements else f"isfinite(`{field}`)"
    raise SpecError(
        f"{signal} over {over}: the two sums may be over different events in {int(wrong.sum()):,} of "
        f"{wrong.size:,} bins, the first at {bins}: of {int(selected[where]):,} selected events "
        f"{int(least[where]):,} have {signal} and {int(below[where]):,} have {over}. Make the cube from "
        f'events that have both, with  select: {{both: ["{has_value}", "isfinite(`{base}`)"]}}  and  '
        "cubes: [both]; or divide shot by "
        "shot, with a derived variable; or draw the run with ce.look.plot_scan, which also gives errors"
        f"{f'. The ratio was not computed from the run: {because}' if because else ''}"
    )


def _shared_events(dataset: xr.Dataset, first: str, second: str) -> int | None:
    """Return how many events two selections have in common; None where the cube does not say."""
    known = cube_facts(dataset).get("shared_events")
    if known is None:
        return None
    return int(known.get(first, {}).get(second, 0) or known.get(second, {}).get(first, 0))


def _difference(drawn: Drawable, first: str, second: str, shared: int | None) -> Drawable:
    value, error = (part.sel({SELECTION: first}, drop=True) for part in (drawn.value, drawn.error))
    other, other_error = (part.sel({SELECTION: second}, drop=True) for part in (drawn.value, drawn.error))
    total, notes = _quadrature(error, other_error), drawn.error_notes
    if shared is None:
        notes = (*notes, f"errors are approximate: {first} and {second} are taken as independent")
    elif shared:
        total = xr.full_like(total, np.nan)
        notes = (*notes, f"no errors: {first} and {second} have {shared:,} events in common")
    return replace(
        drawn,
        value=value - other,
        error=total,
        label=f"{drawn.label}, {first}{_MINUS}{second}",
        centred=True,
        error_notes=notes,
    )


def _quadrature(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    total: xr.DataArray = xr.apply_ufunc(np.hypot, first, second, dask="allowed")
    return total


def _pair(dataset: xr.Dataset, difference: str | Sequence[str]) -> tuple[str, str]:
    parts = difference.split(",") if isinstance(difference, str) else list(difference)
    names = [part.strip() for part in parts]
    if len(names) != 2 or names[0] == names[1]:
        raise SpecError(f"difference {difference!r}: needs two selections, as in 'on,off'")
    known = [str(name) for name in dataset[SELECTION].values]
    for name in names:
        if name not in known:
            near = nearest_names(name, known) or tuple(known)
            raise SpecError(
                f"difference: the cube has no selection {name!r}; nearest: {', '.join(map(repr, near))}"
            )
    return names[0], names[1]


def _shape(dataset: xr.Dataset, signal: str) -> str:
    return " x ".join(str(dataset.sizes[dim]) for dim in element_dims(dataset, signal))


def ratio_unit(top: str, bottom: str) -> str:
    """Write the unit of a ratio: "V/mJ"; "" where both are of one unit."""
    if top == bottom:
        return ""
    return f"{top or '1'}/{bottom}" if bottom else top
