"""Selections of a run, and of a session, which has names for them."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import look
from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.run import Run
from cubeengine.look.selecting import node_of, states_of, words
from cubeengine.session.session import Session
from cubeengine.spec.selections import Cut, Selection
from tests.look.runs import odd_run, pump_probe
from tests.planning.runs import memory_run

SELECTIONS = [
    "`n` >= 2", {"field": "n", "min": 2}, ["`n` >= 2"], {"all": ["`n` >= 2"]}, Cut(field="n", min=2),
    Selection(all=("`n` >= 2",)),
]  # fmt: skip


@pytest.mark.parametrize("select", SELECTIONS, ids=str)
def test_every_way_to_select_is_the_same(select):
    column = odd_run().column("n")
    counts = look.histogram(odd_run(), "y", select=select)
    assert counts.attrs["n_selected"] == ((column.data >= 2) & column.valid).sum()
    assert counts.attrs["selection"] == "n >= 2"


def test_cuts_have_units():
    run = memory_run({"d": np.array([1.0, 2.0, 3.0])}).with_units({"d": "ps"})
    assert look.histogram(run, "d", select=Cut(field="d", min="1500 fs")).sum() == 2


@pytest.mark.parametrize(
    ("select", "said"),
    [
        (None, "all events"),
        ([], "all events"),
        (["`x` > -1", "`b`"], "x > -1 and b"),
        ({"any": ["`x` > -1", "`b`"]}, "any of(x > -1, b)"),
        ({"all": ["`x` > 1"], "not": ["`b`"]}, "x > 1 and none of(b)"),
    ],
)
def test_selections_are_told_in_words(select, said):
    assert words(node_of(odd_run(), select)) == said


def test_mistakes_in_selections_are_answered():
    with pytest.raises(SpecError, match="expression"):
        look.histogram(odd_run(), "y", select="`n` >")
    with pytest.raises(SpecError, match="minn"):
        look.histogram(odd_run(), "y", select={"field": "n", "minn": 2})
    with pytest.raises(FieldNotFound, match="'z'"):
        look.histogram(odd_run(), "y", select="`z` > 1")


@pytest.mark.slow
def test_laser_is_told_by_event_codes_where_there_is_no_status(demo_folder):
    from cubeengine.api import open_run

    raw = open_run(demo_folder / "xtc")
    shots = look.shots(raw)
    small = look.shots(open_run(demo_folder / "xppdemo20_Run0012.h5"))
    assert shots.sel(state="laser off") == pytest.approx(small.sel(state="laser off"), abs=8)
    assert shots.sel(state="dropped") == small.sel(state="dropped")
    on, _ = states_of(raw, "laser")
    assert "eventcode" in words(on)


def test_run_that_does_not_tell_has_no_states():
    assert states_of(odd_run(), "laser") is None


# A session


@pytest.fixture
def session() -> Session:
    made = Session(pump_probe())
    made.select("bright", "`ipm2/sum` > 1")
    made.add("ratio", "diode / ipm2__sum")
    return made


def test_session_knows_selections_by_name(session: Session):
    counts = look.histogram(session, "diode", select="bright")
    plain = look.histogram(pump_probe(), "diode", select="`ipm2/sum` > 1")
    np.testing.assert_array_equal(counts, plain)
    assert counts.attrs["selection"] == "bright"
    with pytest.raises(SpecError, match="nearest: 'bright'"):
        look.histogram(session, "diode", select="brigt")


def test_variables_of_the_session_are_seen(session: Session):
    assert look.histogram(session, "ratio").attrs["n_events"] > 2000


def test_laser_of_a_session_is_what_it_says():
    run = memory_run({"v": np.arange(8.0), "code": np.arange(8) % 2, "step": np.arange(8) // 4})
    session = Session(run)
    assert states_of(session, "laser") is None

    class Told(Session):
        def node(self, select=None):
            pair = {"on": "`code` == 1", "off": "`code` == 0"}
            return super().node(pair[select["laser"]] if isinstance(select, dict) else select)

    found = look.scan_curve(Told(run), "v", axis="step")
    np.testing.assert_array_equal(found["value"], [[2, 6], [1, 5]])


@pytest.mark.parametrize(
    "draw",
    [
        lambda run: look.plot_histogram2d(run, "diode", "ipm2/sum", select="bright"),
        lambda run: look.plot_correlation(run, "diode", "ratio", select="bright"),
        lambda run: look.plot_trace(run, "ratio", select="bright"),
        lambda run: look.plot_scan(run, "diode", "ipm2/sum", select="bright"),
        lambda run: look.plot_cut_flow(run, "bright"),
        lambda run: look.plot_cuts(run, "bright")[0],
        lambda run: look.plot_overview(run)["i0"],
    ],
)
def test_everything_is_drawn_of_a_session(session: Session, draw):
    draw(session).figure.canvas.draw()


def test_image_is_made_of_a_session():
    frames = np.arange(24.0).reshape(4, 2, 3)
    session = Session(memory_run({"cam": frames, "x": np.arange(4.0)}))
    session.select("late", "`x` > 1")
    image = look.average_image(session, "cam", select="late")
    np.testing.assert_array_equal(image["mean"], frames[2:].mean(axis=0))
    assert isinstance(session.run, Run)
