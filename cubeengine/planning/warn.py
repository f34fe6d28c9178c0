"""Warnings: what is allowed, but probably not meant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cubeengine.events import states
from cubeengine.events.scan import candidates
from cubeengine.events.selections import Cut, Node, describe, fields, rows
from cubeengine.events.wrapped import suspected_mark
from cubeengine.marks import marks_of
from cubeengine.planning.axes import BinnedAxis
from cubeengine.planning.bind import Bound
from cubeengine.planning.derive import lacks_laser
from cubeengine.planning.fates import Fates
from cubeengine.planning.warn_borders import rounding_warnings
from cubeengine.planning.warn_units import unit_warnings
from cubeengine.planning.wasteful import empty_bins
from cubeengine.schema.problems import Problem, SpecPath, spec_error
from cubeengine.spec.axes import axis_unit
from cubeengine.spec.conventions import unit_hint
from cubeengine.spec.links import member_fields, walk_members, walk_selections
from cubeengine.spec.resolve import (
    declared_unit,
    derived_inputs,
    resolve_derived,
    resolve_selection,
    state_cut,
)
from cubeengine.spec.writing import flow

LOST = 0.9  # of the events, to one cut
NEAR_EDGE = 0.01  # of the selected events
CHANCE = 1e-3  # below it, zeros in a row are taken for more than chance
LOPSIDED = 0.99  # of the selected events, outside or in one bin
ENOUGH = 100  # events: of fewer, more than 99 % are all of them, which may be chance
ALL_THE_SAME = "if this is right, give --force, or force=True in Python"
MOST_LOOKED_AT = 64 * 2**20  # bytes of an array that is looked through for zeros: a plan reads no frames


def plan_warnings(bound: Bound) -> Iterator[Problem]:
    """Yield the warnings that need the run's scalars."""
    for name in bound.selections:
        yield from _lost_to_one_cut(bound, name)
        yield from _lopsided(bound, name)
    yield from _unlike_percentiles(bound)
    for number, axis in enumerate(bound.axes):
        yield from _near_edges(bound, axis, number)
        yield from _one_setting(axis, number)
        yield from _undeclared_unit(bound, number)
    for path, message in rounding_warnings(bound.spec, bound.census.beside):
        yield _warning(path, message)
    yield from unit_warnings(bound.spec)
    for name in bound.delays:
        yield from _no_laser_field(bound, name)
    for name in bound.near:
        yield from _nothing_near(bound, name)
    yield from empty_bins(bound)
    yield from _leading_zeros(bound)
    yield from _wrapped_marks(bound)
    yield from _damaged_integers(bound)
    yield from _lacking_events(bound)


def _warning(path: SpecPath, message: str) -> Problem:
    return Problem(path, message, severity="warning")


def _undeclared_unit(bound: Bound, number: int) -> Iterator[Problem]:
    axis = bound.spec.axes[number]
    if axis_unit(axis) is None and declared_unit(bound.spec, axis.field) is None:
        yield _warning(
            ("axes", number, "field"),
            f"the unit of {axis.field!r} is not declared; {unit_hint(axis.field)}, or give the axis  "
            "unit: ''  if it has none",
        )


def _no_laser_field(bound: Bound, name: str) -> Iterator[Problem]:
    recipe = bound.spec.derive[name].delay
    if recipe is not None and recipe.laser != "none" and lacks_laser(bound.run, bound.spec):
        yield _warning(
            ("derive", name),
            f"the run has no field {bound.spec.run.laser!r}, so all events count as laser-on; "
            "if that is right, add  laser: none  to the recipe; otherwise name the field under run.laser",
        )


def _nothing_near(bound: Bound, name: str) -> Iterator[Problem]:
    """Tell of a variable that has no value anywhere, for want of other events."""
    counts, recipe = bound.near[name], bound.spec.derive[name].neighbours
    if counts.nothing and not counts.complete + counts.partial:
        among = "" if recipe is None else f" of the selection {recipe.among!r}"
        near = " near enough" if recipe is None or recipe.within is not None else ""
        yield _warning(
            ("derive", name), f"{name!r} is missing in every event: no other event{among}{near} has a value"
        )


