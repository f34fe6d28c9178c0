"""The page one looks at first."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import look
from cubeengine.errors import SourceFormatError
from tests.look.runs import odd_run, pump_probe, tiny_windows
from tests.planning.runs import memory_run


def test_shots_are_counted_by_state():
    found = look.shots(pump_probe())
    laser = pump_probe().column("lightStatus/laser").data
    counts = dict(zip(found["state"].values.tolist(), found.values.tolist(), strict=True))
    assert counts["laser on"] == (laser == 1).sum()
    assert counts["laser off"] == (laser == 0).sum()
    assert counts["laser unknown"] == 5
    assert counts["X-rays on"] == found.attrs["n_total"] == 3000
    assert counts["dropped"] == counts["X-rays unknown"] == 0


def test_run_that_says_nothing_of_laser_and_rays_has_unknown_ones():
    found = look.shots(odd_run())
    assert found["state"].values.tolist() == ["laser unknown", "X-rays unknown"]
    assert found.values.tolist() == [600, 600]


def test_missing_values_are_fractions_of_all_events(monkeypatch):
    found = look.missing_fractions(odd_run())
    assert found.sel(field="x") == pytest.approx(86 / 600)
    assert found.sel(field="n") == pytest.approx(55 / 600)
    assert found.sel(field="y") == 0
    assert (np.diff(found.values) <= 0).all()
    assert "wide" not in found["field"]
    tiny_windows(monkeypatch)
    np.testing.assert_array_equal(look.missing_fractions(odd_run()), found)


def test_field_that_cannot_be_read_is_named(monkeypatch):
    run = odd_run()
    plain = type(run.source).read

    def broken(self, name, events=None):
        if name == "y":
            raise SourceFormatError("y: torn")
        return plain(self, name, events)

    monkeypatch.setattr(type(run.source), "read", broken)
    found = look.missing_fractions(run)
    assert found.attrs["unreadable"] == ["y"]
    assert "y" not in found["field"]


def test_steady_beam_has_a_steady_rate():
    stamps = np.arange(6000, dtype=np.uint64)
    seconds, ticks = np.divmod(stamps, np.uint64(100))
    stamps = (seconds + np.uint64(10**9) << np.uint64(32)) | ticks * np.uint64(10**7)
    rate = look.event_rate(memory_run({"x": np.zeros(6000)}, timestamps=stamps))
    np.testing.assert_allclose(rate, 100.0, rtol=0.02)


def test_pause_is_a_fall_of_the_rate():
    seconds = np.concatenate([np.arange(500), np.arange(700, 1200)]) + 10**9
    run = memory_run({"x": np.zeros(1000)}, timestamps=seconds.astype(np.uint64) << np.uint64(32))
    rate = look.event_rate(run)
    assert 1 < (rate == 0).sum() < 5
    assert rate.max() == pytest.approx(1.0, rel=0.15)


def test_fields_are_those_that_are_usual(demo_run):
    assert look.choices(demo_run) == look.Choices("ipm2/sum", "scan/lxt", "tt/FLTPOS", "tt/AMPL")
    assert look.choices(odd_run()) == look.Choices()


def test_page_has_a_panel_of_each(demo_run):
    panels = look.plot_overview(demo_run)
    assert panels["i0"].get_xlabel() == "ipm2/sum"
    assert panels["scan"].get_ylabel() == "scan/lxt"
    assert panels["amplitude"].get_xlabel() == "tt/AMPL"
    shots = look.shots(demo_run)
    widths = [patch.get_width() for patch in panels["shots"].patches]
    assert widths == [count for count in shots.values if count > 0]
    lacking = look.missing_fractions(demo_run)
    widths = [patch.get_width() for patch in panels["missing"].patches]
    np.testing.assert_allclose(widths, 100 * lacking[lacking > 0][: len(widths)])
    assert "1,500 events" in panels["i0"].figure.get_suptitle()


def test_panels_of_what_a_run_lacks_say_so():
    panels = look.plot_overview(odd_run())
    assert [text.get_text() for text in panels["scan"].texts] == ["no scan variable moves"]
    assert [text.get_text() for text in panels["timetool"].texts] == ["no time tool"]
    panels["scan"].figure.canvas.draw()


def test_run_without_events_has_a_page():
    look.plot_overview(memory_run({"ipm2/sum": np.empty(0)}))["i0"].figure.canvas.draw()


def test_fields_can_be_chosen():
    panels = look.plot_overview(pump_probe(), fields=look.Choices(i0="diode"), missing=["diode"])
    assert panels["i0"].get_xlabel() == "diode (V)"
    assert [label.get_text() for label in panels["missing"].get_yticklabels()] == ["diode"]
