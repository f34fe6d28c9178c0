"""What cuts keep, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import look
from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.selections import Cut as ResolvedCut
from cubeengine.look.cuts import cut_lines
from tests.look.runs import N_EVENTS, odd_run, tiny_windows

CUTS = [{"field": "n", "min": 0, "max": 5}, "`x` > -0.5", "`b` | (`y` > 0)"]


def masks() -> list[np.ndarray]:
    run = odd_run()
    n, x, y, b = (run.column(name) for name in "nxyb")
    with np.errstate(invalid="ignore"):
        return [(n.data >= 0) & (n.data <= 5) & n.valid, x.data > -0.5, b.data | (y.data > 0)]


@pytest.mark.parametrize("window", [10**6, 41])
def test_flow_is_that_of_masks(monkeypatch, window):
    tiny_windows(monkeypatch, window)
    flow = look.cut_flow(odd_run(), CUTS)
    kept = np.cumprod(masks(), axis=0).sum(axis=1)
    np.testing.assert_array_equal(flow["after"], kept)
    np.testing.assert_array_equal(flow["alone"], [mask.sum() for mask in masks()])
    np.testing.assert_allclose(flow["rejected"], 1 - kept / np.append(N_EVENTS, kept[:-1]))
    assert flow["cut"].values.tolist() == ["0 <= n <= 5", "x > -0.5", "b | (y > 0)"]


@pytest.mark.parametrize("window", [10**6, 41])
def test_histograms_are_of_all_events_and_of_those_the_other_cuts_keep(monkeypatch, window):
    tiny_windows(monkeypatch, window)
    found = look.cut_histograms(odd_run(), CUTS, bins=20)
    assert list(found) == ["0 <= n <= 5", "x > -0.5"]  # the third is on no single quantity
    own = found["x > -0.5"]
    x = odd_run().column("x").data
    edges = np.append(own["x_low"], own["x_high"][-1])
    first, second, third = masks()
    np.testing.assert_array_equal(own.values[0], np.histogram(x[np.isfinite(x)], edges)[0])
    others = first & third & np.isfinite(x)
    np.testing.assert_array_equal(own.values[1], np.histogram(x[others], edges)[0])
    assert own.attrs["lines"] == [-0.5]
    assert own.attrs["rejected"] == pytest.approx(1 - (others & second).sum() / others.sum())


@pytest.mark.parametrize(
    ("text", "quantity", "values"),
    [
        ("`x` > 3", "`x`", (3.0,)),
        ("-2 < `x` <= 1", "`x`", (-2.0, 1.0)),
        ("sum(`wide`) / 2 < 1", "sum(`wide`) / 2", (1.0,)),
        ("3 == `n`", "`n`", (3.0,)),
    ],
)
def test_lines_are_read_from_expressions(text, quantity, values):
    found = cut_lines(ResolvedCut("", Expression.parse(text)))
    assert (found.quantity, found.values) == (quantity, values)


@pytest.mark.parametrize("text", ["`x` > `y`", "`b`", "(`x` > 1) & (`y` > 1)", "not (`x` > 1)"])
def test_conditions_on_several_have_no_lines(text):
    assert cut_lines(ResolvedCut("", Expression.parse(text))) is None


def test_selection_without_cuts_is_refused():
    with pytest.raises(SpecError, match="has no cuts"):
        look.cut_flow(odd_run(), None)
    with pytest.raises(SpecError, match="has no cuts"):
        look.cut_flow(odd_run(), [])


def test_cut_that_leaves_nothing_is_no_fault():
    flow = look.cut_flow(odd_run(), ["`x` > 99", "`y` > 0"])
    assert flow["after"].values.tolist() == [0, 0]
    assert np.isnan(flow["rejected"][1])
    look.plot_cut_flow(odd_run(), ["`x` > 99", "`y` > 0"]).figure.canvas.draw()


# Pictures


def test_bars_are_the_events_kept():
    flow = look.cut_flow(odd_run(), CUTS)
    ax = look.plot_cut_flow(odd_run(), CUTS)
    widths = [patch.get_width() for patch in ax.patches]
    assert widths == [*flow["alone"].values, N_EVENTS, *flow["after"].values]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all events", *flow["cut"].values]
    words = [text.get_text() for text in ax.texts]
    assert words[0] == f" {flow['after'].values[0]} ({flow['after'].values[0] / 6:.1f}%); rejects 58.8%"


def test_cuts_are_lines_at_their_bounds():
    panels = look.plot_cuts(odd_run(), CUTS)
    assert [line.get_xdata()[0] for line in panels[0].lines] == [0, 5]
    assert [line.get_xdata()[0] for line in panels[1].lines] == [-0.5]
    assert panels[1].get_title().startswith("x > -0.5: rejects ")
    found = look.cut_histograms(odd_run(), CUTS)
    np.testing.assert_array_equal(panels[1].patches[1].get_data().values, found["x > -0.5"].values[1])


def test_bound_far_off_does_not_squeeze_the_values():
    (panel,) = look.plot_cuts(odd_run(), "`x` < 1e30")
    assert panel.get_xlim()[1] < 5


def test_selection_without_single_quantities_has_no_panels():
    assert look.plot_cuts(odd_run(), "`x` > `y`") == []