def _lost_to_one_cut(bound: Bound, name: str) -> Iterator[Problem]:
    """Tell the cuts that lose most; of a laser-off selection, first the time-tool cuts."""
    node = resolve_selection(bound.spec, name)
    off = state_cut(bound.spec.run.laser, "off")
    blind = list(_blind_cuts(bound, name, node))
    yield from (_without_hint(name, cut, kept, of) for cut, kept, of in blind)
    explained = [off, *(cut for cut, _, _ in blind)] if blind else []
    before = bound.considered
    for row, part in zip(bound.cut_flows[name], rows(node), strict=True):
        if before and row.after < (1 - LOST) * before and part not in explained:
            yield _warning(("select", name), f"{row.label} leaves {row.after:,} of {before:,} events")
        before = row.after


def _unlike_percentiles(bound: Bound) -> Iterator[Problem]:
    """Tell of a percentile that is another number in another selection, which a difference would show."""
    first: dict[tuple[str, float], tuple[str, float]] = {}
    for name, numbers in bound.percentiles.items():
        for found in numbers:
            other, value = first.setdefault((found.field, found.percentile), (name, found.value))
            if value != found.value:
                yield _warning(
                    ("select", name),
                    f"{found.percentile:g} % of {found.field!r} is {found.value:.6g} in {name!r} and "
                    f"{value:.6g} in {other!r}, because their other cuts differ; for one number, move the "
                    "cut to a selection that both refer to",
                )


def _blind_cuts(bound: Bound, name: str, node: Node) -> Iterator[tuple[Cut, int, int]]:
    """Yield the time-tool cuts that lose a laser-off selection: cut, events it keeps, and of how many.

    They are asked of the laser-off events alone, as the laser comes last among the cuts.
    """
    dark = bound.census.counts[name].dark
    if dark is None:
        return
    for part, kept in zip(rows(node), dark.kept, strict=True):
        if isinstance(part, Cut) and _is_timetool(bound, fields(part)) and kept < (1 - LOST) * dark.n_events:
            yield part, kept, dark.n_events


def _is_timetool(bound: Bound, names: frozenset[str]) -> bool:
    recipes = (derived.delay for derived in bound.spec.derive.values())
    corrections = {recipe.timetool for recipe in recipes if recipe is not None}
    return bool(names) and all(name in corrections or name.lower().startswith("tt") for name in names)


def _without_hint(name: str, cut: Cut, kept: int, n_dark: int) -> Problem:
    groups = sorted({f"{field.partition('/')[0]}/*" if "/" in field else field for field in fields(cut)})
    return _warning(
        ("select", name),
        f"{describe(cut)} leaves {kept:,} of {n_dark:,} laser-off events, which have no time-tool signal; "
        f"add  without: [{', '.join(groups)}]  to {name!r}",
    )


def _lopsided(bound: Bound, name: str) -> Iterator[Problem]:
    fates: Fates = bound.fates[name]
    kept = fates.binned + fates.outside
    if kept and fates.outside > LOPSIDED * kept:
        yield _warning(("axes",), _beside(bound, name))
    if _is_crowded(bound, name):
        yield _warning(("axes",), _crowd(bound, name))


def _is_crowded(bound: Bound, name: str) -> bool:
    counts, binned = bound.n_events[list(bound.selections).index(name)], bound.fates[name].binned
    return bool(len(counts) > 1 and binned and counts.max() > LOPSIDED * binned)


def _crowd(bound: Bound, name: str) -> str:
    counts, binned = bound.n_events[list(bound.selections).index(name)], bound.fates[name].binned
    return (
        f"selection {name!r}: {counts.max():,} of {binned:,} events are in one bin of {len(counts):,}; "
        f"{_reaches(bound, name)}"
    )


def _beside(bound: Bound, name: str) -> str:
    fates = bound.fates[name]
    return (
        f"selection {name!r}: {fates.outside:,} of {fates.binned + fates.outside:,} events lie outside the "
        f"bins; {_reaches(bound, name)}"
    )


def _reaches(bound: Bound, name: str) -> str:
    return f"{'; '.join(_reach(bound, axis, name) for axis in bound.axes)}; check the unit and the range"


def _reach(bound: Bound, axis: BinnedAxis, name: str) -> str:
    """Say how far the selected values of an axis reach, and how far its bins do."""
    values = axis.values.data[bound.selections[name] == states.TRUE].astype(np.float64)
    values = values[np.isfinite(values)]
    unit = f" {axis.axis.unit}" if axis.axis.unit else ""
    declared = declared_unit(bound.spec, axis.axis.field)
    whose = (
        f" ({axis.axis.field!r} is declared in {declared})" if declared and declared != axis.axis.unit else ""
    )
    low, high = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
    edges = axis.axis.edges
    return (
        f"the values of axis {axis.axis.name!r} go from {low:.6g} to {high:.6g}{unit}{whose}, its bins from "
        f"{edges[0]:.6g} to {edges[-1]:.6g}{unit}"
    )


