"""A first spec for a run: it runs as it is, and says in its comments what to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine.budget import format_size
from cubeengine.events.run import Run
from cubeengine.events.scan import is_counter
from cubeengine.events.wrapped import Suspicion, suspected_mark
from cubeengine.schema.texts import NAME, counted
from cubeengine.spec.nice import centers_of, centers_over, listed_centers, rounded
from cubeengine.spec.shots import LASER, XRAY
from cubeengine.spec.survey import Survey
from cubeengine.spec.writing import flow
from cubeengine.types import FieldInfo
from cubeengine.units import convert

FAST_BINS = 25
MAX_STEPS = 1000
MAX_SCALARS, MAX_ARRAYS = 12, 8
MAX_CUBE_NBYTES = 2**30  # above that a signal is left for the user to decide on


RAW_KINDS = ("jungfrau", "epix10k", "epixquad", "epixhr")
"""Beginnings of the types of detectors whose raw values hold gain bits as well."""

Names = str | Path | Sequence[str | Path]


def starter(run: Run, smalldata: str | Path | None = None, xtc: Names | None = None) -> str:
    """Write a spec for a run, with the scan axis, cuts, laser and signals that fit it.

    Parameters
    ----------
    run : Run
        The run; only scalars are read.
    smalldata, xtc : str or Path, optional
        How the spec is to name the smallData file, and the raw files or their directory. Default, where
        neither is given: their full paths.

    Returns
    -------
    str
        YAML with comments.
    """
    suspected = [found for name in run.source.fields if (found := _suspected(run, name)) is not None]
    survey = Survey(run.with_missing({found.field: found.mark for found in suspected}) if suspected else run)
    if smalldata is None and xtc is None:
        smalldata, xtc = _places(run)
    sections = [
        _head(survey, smalldata, xtc),
        _units(survey),
        _missing(suspected),
        _derive(survey),
        _select(survey),
        _axes(survey),
        _cubes(survey),
        _signals(survey),
        _resources(),
    ]
    return "\n".join("\n".join(lines) + "\n" for lines in map(list, sections) if lines)


def _places(run: Run) -> tuple[Path | None, Path | None]:
    """Return the smallData file and the raw file, or the directory of several."""
    files = [file.path for file in run.source.files]
    raw = [path for path in files if ".xtc2" in path.suffixes and ".smd" not in path.suffixes]
    smalldata = next((path for path in files if ".xtc2" not in path.suffixes), None)
    return smalldata, (raw[0] if len(raw) == 1 else raw[0].parent) if raw else None


def _head(survey: Survey, smalldata: str | Path | None, xtc: Names | None) -> Iterator[str]:
    run = survey.run
    events = counted(run.n_events, "event")
    yield f"# Cube of {run.label}: {events}. Look at it with `cubeengine check` and `plan`."
    yield f"cube: {_cube_name(survey)}"
    yield "run:"
    if run.run_id is not None:
        yield f"  experiment: {flow(run.run_id.experiment)}"
        yield f"  run: {run.run_id.run}"
    if smalldata is not None:
        yield f"  smalldata: {flow(_template(str(smalldata), run))}"
    if xtc is not None:
        files = [xtc] if isinstance(xtc, str | Path) else list(xtc)
        names = [_template(str(name), run) for name in files]
        yield f"  xtc: {flow(names if len(names) > 1 else names[0])}"
    yield from _states(survey)


def _states(survey: Survey) -> Iterator[str]:
    """Say what `laser: on` and `xray: on` mean where that is not what they mean by default."""
    found = {"laser": survey.laser_shots, "xray": survey.xray_shots}
    told = {key: shots.text for key, shots in found.items() if shots.by_code}
    if told:
        yield "  # Event codes by the usual convention. Your hutch may use others: please confirm them."
    for key, text in told.items():
        yield f"  {key}: {flow(text)}"


def _cube_name(survey: Survey) -> str:
    if survey.delay is not None:
        return "delay"
    motors = survey.run.scan.variables
    motor = re.sub(r"[^A-Za-z0-9_]", "", motors[0].rpartition("/")[2])[:40] if motors else ""
    return motor if NAME.fullmatch(motor) else "average"


def _template(name: str, run: Run) -> str:
    """Put the run number's place for the number, so that -r makes the cube of another run."""
    if run.run_id is None:
        return name
    folder, slash, leaf = name.rpartition("/")
    leaf = re.sub(rf"(Run|-r){run.run_id.run:04d}(?=\D|$)", r"\1{run:04d}", leaf)
    return f"{folder}{slash}{leaf}"


