"""Selections by booleans over the events: in a session, in pictures, in cubes, and the next day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine import Session, SpecError, look
from tests.session.conftest import ARRAYS

DIODE, LASER = ARRAYS["diode"], ARRAYS["lightStatus/laser"]
KNOWN = ~np.isnan(DIODE)


def test_mask_is_a_selection_as_any_other(session: Session) -> None:
    session.select("bright", session["diode"] > 2, laser="on")
    session.select("rest", not_=[session["diode"] > 2])

    np.testing.assert_array_equal(session.mask("bright"), (DIODE > 2) & (LASER == 1))
    np.testing.assert_array_equal(session.mask("rest"), (DIODE <= 2) & KNOWN)  # what is not known is neither
    assert "selected/bright" in session
    assert session.cut_flow("bright")[0].label == "`selected/bright`"


@pytest.mark.parametrize(
    "mask",
    [DIODE > 2, (DIODE > 2).tolist(), np.ma.masked_array(DIODE > 2, ~KNOWN)],
    ids=lambda mask: type(mask).__name__,
)
def test_plain_arrays_and_lists_are_masks_too(session: Session, mask: object) -> None:
    session.select("bright", mask)

    np.testing.assert_array_equal(session.mask("bright"), DIODE > 2)
    np.testing.assert_array_equal(session.mask(mask), DIODE > 2)


def test_several_masks_must_all_hold(session: Session) -> None:
    session.select("both", session["diode"] > 2, "i0 >= 1", session["diode"] < 8)
    session.select("either", any=[session["diode"] > 7, session["i0"] < 1])

    np.testing.assert_array_equal(session.mask("both"), (DIODE > 2) & (ARRAYS["i0"] >= 1) & (DIODE < 8))
    np.testing.assert_array_equal(session.mask("either"), (DIODE > 7) | (ARRAYS["i0"] < 1))
    assert {"selected/both", "selected/both.2", "selected/either"} <= set(session)


def test_mask_is_aligned_by_the_times_of_its_events(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    some = (session["diode"] > 2)[[5, 0, 1]]

    session.select("known", session["diode"] > 2)  # which has a value that is NaN
    assert not caplog.text
    session.select("some", some)
    assert "the mask says nothing of 3 of the 6 events" in caplog.text
    session.select("others", not_=[some])

    np.testing.assert_array_equal(session.mask("some"), [True, True, False, False, False, True])
    assert not session.mask("others").any()  # of events that the mask lacks nothing is known


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(5, bool), r"the mask has 5 rows .* has 6 events"),
        (np.arange(6), "not booleans; compare it"),
        (ARRAYS["frame"] > 1, r"shape \(2, 3\) per event"),
    ],
)
def test_what_is_no_mask_of_the_run_is_refused(session: Session, mask: object, message: str) -> None:
    for use in (session.mask, lambda given: session.select("m", given)):
        with pytest.raises(SpecError, match=message):
            use(mask)
    assert not session.spec.select


def test_mask_goes_with_its_selection(session: Session) -> None:
    session.select("bright", session["diode"] > 2, session["i0"] > 1)
    session.select("bright", session["diode"] > 3)
    assert "selected/bright.2" not in session
    session.select("bright", "diode > 3")
    assert "selected/bright" not in session
    session.select("bright", session["diode"] > 3)
    session.deselect("bright")
    assert "selected/bright" not in session


def test_mask_that_is_used_elsewhere_stays(session: Session) -> None:
    session.select("bright", session["diode"] > 2)
    session.select("other", "`selected/bright`")

    with pytest.raises(SpecError, match=r"selection 'bright' is still used: select.other"):
        session.deselect("bright")


def test_cube_of_a_mask_is_that_of_the_cut(data: Path, tmp_path: Path) -> None:
    run = ce.explore(data)
    run.select("by_mask", run["ipm2/sum"] > 1)
    run.select("by_cut", "`ipm2/sum` > 1")
    found = {}
    for name in ("by_mask", "by_cut"):
        run.cube("scan/lxt", quantiles=3, select=name, signals="ipm2/sum").to_zarr(tmp_path / f"{name}.zarr")
        found[name] = ce.open_cube(tmp_path / f"{name}.zarr")["ipm2__sum_mean"].values
    np.testing.assert_array_equal(found["by_mask"], found["by_cut"])

    spec = run.cube("scan/lxt", quantiles=3, select="by_mask").bound.spec
    run.save()
    again, opened = ce.open_spec(write(tmp_path, spec.to_yaml()))
    assert ce.plan(opened, again).bound.n_events.sum() == (run["ipm2/sum"].values > 1).sum()
    np.testing.assert_array_equal(ce.explore(data).mask("by_mask"), run.mask("by_cut"))


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text)
    return path


def test_cube_wants_names_of_selections(session: Session) -> None:
    with pytest.raises(
        SpecError, match=r"a cube needs named selections.*name one with run.select\('mine', ...\)"
    ):
        session.cube("steps", steps="auto", select=session["diode"] > 2)
    with pytest.raises(SpecError, match=r"the expression a name first: run.select\('mine', 'diode > 2'\)"):
        session.cube("steps", steps="auto", select="diode > 2")


def test_pictures_take_masks(session: Session) -> None:
    mask = session["diode"] > 2
    counts = look.histogram(session, "i0", bins=[0, 1.5, 3], select=mask)
    assert counts.values.tolist() == [1, 2]
    assert counts.attrs["selection"] == "mask"
    both = look.histogram(session.run, "i0", bins=[0, 1.5, 3], select=[mask, "i0 > 1"])
    assert both.values.tolist() == [0, 2]
    flow = look.cut_flow(session, [mask, "i0 > 1"])
    assert flow["after"].values.tolist() == [3, 2]
    image = look.average_image(session, "frame", select=mask)
    np.testing.assert_array_equal(image["mean"], ARRAYS["frame"][DIODE > 2].mean(axis=0))


def test_masks_are_cut_into_windows(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cubeengine.events.window.WINDOW_EVENTS", 4)
    mask = session["diode"] > 2

    assert look.histogram(session, "i0", bins=[0, 1.5, 3], select=mask).values.tolist() == [1, 2]


def test_curves_are_compared_by_masks(session: Session) -> None:
    bright = session["diode"] > 2
    curve = look.scan_curve(session, "i0", axis="steps", curves={"bright": bright, "dim": ~bright})

    np.testing.assert_array_equal(curve["count"], [[2, 1], [0, 1]])


def test_a_session_that_saves_nothing_writes_nothing_for_masks(data: Path) -> None:
    before = set(data.parent.iterdir())
    session = ce.explore(data, saved=None)
    session.select("bright", session["ipm2/sum"] > 0.5)

    cube = session.cube("ipm2/sum", quantiles=3, select="bright").compute(workers=1)
    assert int(cube["n_events"].sum()) == int((session["ipm2/sum"].read() > 0.5).sum())
    with pytest.raises(SpecError, match=r"'selected/bright', .* only in memory.*run.save\(\)"):
        session.to_yaml()
    session.close()
    assert set(data.parent.iterdir()) == before

    session.save()
    assert "variables:" in session.to_yaml()
