"""Histograms: the counts of numpy, whatever the windows, and every event accounted for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cubeengine import look
from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.look.bins import even_edges
from cubeengine.spec.selections import Cut
from tests.look.runs import N_EVENTS, odd_run, tiny_windows
from tests.planning.runs import memory_run
from tests.quick import first_quick

FLOATS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, np.nan, np.inf, -np.inf])


def edges_of(counts, name: str) -> np.ndarray:
    return np.append(counts[f"{name}_low"].values, counts[f"{name}_high"].values[-1])


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=FLOATS), st.integers(1, 20))
def test_counts_are_those_of_numpy(values, bins):
    counts = look.histogram(memory_run({"v": values}), "v", bins=bins)
    finite = values[np.isfinite(values)]
    np.testing.assert_array_equal(counts.values, np.histogram(finite, edges_of(counts, "v"))[0])
    assert counts.sum() == len(finite)  # the range is that of the values
    assert counts.attrs["n_missing"] == np.isnan(values).sum()
    assert counts.attrs["n_outside"] == np.isinf(values).sum()


@given(
    hnp.arrays(np.float64, 40, elements=st.floats(-10, 10)),
    st.lists(st.floats(-9, 9), min_size=2, max_size=9, unique=True).map(sorted),
)
def test_edges_that_are_given_are_those_of_numpy(values, edges):
    counts = look.histogram(memory_run({"v": values}), "v", bins=edges)
    np.testing.assert_array_equal(counts.values, np.histogram(values, edges)[0])
    assert counts.attrs["n_events"] + counts.attrs["n_outside"] == 40


@given(hnp.arrays(np.int32, st.integers(1, 50), elements=st.integers(-1000, 1000)), st.integers(1, 30))
def test_bins_of_integers_hold_whole_numbers_of_them(values, bins):
    counts = look.histogram(memory_run({"v": values}), "v", bins=bins)
    edges = edges_of(counts, "v")
    assert counts.sum() == len(values)
    assert len(counts) <= bins
    assert np.array_equal(edges + 0.5, np.round(edges + 0.5))
    assert len(np.unique(np.diff(edges))) == 1


@given(hnp.arrays(np.float64, 200, elements=st.floats(-1e3, 1e3)), st.floats(0, 40), st.floats(60, 100))
def test_percentiles_are_those_of_numpy(values, low, high):
    counts = look.histogram(memory_run({"v": values}), "v", percentiles=(low, high), bins=10)
    wanted = np.percentile(values, [low, high])
    if wanted[0] < wanted[1]:
        np.testing.assert_allclose(edges_of(counts, "v")[[0, -1]], wanted, rtol=1e-12, atol=1e-12)
    assert counts.attrs["n_outside"] == 200 - counts.sum()


@pytest.mark.parametrize("percentiles", [None, (1, 99)])
@pytest.mark.parametrize("name", first_quick(["x", "far", "n", "b", "sum(`wide`) / 2"]))
def test_windows_change_nothing(monkeypatch, name, percentiles):
    whole = look.histogram(odd_run(), name, percentiles=percentiles, select="`y` > 0")
    tiny_windows(monkeypatch)
    cut = look.histogram(odd_run(), name, percentiles=percentiles, select="`y` > 0")
    assert cut.drop_attrs().identical(whole.drop_attrs())
    for key in ("n_events", "n_selected", "n_missing", "n_outside"):
        assert cut.attrs[key] == whole.attrs[key]


def test_every_event_is_accounted_for():
    counts = look.histogram(odd_run(), "x", range=(-1, 1))
    attrs = counts.attrs
    assert attrs["n_missing"] == len(range(0, N_EVENTS, 7))
    assert attrs["n_events"] == counts.sum()
    assert attrs["n_selected"] == N_EVENTS == attrs["n_events"] + attrs["n_missing"] + attrs["n_outside"]


def test_missing_integers_are_not_counted_as_their_filler():
    run = odd_run()
    counts = look.histogram(run, "n")
    column = run.column("n")
    assert counts.sum() == column.valid.sum()
    np.testing.assert_array_equal(counts.sel(n=range(-3, 9)), np.bincount(column.data[column.valid] + 3))


def test_booleans_have_two_bins():
    counts = look.histogram(odd_run(), "b")
    assert counts["b"].values.tolist() == [0, 1]
    assert counts.values[1] == odd_run().column("b").data.sum()


def test_one_value_has_a_bin_around_it():
    counts = look.histogram(memory_run({"v": np.full(5, 7.0)}), "v", bins=3)
    assert counts.values.tolist() == [0, 5, 0]


def test_nothing_to_count_is_counted_as_nothing():
    counts = look.histogram(memory_run({"v": np.full(5, np.nan)}), "v", bins=3)
    assert counts.values.tolist() == [0, 0, 0]
    assert counts.attrs["n_missing"] == 5


def test_bins_of_huge_integers_are_usable():
    edges = even_edges(2**60, 2**60 + 10**6, 50, np.dtype("u8"))
    assert (np.diff(edges) > 0).all()


def test_labels_and_units_are_data():
    counts = look.histogram(odd_run().with_units({"x": "mm"}), "x", select=Cut(field="n", min=2))
    assert counts["x"].attrs["units"] == "mm"
    assert counts["x"].attrs["long_name"] == "x"
    assert counts.attrs["selection"] == "n >= 2"


def test_two_dimensions_are_those_of_numpy():
    run = odd_run()
    counts = look.histogram2d(run, "x", "n", bins=(8, 4))
    column, x = run.column("n"), run.column("x").data
    there = column.valid & np.isfinite(x)
    wanted, *_ = np.histogram2d(x[there], column.data[there], [edges_of(counts, d) for d in ("x", "n")])
    np.testing.assert_array_equal(counts.values, wanted)
    assert counts.attrs["n_missing"] == (~there).sum()


def test_mistakes_are_answered():
    run = odd_run()
    with pytest.raises(FieldNotFound, match="nearest"):
        look.histogram(run, "wid")
    with pytest.raises(
        SpecError, match=r"has 5 elements per event, but one number is needed: choose `wide`\[i\]"
    ):
        look.histogram(run, "wide")
    with pytest.raises(SpecError, match="must be a number, or two or more edges"):
        look.histogram(run, "x", bins=[1.0, 0.0])
    with pytest.raises(SpecError, match="must be from 1 to 1,000,000"):
        look.histogram(run, "x", bins=0)
    with pytest.raises(SpecError, match="range: must be two rising numbers"):
        look.histogram(run, "x", range=(1, -1))
    with pytest.raises(SpecError, match="percentiles"):
        look.histogram(run, "x", percentiles=(99, 1))
    with pytest.raises(SpecError, match="give two quantities"):
        look.histogram2d(run, "x", "x")
    with pytest.raises(FieldNotFound, match="'z'"):
        look.histogram(run, "x", select="`z` > 1")


# Pictures


def test_bars_are_the_counts():
    counts = look.histogram(odd_run(), "x", bins=20)
    ax = look.plot_histogram(odd_run(), "x", bins=20)
    values, edges, _ = ax.patches[0].get_data()
    np.testing.assert_array_equal(values, counts.values)
    np.testing.assert_array_equal(edges, edges_of(counts, "x"))


def test_picture_says_how_many_events_and_what_is_missing():
    ax = look.plot_histogram(odd_run().with_units({"x": "mm"}), "x", label="mine")
    (text,) = ax.get_legend_handles_labels()[1]
    assert text == "mine: n = 514, 86 missing"
    assert ax.get_xlabel() == "x (mm)"
    assert ax.get_ylabel() == "events"


def test_several_are_drawn_in_colours_of_their_own():
    ax = look.plot_histogram(odd_run(), "x")
    again = look.plot_histogram(odd_run(), "x", select="`b`", ax=ax)
    assert again is ax
    assert len({patch.get_edgecolor() for patch in ax.patches[::2]}) == 2


def test_ticks_fit_integers_and_booleans():
    ax = look.plot_histogram(odd_run(), "b")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["false", "true"]
    ax = look.plot_histogram(odd_run(), "n")
    assert all(tick == round(tick) for tick in ax.get_xticks())


def test_map_leaves_empty_bins_out():
    counts = look.histogram2d(odd_run(), "x", "y", bins=10)
    ax = look.plot_histogram2d(odd_run(), "x", "y", bins=10)
    drawn = ax.collections[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(np.ma.masked_invalid(drawn)), counts.values.T == 0)
    np.testing.assert_array_equal(np.nan_to_num(np.ma.filled(drawn, 0)), counts.values.T)
    assert "86 missing" in ax.get_title(loc="left")


def test_names_are_no_formulae():
    run = memory_run({"a$b$_{": np.arange(5.0)})
    look.plot_histogram(run, "a$b$_{").figure.canvas.draw()


@pytest.mark.parametrize("name", first_quick(["x", "far", "n", "b", "sum(`wide`) / 2"]))
def test_everything_can_be_drawn(name, tmp_path):
    look.plot_histogram(odd_run(), name, log=True).figure.savefig(tmp_path / "picture.png", dpi=40)
    look.plot_histogram2d(odd_run(), name, "y", log=True).figure.savefig(tmp_path / "picture.png", dpi=40)
