"""Bins that stay empty and cubes that are too large are warned of, with the ways out."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine.picking.api import pick
from cubeengine.picking.spec import PickSpec
from tests.planning.runs import DELAY, memory_run, plan_of, warnings_of


def has(messages, *words):
    return any(all(word in message for word in words) for message in messages)


def jittered_scan(n_steps=8, per_step=120):
    """A step scan from 0 ps on in steps of 0.5 ps: on events spread by the time tool, off events do not."""
    rng = np.random.default_rng(4)
    laser = np.tile([1, 1, 1, 1, 1, 0], n_steps * per_step // 6)
    return memory_run(
        {
            "scan/lxt": np.repeat(np.arange(n_steps) * 0.5e-12, per_step),
            "tt/ttCorr": rng.uniform(-0.25, 0.25, n_steps * per_step),
            "lightStatus/laser": laser,
            "i0": np.ones(n_steps * per_step),
        }
    )


ON_OFF = (
    "select: {{on: {{laser: on}}, {off}}}\ncubes: [on, off]\nsignals: [i0]\n"
    "axes: [{{field: delay, edges: {{start: -0.3, stop: 3.9, {bins}}}, unit: ps}}]"
)
LASER_OFF = "off: {laser: off}"


@pytest.mark.parametrize("off", [LASER_OFF, "off: ['lightStatus__laser == 0']"])
def test_off_bins_that_stay_empty_are_told_with_the_ways_out(off):
    run, text = jittered_scan(), ON_OFF.format(off=off, bins="step: 0.05")
    plan = plan_of(run, DELAY + text)
    edges = np.array(plan.bound.axes[0].axis.edges)
    column = run.column("scan/lxt").data * 1e12
    laser = run.column("lightStatus/laser").data
    off_counts = np.histogram(column[laser == 0], edges)[0]
    on_counts = np.histogram((column + run.column("tt/ttCorr").data)[laser == 1], edges)[0]
    lacking = np.count_nonzero((on_counts > 0) & (off_counts == 0))
    filled = np.count_nonzero(on_counts)
    assert lacking > 60
    messages = [warning.message for warning in plan.warnings]
    assert has(
        messages,
        f"'off' has no event in {lacking} of the {filled} bins that 'on' fills",
        "coarser bins (of at least 0.5 ps)",
        "cubeengine rebin CUBE.zarr -o ALL.zarr --drop delay",
        "derive: neighbours",
    )


@pytest.mark.parametrize("bins", ["bins: 8", "step: 0.6"])
def test_bins_as_wide_as_the_steps_are_no_matter(bins):
    assert not has(warnings_of(jittered_scan(), DELAY + ON_OFF.format(off=LASER_OFF, bins=bins)), "minus")


def test_two_selections_of_which_none_is_laser_off_may_fill_what_bins_they_like():
    text = ON_OFF.format(off="rest: ['lightStatus__laser == 0']", bins="step: 0.05").replace(
        "cubes: [on, off]", "cubes: [on, rest]"
    )
    assert not has(warnings_of(jittered_scan(), DELAY + text), "minus")


@pytest.mark.parametrize(("bins", "warned"), [(100_001, True), (2000, True), (1000, False), (60, False)])
def test_many_bins_of_which_nearly_all_are_empty(bins, warned):
    x = np.repeat(np.arange(180), 5) / 180 + 1e-4
    axis = f"{{field: x, edges: {{start: 0, stop: 1, bins: {bins}}}, unit: ''}}"
    messages = warnings_of(memory_run({"x": x}), f"axes: [{axis}]")
    n_empty = bins - np.count_nonzero(np.histogram(x, bins, (0, 1))[0])
    assert has(messages, f"{n_empty:,} of {bins:,} bins have no event", "steps: auto") == warned


BINS = "axes: [{{field: x, edges: {{start: 0, stop: 1, bins: {bins}}}, unit: ''}}]\nsignals: [frame]"


def frames(n_events, shape):
    """Frames that take no memory."""
    return np.broadcast_to(np.float32(1), (n_events, *shape))


@pytest.mark.parametrize(
    ("bins", "words"),
    [
        (400, ("9.38 GiB before compression", "more than the", "'frame' has 400 bins", "dtype: float32")),
        (50, ("1.17 GiB before compression", "more than the 400 MiB of input")),
        (10, ()),
    ],
)
def test_cubes_larger_than_their_input_are_told(bins, words):
    run = memory_run({"x": (np.arange(100) + 0.5) / 100, "frame": frames(100, (1024, 1024))})
    messages = warnings_of(run, BINS.format(bins=bins))
    assert has(messages, *words) if words else not has(messages, "before compression")


def test_large_cubes_are_told_though_their_input_is_larger():
    run = memory_run({"x": np.arange(8000) / 8000, "frame": frames(8000, (2048, 2048))})
    text = BINS.format(bins=250)
    assert has(warnings_of(run, text), "the result has 23.4 GiB before compression: 'frame'")


def test_picked_frames_that_are_many_are_told():
    run = memory_run({"x": np.arange(8000) / 8000, "frame": frames(8000, (2048, 2048))})
    spec = PickSpec.loads("cube: p\npick: {which: first, events: 5}\n" + BINS.format(bins=250))
    messages = [warning.message for warning in pick(run, spec).warnings]
    assert has(messages, "the result has 19.5 GiB before compression: 1,250 slots for events")