def _units(survey: Survey) -> Iterator[str]:
    offer = survey.delay
    if offer is None:
        return
    yield "# Files store no units. These follow the facility's conventions: please confirm them."
    yield "units:"
    yield f"  {flow(offer.nominal)}: {offer.unit}  # here from {offer.low:.6g} to {offer.high:.6g}"
    if offer.recipe.timetool is not None:
        values = survey.values(offer.recipe.timetool)
        low, high = np.quantile(values, [0.02, 0.98]) if len(values) else (np.nan, np.nan)
        yield f"  {flow(offer.recipe.timetool)}: ps  # here mostly from {low:.2g} to {high:.2g}"


def _suspected(run: Run, name: str) -> Suspicion | None:
    return suspected_mark(run, name) if name in run.fields and name.isprintable() else None


def _missing(suspected: Sequence[Suspicion]) -> Iterator[str]:
    if suspected:
        yield (
            "# These numbers probably mark missing values, so they are left out. Please confirm; put [] for a"
        )
        yield "# field whose number is data after all."
        yield "missing:"
    for found in suspected:
        yield f"  {flow(found.field)}: {found.mark}  # in {found.n_marked:,} of {found.n_events:,} events"


def _derive(survey: Survey) -> Iterator[str]:
    offer = survey.delay
    if offer is None:
        return
    recipe: dict[str, Any] = {"nominal": offer.nominal}
    if offer.recipe.timetool is not None:
        recipe |= {"timetool": offer.recipe.timetool, "sign": 1}
        yield "# Pump-probe delay in ps: nominal + sign * timetool - t0; without laser nominal - t0."
    else:
        yield f"# Pump-probe delay in ps: nominal - t0. {_uncorrected(survey.timetool.position)}"
    yield f"# {offer.reason}."
    recipe["t0"] = "0 ps"
    if offer.recipe.valid is not None:
        position = survey.timetool.position or offer.recipe.timetool
        yield f"# Where the time tool found no edge, {position} is 0: these events have no delay."
        recipe["valid"] = offer.recipe.valid
    if offer.recipe.laser is not None:
        yield f"# The run does not record when the laser was on ({LASER}): all events count as pumped."
        recipe["laser"] = offer.recipe.laser
    yield "derive:"
    yield f"  delay: {flow({'delay': recipe})}"


def _uncorrected(position: str | None) -> str:
    """Say why no time tool corrects the delay; `position` is the field of the edge in pixels, if any."""
    if position is None:
        return "The run has no time tool."
    return f"{position} is in pixels, and the run has no conversion to ps: it is not used."


def _select(survey: Survey) -> Iterator[str]:
    good = list(_good(survey))
    if good or all(survey.laser):
        yield "select:"
        yield "  good:" if good else "  good: []"
    yield from good
    if not all(survey.laser):
        return
    tool = survey.timetool
    corrected = survey.delay is not None and survey.delay.recipe.timetool is not None
    if not corrected or tool.amplitude is None or tool.least_amplitude is None:
        yield "  on: {all: [good], laser: on}"
        yield "  off: {all: [good], laser: off}"
        return
    group = f"{tool.amplitude.partition('/')[0]}/*"
    yield "  # A weak time-tool signal is unreliable: require 0.3 of the median amplitude."
    if tool.usual_fwhm is not None:
        yield f"  # To cut on the width of the edge as well: {flow(tool.quality)}"
    yield f"  pumped: [good, {flow({'field': tool.amplitude, 'min': tool.least_amplitude})}]"
    yield "  on: {all: [pumped], laser: on}"
    yield "  # Without laser there is no time-tool signal: these events skip its cuts."
    yield f"  off: {{all: [pumped], laser: off, without: [{flow(group)}]}}"


def _good(survey: Survey) -> Iterator[str]:
    if survey.has_xray and survey.xray_shots.by_code:
        yield "    - {xray: on}"
    elif survey.has_xray:
        yield f"    - {flow({'field': XRAY, 'equal': 1})}  # X-rays delivered; 0 is dropped, -1 unknown"
    if survey.i0 is None:
        return
    values = survey.values(survey.i0)
    if not len(values):
        return
    low, high = (rounded(float(limit), 3) for limit in np.quantile(values, [0.02, 0.98]))
    yield f"    # Shots of normal intensity: the middle 96 % of {survey.i0}."
    yield f"    - {flow({'field': survey.i0, 'min': low, 'max': high})}"


def _axes(survey: Survey) -> Iterator[str]:
    motors = survey.run.scan.variables
    if survey.delay is not None:
        yield "axes:"
        yield from _delay_axis(survey, survey.delay.nominal, survey.delay.unit)
    elif motors:
        yield "axes:"
        for motor in motors[:2]:
            yield from _motor_axis(survey, motor)
    else:
        yield "# No scan variable moves in this run. Without axes, all events are in one bin."
        if survey.i0 is not None:
            yield f"# Example of an axis: axes: [{flow({'field': survey.i0, 'quantiles': 5})}]"