def crowded_bins(bound: Bound) -> tuple[Problem, ...]:
    """Return the selections of which nearly all events are in one of several bins, or all in none, as errors.

    They are errors only where no selection spreads over the bins, as laser-off events of a run at one delay
    may well be in one bin; where there are events enough to tell; and not for a quick try on part of a run.
    """
    filled = [name for name, fates in bound.fates.items() if fates.binned]
    if str(bound.sample) or not all(_is_crowded(bound, name) for name in filled):
        return ()
    crowded = (_crowd(bound, name) for name in filled if bound.fates[name].binned >= ENOUGH)
    beside = (
        _beside(bound, name)
        for name, fates in bound.fates.items()
        if not fates.binned and fates.outside >= ENOUGH
    )
    return tuple(Problem(("axes",), f"{message}; {ALL_THE_SAME}") for message in (*crowded, *beside))


def check_bins(bound: Bound) -> None:
    """Raise SpecError where nearly all events are in one of several bins, or in none; see `crowded_bins`."""
    if errors := crowded_bins(bound):
        raise spec_error(errors)


def _near_edges(bound: Bound, axis: BinnedAxis, number: int) -> Iterator[Problem]:
    """Tell of set values on edges, and of readings between settings."""
    for name, counts in bound.census.counts.items():
        found = counts.near_edges[number]
        if found.near > NEAR_EDGE * max(found.finite, 1):
            events = f"selection {name!r}: {found.near:,} of {found.finite:,} events lie"
            yield _warning(("axes", number), f"{events} {_on_what(bound, axis)}")
            return


def _on_what(bound: Bound, axis: BinnedAxis) -> str:
    if axis.steps is None:
        return (
            f"on an edge of {axis.axis.field!r}{_whose_bin(bound, axis)}; if these are set values, use "
            "centers or steps: auto"
        )
    return (
        f"between the settings of {axis.axis.steps!r}, in no bin: they belong to none of the "
        f"{axis.axis.n_bins:,} "
        f"settings, each at most {axis.axis.tolerance:.3g} wide; give a larger tolerance if the readings of "
        "one setting spread over more, or a smaller one if the settings are closer than that"
    )


def _one_setting(axis: BinnedAxis, number: int) -> Iterator[Problem]:
    """Tell of a tolerance that makes one setting of readings that differ."""
    if axis.steps is None or axis.steps.gap is None:
        return
    low, high = axis.steps.settings.lowest[0], axis.steps.settings.highest[0]
    unit = f" {axis.axis.unit}" if axis.axis.unit else ""
    yield _warning(
        ("axes", number, "tolerance"),
        f"all readings of {axis.axis.steps!r}, {low:.6g} to {high:.6g}{unit}, are one setting, because the "
        f"tolerance {axis.axis.tolerance:.6g}{unit} is as wide as that or wider; the smallest distance of "
        f"two readings is {axis.steps.gap:.3g}{unit}: if these are steps, give a tolerance below that",
    )


def _whose_bin(bound: Bound, axis: BinnedAxis) -> str:
    if axis.source.converts or bound.run.fields[axis.source.field].dtype.kind == "f":
        return " to within rounding, so rounding decides their bin"
    return ", so they count in the bin above that edge (on the last edge: the bin below)"


def _leading_zeros(bound: Bound) -> Iterator[Problem]:
    # A scan may well begin at 0, and its variables and counters are there from the first event on.
    for name in sorted(_used_fields(bound) - {*bound.spec.missing, *candidates(bound.run.fields)}):
        info = bound.run.fields[name]
        if info.dtype.kind not in "iuf" or (info.shape and info.nbytes > MOST_LOOKED_AT):
            continue  # booleans are flags
        place = next(_uses(bound, name), None)
        if place is None:
            continue  # read beside what the spec asks for, so that the user knows nothing of it
        zeros = bound.run.source.leading_zero_rows(name)
        if zeros and not _zeros_are_usual(bound, name, zeros):
            first = "first event" if zeros == 1 else f"first {zeros:,} events"
            yield _warning(
                place,
                f"{name!r} is 0 in the {first} and not after; if these zeros mark missing values, add  "
                f"missing: {flow({name: 'leading_zeros'})}",
            )


