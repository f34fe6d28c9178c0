from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from cubeengine.errors import StoreMismatch
from cubeengine.report import pictures, write_report
from cubeengine.report.html import element, table
from cubeengine.report.page import NO_PICTURES, report_html
from cubeengine.store.files import StoreWriteError
from tests.makers.frames import SPEC, forced_plan, frame_arrays, memory_run

EVIL = "<script>alert(1)</script>\"'&$\\frac{\x1b\u202e\ud800\u4e2d"


def dataset_of(
    *n_bins: int, signals: tuple[str, ...] = ("i0", "roi"), name: str = "good", **attrs: Any
) -> xr.Dataset:
    """Make a cube with axes of so many bins, as if it had been read."""
    axes = tuple(f"axis{i}" for i in range(len(n_bins)))
    dims = ("selection", *axes)
    shape = (2, *n_bins)
    random = np.random.default_rng(1)
    counts = random.integers(0, 50, shape)
    variables: dict[str, Any] = {"n_events": (dims, counts)}
    for signal in signals:
        for statistic in ("mean", "std"):
            variables[f"{signal}_{statistic}"] = (dims, random.normal(5, 1, shape), {"field": signal})
        variables[f"{signal}_count"] = (dims, counts)
    coordinates: dict[str, Any] = {"selection": [name, "all"]}
    for axis, number in zip(axes, n_bins, strict=True):
        edges = np.linspace(0, 1, number + 1)
        coordinates[axis] = (axis, (edges[1:] + edges[:-1]) / 2, {"units": "ps"})
        coordinates[f"{axis}_bnds"] = ((axis, "bnds"), np.stack([edges[:-1], edges[1:]], axis=1))
    return xr.Dataset(variables, coordinates, attrs)


class Checker(HTMLParser):
    """Collects what could load or run something, and checks that tags are closed."""

    VOID = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.suspects: list[str] = []
        self.images = 0
        self.data: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in self.VOID else [tag]
        for key, value in attrs:
            inline = key == "src" and str(value).startswith("data:image/png;base64,")
            self.images += inline
            if key.startswith("on") or (key in ("src", "href", "action") and not inline):
                self.suspects.append(f"{tag} {key}={value}")
        if tag in ("script", "link", "iframe", "object", "base", "form", "svg"):
            self.suspects.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.suspects == []
    assert checker.open == []
    assert "@import" not in page
    assert "url(" not in page
    return checker


@pytest.mark.parametrize(("n_bins", "n_images"), [((), 4), ((12,), 4), ((5, 7), 4), ((2, 2, 2), 0)])
def test_page_of_any_number_of_axes_needs_nothing_else(n_bins: tuple[int, ...], n_images: int) -> None:
    checker = checked(report_html(dataset_of(*n_bins), "cube.zarr"))

    assert checker.images == n_images  # events, i0, roi, roi over i0
    assert ("The cube has 3 axes; pictures have two." in checker.data) == (not n_images)


@pytest.mark.slow
def test_whatever_a_cube_says_is_text() -> None:
    attrs = {
        "title": EVIL,
        "run": EVIL,
        "spec_yaml": EVIL,
        "partial_run": EVIL,
        "n_events_total": 9,
        "launcher": EVIL,
        "cut_flow": {EVIL: [[EVIL, 5, 4]]},
        "fates": {EVIL: {EVIL: 9}},
        "left_out": {EVIL: {EVIL: {"missing": 1}}},
        "inputs": [{"path": EVIL, "size": 1, "mtime_ns": 1}],
        "versions": {EVIL: EVIL},
        "cubeengine": {"version": EVIL},
        "merged_from": [{"path": EVIL, "run": EVIL, "hash": EVIL}],
        "history": [{"did": EVIL}],
        "plan": {"strategy": {EVIL: EVIL}},
        "computation": {"incidents": [{"signal": EVIL, "what": EVIL, "reason": EVIL, "events": [0, 5]}]},
    }
    dataset = dataset_of(4, signals=(EVIL,), name=EVIL, **attrs)

    page = report_html(dataset, EVIL)

    checker = checked(page)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\ud800" not in page
    assert checker.images == 2
    assert "".join(checker.data).count("<script>alert(1)</script>\"'&$\\frac{???") > 20


def test_page_tells_where_all_events_went() -> None:
    fates = {"good": {"binned": 5, "cut": 3, "nan": 2}, "all": {"binned": 10, "cut": 0, "nan": 0}}
    flow = {"good": [["x > 1", 8, 8], ["laser on", 6, 5]]}

    page = report_html(dataset_of(3, fates=fates, n_events_total=10, cut_flow=flow), "cube.zarr")

    assert "The numbers of every row add up to the 10 events of the run." in page
    assert "80.0%" in page
    assert '<div style="width:50.00%">' in page


