"""Values that files have and nobody expects: each function that looks at them, against plain numpy."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from cubeengine import look
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.look.events import LARGEST
from tests.planning.runs import memory_run

N = 60
HALF = N // 2
VALUES: dict[str, np.ndarray] = {
    "all NaN": np.full(N, np.nan),
    "all infinite": np.tile([np.inf, -np.inf], HALF),
    "some infinite": np.tile([np.inf, 1.0, 2.0], 20),
    "opposite and huge": np.tile([1.7e308, -1.7e308, 1e308, -1e308], 15),
    "one huge among usual": np.append(np.arange(N - 1.0), 1e308),
    "as large as may be": np.tile([LARGEST, -LARGEST], HALF),
    "as small as may be": np.tile([5e-324, 0.0], HALF),
    "constant": np.full(N, 3.5),
    "zero": np.zeros(N),
    "one digit apart": 1 + np.arange(N) * 2.2e-16,
    "float32 at its end": np.tile([3.4e38, -3.4e38], HALF).astype(np.float32),
    "integers beyond 2^53": 2**60 + np.arange(N) * 2**20,
    "integers that float64 takes for one": 2**60 + np.arange(N) * 7,
    "ends of int64": np.tile([2**63 - 1, -(2**63), 2**53 + 1, 0], 15),
    "ends of uint64": np.tile(np.array([2**64 - 1, 2**63, 1, 0], np.uint64), 15),
    "constant integer": np.full(N, 255, np.uint8),
    "true": np.ones(N, bool),
    "one event": np.array([2.5]),
    "one NaN": np.array([np.nan]),
    "no event": np.zeros(0),
}
MISSING = "all missing"
NOTHING = "w < -1"
"""A selection that keeps no event."""


def run_of(name: str) -> Run:
    if name == MISSING:
        lacking = {"x": np.zeros(N, bool), "frame": np.zeros(N, bool)}
        return memory_run({"w": np.arange(N) * 1.0, "x": np.arange(N), "frame": np.ones((N, 2, 3))}, lacking)
    x = VALUES[name]
    frame = np.broadcast_to(x[:, None, None], (len(x), 2, 3))
    return memory_run({"w": np.arange(len(x)) * 1.0, "x": x, "frame": frame})


def shown(name: str) -> np.ndarray:
    """The events with a value that can be shown."""
    if name == MISSING:
        return np.zeros(N, bool)
    with np.errstate(over="ignore"):
        return np.abs(VALUES[name].astype(np.float64)) <= LARGEST


def exact_counts(name: str, edges: np.ndarray) -> np.ndarray:
    """Counts of whole numbers and floats in [low, high), the last bin [low, high], without any rounding."""
    bounds = [Fraction(edge) for edge in edges.tolist()]
    bounds[-1] += Fraction(1, 10**400)
    values = range(0) if name == MISSING else VALUES[name][shown(name)].tolist()
    bins = [bisect.bisect_right(bounds, Fraction(value)) - 1 for value in values]
    return np.bincount(bins, minlength=len(edges) - 1) if bins else np.zeros(len(edges) - 1, int)


def floats(name: str) -> np.ndarray:
    return np.arange(N) * 1.0 if name == MISSING else VALUES[name].astype(np.float64)


@pytest.fixture(params=[*VALUES, MISSING])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_histogram_counts_as_numpy_and_tells_the_rest(name: str) -> None:
    found = look.histogram(run_of(name), "x", bins=8)
    edges = np.append(found["x_low"].values, found["x_high"].values[-1])
    values, there = floats(name), shown(name)

    np.testing.assert_array_equal(found.values, exact_counts(name, edges))
    assert found.attrs["n_events"] == there.sum() == found.values.sum()
    assert found.attrs["n_missing"] == (len(values) if name == MISSING else np.isnan(values).sum())
    assert sum(found.attrs[key] for key in ("n_events", "n_missing", "n_outside")) == len(values)


def test_two_quantities_are_counted_as_by_numpy(name: str) -> None:
    found = look.histogram2d(run_of(name), "x", "w", bins=5)
    there, w = shown(name), np.arange(len(floats(name)))
    edges = [np.append(found[f"{dim}_low"].values, found[f"{dim}_high"].values[-1]) for dim in ("x", "w")]

    np.testing.assert_array_equal(found.values.sum(axis=1), exact_counts(name, edges[0]))
    np.testing.assert_array_equal(found.values.sum(axis=0), np.histogram(w[there], edges[1])[0])


def test_correlation_is_that_of_numpy_or_nothing(name: str) -> None:
    found = look.correlation(run_of(name), "x", "w")
    there = shown(name)
    x, w = floats(name)[there], np.arange(len(there))[there]

    if len(x) < 2 or (x == x[0]).all():
        assert np.isnan(found["correlation"])
    elif np.ptp(x) > 1e-300 and name != "integers that float64 takes for one":  # else numpy has no digits
        scaled = x / np.abs(x).max()
        np.testing.assert_allclose(found["correlation"], np.corrcoef(scaled, w)[0, 1], atol=1e-6)


def test_trace_has_the_means_of_numpy(name: str) -> None:
    found = look.trace(run_of(name), "x", over="event", bins=5)
    values, there = floats(name), shown(name)
    parts = np.array_split(np.arange(len(values)), max(min(5, len(values)), 1)) if len(values) else []

    for number, part in enumerate(parts):
        kept = values[part][there[part]]
        assert found["count"].values[number] == len(kept)
        for statistic in ("mean", "std") if len(kept) else ():
            wanted = getattr(np, statistic)(kept)
            np.testing.assert_allclose(found[statistic].values[number], wanted, rtol=1e-9, atol=1e-15)


def test_scan_has_the_means_and_errors_of_numpy(name: str) -> None:
    data = look.scan_curve(run_of(name), "x", axis="w", bins=np.linspace(0, N, 6))
    values, there = floats(name), shown(name)
    bins = np.arange(len(values)) // 12

    for number in range(5):
        kept = values[(bins == number) & there]
        assert data["count"].values[0, number] == len(kept)
        if len(kept) > 1:
            np.testing.assert_allclose(data["value"].values[0, number], kept.mean(), rtol=1e-9)
            error = kept.std(ddof=1) / np.sqrt(len(kept))
            np.testing.assert_allclose(data["error"].values[0, number], error, rtol=1e-6, atol=1e-15)
        else:
            assert np.isnan(data["error"].values[0, number])


def test_cut_flow_counts_as_numpy(name: str) -> None:
    found = look.cut_flow(run_of(name), ["x > 1", "w > 3"])
    values = np.full(N, np.nan) if name == MISSING else VALUES[name]
    first = values > 1

    assert found["after"].values.tolist() == [first.sum(), (first & (np.arange(len(first)) > 3)).sum()]


def test_fraction_of_missing_values_is_right(name: str) -> None:
    found = look.missing_fractions(run_of(name), ["x"])
    values = np.full(N, np.nan) if name == MISSING else floats(name)

    assert found.item() == pytest.approx(np.isnan(values).mean() if len(values) else 0.0)


def test_mean_image_is_that_of_numpy(name: str) -> None:
    values = np.full(N, np.nan) if name == MISSING else floats(name)
    finite = values[np.isfinite(values)]
    found = look.average_image(run_of(name), "frame")

    assert found["mean"].shape == (2, 3)
    if not len(finite):
        assert np.isnan(found["mean"]).all()
    elif np.abs(finite).max() <= LARGEST:
        np.testing.assert_allclose(found["mean"], np.full((2, 3), finite.mean()), rtol=1e-9, atol=1e-323)


DRAWN = (
    "all NaN", "opposite and huge", "one huge among usual", "as large as may be", "as small as may be",
    "ends of uint64", "one event", "no event", MISSING,
)  # fmt: skip
Picture = Callable[[Run, Any], Any]
PICTURES: dict[str, Picture] = {
    "histogram": lambda run, select: look.plot_histogram(run, "x", select=select),
    "histogram, log": lambda run, select: look.plot_histogram(run, "x", log=True, select=select),
    "percentiles": lambda run, select: look.plot_histogram(run, "x", percentiles=(1, 99), select=select),
    "two quantities": lambda run, select: look.plot_histogram2d(run, "x", "w", log=True, select=select),
    "points": lambda run, select: look.plot_correlation(run, "x", "w", select=select),
    "density": lambda run, select: look.plot_correlation(run, "w", "x", points=0, select=select),
    "trace": lambda run, select: look.plot_trace(run, "x", select=select),
    "trace in bins": lambda run, select: look.plot_trace(run, "x", bins=5, select=select),
    "scan": lambda run, select: look.plot_scan(run, "x", axis="w", bins=5, select=select),
    "ratio": lambda run, select: look.plot_scan(run, "w", "x", axis="w", bins=5, select=select),
    "ratio by shot": lambda run, select: look.plot_scan(
        run, "w", "x", axis="w", bins=5, select=select, statistic="mean_of_ratio"
    ),
    "axis": lambda run, select: look.plot_scan(run, "w", axis="x", select=select),
    "cut flow": lambda run, select: look.plot_cut_flow(run, ["x > 1", select or "w > 3"]),
    "cuts": lambda run, select: look.plot_cuts(run, ["x > 1", select or "w > 3"])[0],
    "image": lambda run, select: look.plot_average_image(run, "frame", select=select),
}


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES)
def test_whatever_the_values_there_is_a_picture(picture: str) -> None:
    for name in DRAWN:
        draw(picture, name, None)
    draw(picture, "constant", NOTHING)


def draw(picture: str, name: str, select: str | None) -> None:
    try:
        figure = PICTURES[picture](run_of(name), select).figure
        figure.set_layout_engine("none")  # drawn once, not twice
        figure.draw_without_rendering()
    except Exception as err:
        err.add_note(f"when drawing {picture!r} of {name!r}, selected: {select}")
        raise


@pytest.mark.parametrize("name", ["all NaN", "opposite and huge", "no event"])
def test_whatever_the_values_there_is_an_overview(name: str) -> None:
    chosen = look.Choices(i0="x", scan="x", timetool="x", amplitude="x")
    panels = look.plot_overview(run_of(name), fields=chosen)
    panels["i0"].figure.set_layout_engine("none")
    panels["i0"].figure.draw_without_rendering()

    assert panels["i0"].get_xlabel() == "x"


def test_a_picture_without_values_says_so() -> None:
    for name, words in (("all NaN", "n = 0, 60 missing"), ("opposite and huge", "n = 0, 60 outside")):
        ax = look.plot_trace(run_of(name), "x", bins=5)
        assert [text.get_text() for text in ax.texts] == ["no event has a value"]
        assert words in ax.get_legend().get_texts()[0].get_text()


def test_a_trace_without_values_shows_the_time_of_the_run() -> None:
    run = run_of("all NaN")
    low, high = look.plot_trace(run, "x", bins=5).get_xlim()
    days = run.time.astype("datetime64[ns]").astype(np.int64) / 86400e9

    assert days[0] <= low < high <= days[-1]


def test_a_bin_between_two_gaps_is_seen() -> None:
    x = np.full(N, np.nan)
    x[30:33] = 1.0
    ax = look.plot_trace(memory_run({"x": x}), "x", over="event", bins=20)

    assert ax.lines[0].get_markevery() == [10]


@pytest.mark.parametrize(
    "given", [{"range": (0, np.inf)}, {"bins": [0.0, 1e308]}, {"range": (-1.7e308, 1.7e308)}]
)
def test_bins_that_cannot_be_drawn_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="none beyond 1e"):
        look.histogram(run_of("constant"), "x", **given)