def _wrapped_marks(bound: Bound) -> Iterator[Problem]:
    """Tell of the writers' mark in integers so small that it may be data."""
    for name in sorted(_used_fields(bound)):
        place = next(_uses(bound, name), None)
        if place is None or bound.run.fields[name].nbytes > MOST_LOOKED_AT:
            continue
        if (found := suspected_mark(bound.run, name)) is not None:
            yield _warning(
                place,
                f"{name!r} is {found}; if these values are missing, declare  missing: "
                f"{flow({name: _with_mark(bound, name, found.mark)})}; if they are data,  "
                f"missing: {flow({name: []})}",
            )


def _damaged_integers(bound: Bound) -> Iterator[Problem]:
    """Tell of integers that the run itself calls missing or damaged: they have no NaN to show it."""
    for name, found in bound.evidence.items():
        source = bound.signal(name).source
        if bound.run.fields[source].dtype.kind == "f":
            continue
        for selection, n_events in found.events.items():
            if n_events:
                place = next(_uses(bound, source), ())
                cut = flow({"field": found.field, "equal": 1})
                yield _warning(
                    place,
                    f"selection {selection!r}: {found.field!r} is 0 in {n_events:,} events, so {source!r} "
                    "is missing or damaged in them, but may be counted as a value; leave these events out "
                    f"with  {cut}",
                )


def _lacking_events(bound: Bound) -> Iterator[Problem]:
    """Tell of events that are announced and cannot be read: the cube is of part of the run."""
    yield from (_warning(("run",), str(found)) for found in bound.run.announced if not found.is_complete)


def _with_mark(bound: Bound, name: str, mark: int) -> object:
    """Return what to declare for a field, so that one more number is a mark."""
    declared = marks_of(bound.spec.missing.get(name, ()))
    return [*declared, mark] if declared else mark


def _uses(bound: Bound, name: str) -> Iterator[SpecPath]:
    """Yield the places in the spec that use a field."""
    spec = bound.spec
    yield from (("signals", i, "field") for i, signal in enumerate(spec.signals) if signal.field == name)
    yield from (("axes", i, "field") for i, axis in enumerate(spec.axes) if axis.field == name)
    yield from (
        ("derive", key) for key, derived in spec.derive.items() if name in derived_inputs(spec, derived)
    )
    yield from (path for path, field, _ in spec.further_scalars if field == name)
    for path, selection in walk_selections(spec):
        for here, member in walk_members(selection, path):
            if name in member_fields(spec, member):
                yield here
    for key in bound.selections:  # by the shorthands for laser and xray
        if name in fields(resolve_selection(spec, key)):
            yield "select", key


def _zeros_are_usual(bound: Bound, name: str, zeros: int) -> bool:
    """Return whether a field may well begin with that many zeros: a flag, a counter, or by chance."""
    if zeros == bound.run.n_events:
        return True  # a field that is always 0
    flags, n_zeros, fall = True, 0, 0.0
    steps: list[float] = []  # from 0 to the first other value, and the largest after it
    last = None
    for window in bound.run.windows():
        column = window.column(name)
        values = column.data if column.valid is None else column.data[column.valid]
        if values.dtype.kind == "f" and values.ndim == 1:
            values = values[np.isfinite(values)]
        flags = flags and bool(((values == 0) | (values == 1)).all())
        if values.ndim > 1 or not len(values):
            continue
        n_zeros += int(np.count_nonzero(values == 0))
        rises = np.diff(values.astype(np.float64), prepend=values[0] if last is None else last)
        last, fall = values[-1], min(fall, float(rises.min()))
        first = 0 if steps else int((values != 0).argmax())
        if not steps and values[first] != 0:
            steps = [float(values[first]), float(rises[first + 1 :].max(initial=0))]
        elif steps:
            steps[1] = max(steps[1], float(rises.max()))
    if flags:
        return True  # of one event code, or of all
    if bound.run.fields[name].shape:
        return False
    if fall == 0 and steps and steps[0] <= steps[1]:
        return True  # a counter, which takes no larger step from 0 than later
    share = (n_zeros - zeros) / (bound.run.n_events - zeros)
    return bool(share**zeros > CHANCE)


def _used_fields(bound: Bound) -> set[str]:
    """Return the fields of the file that the cube rests on, those of derived variables included."""
    used = {signal.source for signal in bound.signals} | {axis.axis.field for axis in bound.axes}
    for name in bound.selections:
        used |= fields(resolve_selection(bound.spec, name))
    for name in resolve_derived(bound.spec, used):
        used |= derived_inputs(bound.spec, bound.spec.derive[name])
    return {name for name in used if name in bound.run.source.fields}