def test_fates_that_do_not_add_up_are_said_to() -> None:
    page = report_html(dataset_of(3, fates={"good": {"binned": 5}}, n_events_total=10), "cube.zarr")

    assert "The numbers of these rows do not add up to the 10 events of the run: good." in page


def test_page_tells_rates_memory_and_blocks_that_failed() -> None:
    incident = {
        "what": "left out",
        "signal": "roi",
        "events": [100, 200],
        "times": 4,
        "reason": "no such chunk",
    }
    computation = {
        "seconds": 2.0,
        "read_nbytes": 10**8,
        "resumed_nbytes": 2**20,
        "workers": 3,
        "threads": 1,
        "n_incidents": 7,
        "incidents": [incident],
    }
    memory = {"measured": 3 * 2**20, "projected": 4 * 2**20}

    data = checked(report_html(dataset_of(3, computation=computation, memory=memory), "cube.zarr")).data

    for told in (
        "50.0 MB/s",
        "1 MiB",
        "75%",
        "3 with 1 thread(s) each",
        "100 to 199",
        "no such chunk",
        "6 more are not shown.",
    ):
        assert told in data


def test_page_of_a_bare_cube_has_no_empty_sections() -> None:
    page = report_html(dataset_of(3), "cube.zarr")

    assert "<h2>Events in the bins</h2>" in page
    for title in ("Inputs", "Computation", "Cut flow", "Where the events went", "Spec"):
        assert f"<h2>{title}</h2>" not in page


def test_without_matplotlib_there_are_the_tables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    checker = checked(report_html(dataset_of(3), "cube.zarr"))

    assert checker.images == 0
    assert NO_PICTURES in checker.data


def test_picture_that_cannot_be_drawn_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("too <wide>")

    monkeypatch.setattr(pictures, "plot_cube", fails)

    assert "No picture of roi: too &lt;wide&gt;" in report_html(dataset_of(3), "cube.zarr")


def test_page_stays_below_5_MB(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_png", lambda _: "A" * 300_000)
    monkeypatch.setattr(pictures, "plot_cube", lambda *_, **__: None)
    files = [{"path": f"/data/{'long' * 40}-{i}.xtc2", "size": i, "mtime_ns": i} for i in range(3000)]
    flow = {f"s{i}": [["x" * 3000, 5, 5]] * 20 for i in range(200)}
    lack = {f"signal{i}": {"good": {"missing": 5}} for i in range(5000)}
    incidents = [{"signal": "roi", "reason": "r" * 9000, "events": [0, 5]}] * 200
    dataset = dataset_of(
        200,
        300,
        signals=tuple(f"i{i}" for i in range(30)),
        inputs=files,
        cut_flow=flow,
        left_out=lack,
        n_events_total=5,
        spec_yaml="# long\n" * 10**5,
        computation={"incidents": incidents},
    )

    page = report_html(dataset, "cube.zarr")

    assert len(page.encode()) < 5_000_000
    assert "More pictures would make this page too large" in page
    assert "2,500 more files are not shown." in page
    assert "3,500 more cuts are not shown." in page


def test_very_many_bins_are_told_and_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_CELLS", 20)

    checker = checked(report_html(dataset_of(3, 4), "cube.zarr"))

    assert checker.images == 0
    assert "The cube has 24 bins, too many to draw here." in checker.data


def test_cells_and_attributes_are_escaped() -> None:
    assert element("p", "a<b", title='"&') == '<p title="&quot;&amp;">a&lt;b</p>'
    assert "&lt;i&gt;" in table(("<i>",), [("<i>",)])


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("made") / "cube.zarr"
    forced_plan(memory_run(frame_arrays(200)), "stream", spec=SPEC).to_zarr(target, workers=2)
    return target


def test_page_of_a_cube_that_was_made_tells_all_there_is(cube: Path, tmp_path: Path) -> None:
    page = write_report(cube, tmp_path / "page.html").read_text()

    checked(page)
    for title in (
        "Cut flow",
        "Where the events went",
        "Events in the bins",
        "Signals",
        "Blocks that failed",
        "Computation",
        "Spec",
        "Versions",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "None: every block was read at the first try." in page
    assert "The numbers of every row add up to the 200 events of the run." in page


def test_page_that_cannot_be_written_leaves_the_old_one(
    cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    old = "<title>a - cubeengine report</title>"
    page.write_text(old)

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreWriteError, match=r"page.html: writing the report failed: No space left"):
        write_report(cube, page)
    assert page.read_text() == old
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_report_of_what_is_no_cube_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreMismatch, match="no such file"):
        write_report(tmp_path / "none.zarr", tmp_path / "page.html")