def _delay_axis(survey: Survey, field: str, unit: str) -> Iterator[str]:
    settings = convert(survey.distinct(field), unit, "ps")
    axis: dict[str, Any] = {"field": "delay"}
    stepped = field in survey.run.scan.variables and not survey.run.scan.is_fly
    if stepped:
        settings = convert(survey.run.scan.values[field], unit, "ps")
        yield f"  # A step scan of {len(settings)} settings: one bin around each setting."
        axis["centers"] = centers_of(settings) or listed_centers(settings)
    else:
        yield f"  # {field} moves continuously: about {FAST_BINS} bins over its range."
        axis["centers"] = centers_over(settings, FAST_BINS)
    yield f"  - {flow({**axis, 'unit': 'ps'})}"
    yield from _counted_steps(survey, "delay")


def _motor_axis(survey: Survey, motor: str) -> Iterator[str]:
    n_settings = len(survey.run.scan.values[motor])
    if is_counter(motor):
        yield f"  # Nothing moves, but the data acquisition made {n_settings} steps: one bin for each step."
        yield f"  - {flow({'field': motor, 'steps': 'auto', 'unit': ''})}"
    elif survey.run.scan.is_fly or n_settings > MAX_STEPS:
        yield f"  # {motor} moves continuously: bins of equally many events."
        yield f"  - {flow({'field': motor, 'quantiles': FAST_BINS})}"
    else:
        yield f"  # One bin for each of the {n_settings} settings. The axis takes its unit"
        yield "  # from `units`, once it is declared there."
        yield f"  - {flow({'field': motor, 'steps': 'auto'})}"
    yield from _counted_steps(survey, motor)


def _counted_steps(survey: Survey, motor: str) -> Iterator[str]:
    """Say how to bin by the steps that were made, where settings were repeated."""
    scan = survey.run.scan
    if scan.n_counted is not None and scan.n_counted > scan.n_steps and not scan.is_fly:
        made = f"{scan.n_counted} steps at {scan.n_steps} settings"
        yield f"  # The data acquisition made {made}. A bin for each step:"
        yield f"  # - {flow({'field': motor, 'steps': scan.step_field})}"


def _cubes(survey: Survey) -> Iterator[str]:
    if all(survey.laser):
        yield "cubes: [on, off]"
    elif survey.has_xray or survey.i0 is not None:
        yield "cubes: [good]"


def _signals(survey: Survey) -> Iterator[str]:
    scalars = survey.scalar_signals
    if not scalars and not survey.arrays:
        yield "# No obvious detector field; `cubeengine fields` lists all fields."
        return
    lines = [f"  {'' if i < MAX_SCALARS else '# '}- {flow(name)}" for i, name in enumerate(scalars)]
    lines += [_array_signal(survey, info, wanted=i < MAX_ARRAYS) for i, info in enumerate(survey.arrays)]
    yield "# Stored for every bin: mean, spread and count. Images need nothing special."
    yield "signals:" if any(line.startswith("  -") for line in lines) else "# signals:"
    yield from lines


def _array_signal(survey: Survey, info: FieldInfo, *, wanted: bool) -> str:
    shape = " x ".join(map(str, info.shape))
    nbytes = info.n_elements * 8 * 3 * _n_groups(survey)
    large = f"; {format_size(nbytes)} in the cube" if nbytes > MAX_CUBE_NBYTES else ""
    off = "" if wanted and not large else "# "
    return f"  {off}- {flow(info.name)}  # {shape}{large}{_advice(survey, info)}"


def _advice(survey: Survey, info: FieldInfo) -> str:
    """Say what to do with raw frames: they mean little before they are calibrated."""
    detector = survey.run.detector(info.name)
    if detector is None or not detector.kind.lower().startswith(RAW_KINDS) or info.dtype.kind not in "iu":
        return ""
    signal = {"field": info.name, "stages": [{"calibrate": f"{detector.name}.h5"}]}
    return f"; raw, with gain bits. With constants: {flow(signal)}"


def _n_groups(survey: Survey) -> int:
    """Estimate how many averages of each signal the cube holds."""
    selections = 2 if all(survey.laser) else 1
    if survey.delay is not None:
        return selections * max(FAST_BINS, survey.run.scan.n_steps)
    return selections * survey.run.scan.n_steps


def _resources() -> Iterator[str]:
    yield "resources: {memory: 2 GiB}  # per worker; decides how the work is divided"
