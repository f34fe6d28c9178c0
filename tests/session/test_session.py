"""What a user does in a session: adds, selects, declares, takes back; the run itself never changes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine import FieldNotFound, MemorySource, Run, Session, SpecError
from tests.session.conftest import ARRAYS


def values(session: Session, name: str) -> np.ndarray:
    return session[name].read().to_numpy()


def test_formula_is_a_field_like_any_other(session: Session) -> None:
    session.add("ratio", "diode / i0", unit="")

    np.testing.assert_array_equal(values(session, "ratio"), ARRAYS["diode"] / ARRAYS["i0"])
    assert "ratio" in session.fields
    assert session["ratio"].unit == ""
    assert "ratio" in session._ipython_key_completions_()


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 2, 3, 1), (6, 0)])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", ">f8"])
def test_array_of_any_rank_keeps_its_type(session: Session, shape: tuple[int, ...], dtype: str) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype)

    session.add("mine", array)

    read = session["mine"].read()
    np.testing.assert_array_equal(read.to_numpy(), array)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    assert read.dims[0] == "event"


def test_float16_is_widened_so_that_formulas_do_not_overflow(session: Session) -> None:
    array = np.array([300, -300, np.inf, np.nan, 6e-8, 65504], np.float16)
    session.add("mine", array)
    session.add("square", "mine * mine")

    assert values(session, "mine").dtype == np.float32
    np.testing.assert_array_equal(values(session, "mine"), array)
    np.testing.assert_array_equal(values(session, "square"), array.astype(float) ** 2)


def test_array_is_copied(session: Session) -> None:
    array = np.zeros(6)
    session.add("mine", array)
    array[:] = 5

    assert (values(session, "mine") == 0).all()


def test_slash_and_two_underscores_are_the_same_name(session: Session) -> None:
    session.add("my__ratio", np.arange(6.0))

    assert "my/ratio" in session.fields
    session.add("twice", "2 * my__ratio")
    np.testing.assert_array_equal(values(session, "twice"), 2 * np.arange(6.0))


@pytest.mark.parametrize("name", ["my/ratio", "my__ratio"])
def test_derived_variables_have_plain_names(session: Session, name: str) -> None:
    with pytest.raises(SpecError, match="name of a derived variable cannot contain '/' or '__'"):
        session.add(name, "diode / i0")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.arange(5), r"has 5 rows \(shape \(5,\)\), but .* has 6 events"),
        (np.float64(3), "is a single value"),
        (np.array(["a"] * 6), "holds <U1, not numbers"),
        (np.zeros(6, complex), "holds complex128, not numbers"),
        (np.zeros(6, "datetime64[s]"), "not numbers"),
    ],
)
def test_array_that_does_not_fit_is_refused(session: Session, array: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        session.add("mine", array)
    assert "mine" not in session


@pytest.mark.parametrize(
    "name", ["", "2nd", "a b", "a/", "/a", "a//b", "timestamp", "event", "x" * 200, "a`b"]
)
def test_name_that_no_field_could_have_is_refused(session: Session, name: str) -> None:
    with pytest.raises(SpecError):
        session.add(name, np.zeros(6))


def test_field_of_the_run_is_not_replaced(session: Session) -> None:
    for name in ("i0", "lightStatus/laser", "lightStatus__laser"):
        with pytest.raises(SpecError, match="is a field of"):
            session.add(name, np.zeros(6))
        with pytest.raises(SpecError, match="is a field of"):
            session.add(name, "2 * diode")


def test_typo_in_a_formula_is_told_at_once_with_the_nearest_name(session: Session) -> None:
    with pytest.raises(SpecError, match=r"field 'diodee' is not in .*nearest: 'diode'"):
        session.add("ratio", "diodee / i0")
    assert "ratio" not in session


def test_events_in_another_order_are_found_by_their_times(session: Session) -> None:
    diode = session["diode"].read()

    session.add("mine", diode[::-1])
    session.add("whole", session["lightStatus/laser"].read()[[4, 0]])

    np.testing.assert_array_equal(values(session, "mine"), ARRAYS["diode"])
    column = session.run.column("whole")
    assert column.data[[0, 4]].tolist() == [1, 1]
    assert column.valid.tolist() == [True, False, False, False, True, False]


def test_times_of_other_events_are_refused(session: Session) -> None:
    diode = session["diode"].read()
    other = diode.assign_coords(timestamp=("event", session.timestamps + np.uint64(1)))

    with pytest.raises(SpecError, match=r"6 of its 6 rows are not events of .*'timestamp'"):
        session.add("mine", other)


def test_data_array_may_have_its_events_in_any_dimension(session: Session) -> None:
    frames = session["frame"].read()

    session.add("turned", frames.transpose(..., "event"))

    np.testing.assert_array_equal(values(session, "turned"), ARRAYS["frame"])


def test_missing_integers_stay_missing(session: Session) -> None:
    session.add("mine", session["steps"].read(missing="mask") + 1)
    session.add("half", session["steps"].read() / 2)

    read = session["mine"].read(missing="mask")
    assert read.dtype == np.int64
    np.testing.assert_array_equal(values(session, "mine"), [1, 1, 2, np.nan, 3, 3])
    assert read.coords["valid"].values.tolist() == [True, True, True, False, True, True]
    np.testing.assert_array_equal(values(session, "half"), [0, 0, 0.5, np.nan, 1, 1])


def test_masked_values_are_missing(session: Session) -> None:
    mask = np.array([0, 1, 0, 0, 0, 0], bool)
    session.add("whole", np.ma.masked_array(np.arange(6), mask))
    session.add("real", np.ma.masked_array(np.arange(6.0), mask))

    assert session["whole"].read(missing="mask").coords["valid"].values.tolist() == (~mask).tolist()
    np.testing.assert_array_equal(values(session, "real"), [0, np.nan, 2, 3, 4, 5])


def test_variable_may_be_added_again(session: Session) -> None:
    session.add("mine", np.zeros(6), unit="mm")
    session.add("mine", "2 * i0")
    session.add("mine", np.ones(6))

    assert (values(session, "mine") == 1).all()
    assert session["mine"].unit is None  # the unit was that of another variable
    assert not session.spec.derive


def test_what_is_made_of_a_replaced_variable_follows_it(session: Session) -> None:
    session.add("scale", np.full(6, 2.0))
    session.add("scaled", "scale * i0")
    session.add("more", "scaled + 1")
    np.testing.assert_array_equal(values(session, "more"), 2 * ARRAYS["i0"] + 1)

    session.add("scale", np.full(6, 10.0))
    session.add("other", "i0")

    np.testing.assert_array_equal(values(session, "more"), 10 * ARRAYS["i0"] + 1)


def test_values_once_computed_are_kept_when_more_is_added(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.add("ratio", "diode / i0")
    before = session.run.column("ratio").data

    session.add("other", "2 * i0")
    session.select("bright", "i0 > 1")

    assert session.run.column("ratio").data is before


def test_removed_variable_is_gone(session: Session) -> None:
    session.add("mine", np.zeros(6), unit="mm")
    session.remove("mine")

    assert "mine" not in session
    assert not session.spec.units
    with pytest.raises(FieldNotFound, match="'mine' is not in the added variables"):
        session.remove("mine")


def test_variable_that_others_are_made_of_is_not_removed(session: Session) -> None:
    session.add("mine", np.zeros(6))
    session.add("twice", "2 * mine")
    session.select("low", {"field": "twice", "max": 1})

    with pytest.raises(SpecError, match=r"'mine' is still used: derive.twice"):
        session.remove("mine")
    with pytest.raises(SpecError, match=r"'twice' is still used: select.low"):
        session.remove("twice")
    session.deselect("low")
    session.remove("twice")
    session.remove("mine")
    assert len(session) == len(ARRAYS)


def test_recipe_stands_for_a_derived_variable(session: Session) -> None:
    session.declare({"i0": "ps"})
    session.add("delay", ce.DelayRecipe(nominal="i0", t0="1 ps"))
    session.add("same", {"delay": {"nominal": "i0", "t0": 1}})

    expected = np.where(ARRAYS["lightStatus/laser"] >= 0, ARRAYS["i0"] - 1, np.nan)
    np.testing.assert_array_equal(values(session, "delay"), expected)
    np.testing.assert_array_equal(values(session, "same"), expected)
    assert session["delay"].unit == "ps"


def test_recipes_of_all_kinds_can_be_added(session: Session) -> None:
    session.add("slow", ce.Running(field="i0", statistic="mean", window=3))
    session.add("before", ce.Shift(field="i0", events=-1))
    session.select("off", laser="off")
    session.add("near", ce.Neighbours(field="i0", among="off", n=1))

    np.testing.assert_allclose(
        values(session, "slow")[1:-1], np.convolve(ARRAYS["i0"], np.ones(3) / 3, "valid")
    )
    np.testing.assert_array_equal(values(session, "before"), [np.nan, *ARRAYS["i0"][:-1]])
    assert values(session, "near")[0] == ARRAYS["i0"][1]
    with pytest.raises(SpecError, match="selection 'off' is still used"):
        session.deselect("off")


def test_unit_that_is_changed_changes_what_was_computed(session: Session) -> None:
    session.declare({"i0": "ps"})
    session.add("delay", ce.DelayRecipe(nominal="i0"))
    first = values(session, "delay")

    session.declare({"i0": "ns"})

    np.testing.assert_allclose(values(session, "delay"), 1000 * first)


def test_declared_names_must_be_fields(session: Session) -> None:
    with pytest.raises(SpecError, match="nearest: 'i0'"):
        session.declare({"i00": "ps"})


def test_leading_zeros_that_are_declared_missing_are_missing_for_arrays_as_well() -> None:
    session = Session(Run(MemorySource({"code": np.array([0, 0, 1, 0])})))
    session.add("mine", np.arange(4))

    session.declare(missing={"code": "leading_zeros"})
    session.add("same", "code + mine")

    same = session["same"].read()
    known = same.where(same.coords["valid"]) if "valid" in same.coords else same
    np.testing.assert_array_equal(known, [np.nan, np.nan, 3, 3])


def test_marks_that_are_declared_are_missing_and_come_into_the_spec() -> None:
    session = Session(Run(MemorySource({"a/code": np.array([97, 0, 1, 5], "u1"), "x": np.arange(4.0)})))
    session.declare(missing={"a__code": (97, 5), "x": 2})

    np.testing.assert_array_equal(session.data["a__code"], [np.nan, 0, 1, np.nan])
    np.testing.assert_array_equal(session.data["x"], [0, 1, np.nan, 3])
    assert session.spec.to_dict()["missing"] == {"a/code": [97, 5], "x": 2}
    with pytest.raises(SpecError, match="cannot hold 256"):
        session.declare(missing={"a/code": 256})
    session.add("mine", np.arange(4))
    with pytest.raises(SpecError, match="in no file"):
        session.declare(missing={"mine": 0})


def test_run_itself_stays_as_it_was(session: Session) -> None:
    run = session.run
    session.add("mine", np.zeros(6))
    session.select("on", laser="on")

    assert "mine" not in run
    assert session.run is not run


# Selections


def test_selection_keeps_what_is_certainly_true(session: Session) -> None:
    session.select("good", {"field": "diode", "min": 1})
    session.select("on", "good", laser="on")
    session.select("other", all=["good"], not_=["on"])

    assert session.mask("good").values.tolist() == [True, True, False, True, False, True]
    assert session.mask("on").values.tolist() == [True, False, False, False, False, False]
    assert session.mask("other").values.tolist() == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]  # unknown is neither
    assert session.mask().all()
    assert session.mask("all").sum() == 6


@pytest.mark.parametrize(
    "select",
    [
        "diode >= 1",
        {"field": "diode", "min": 1},
        [{"field": "diode", "min": 1}],
        ce.Cut(field="diode", min=1),
        ce.Selection(all=["diode >= 1"]),
    ],
)
def test_mask_takes_whatever_a_selection_may_be(session: Session, select: object) -> None:
    session.select("given", {"field": "i0", "min": 1})  # a name of the user's own

    mask = session.mask(select)

    assert mask.values.tolist() == [True, True, False, True, False, True]
    assert mask.dims == ("event",)
    np.testing.assert_array_equal(mask.coords["timestamp"], session.timestamps)


def test_selection_defined_anew_is_followed_by_those_made_of_it(session: Session) -> None:
    session.select("good", "i0 >= 1")
    session.select("on", "good", laser="on")
    assert session.mask("on").sum() == 2

    session.select("good", "i0 >= 2")

    assert session.mask("on").sum() == 1


def test_unknown_selection_names_the_nearest(session: Session) -> None:
    session.select("pumped", laser="on")

    with pytest.raises(SpecError, match="there is no selection 'pumpd'; nearest: 'pumped'"):
        session.mask("pumpd")
    with pytest.raises(SpecError, match="there is no selection 'x'; known: 'pumped'"):
        session.deselect("x")


def test_selection_of_unknown_fields_is_refused_at_once(session: Session) -> None:
    with pytest.raises(SpecError, match="nearest: 'diode'"):
        session.select("good", {"field": "diodes", "min": 1})
    with pytest.raises(SpecError, match="unknown key 'lasr'; nearest: 'laser'"):
        session.select("good", lasr="on")
    assert not session.spec.select


def test_selection_that_others_are_made_of_is_not_removed(session: Session) -> None:
    session.select("good", "i0 >= 1")
    session.select("on", "good", laser="on")

    with pytest.raises(SpecError, match="selection 'good' is still used"):
        session.deselect("good")


def test_cut_flow_is_a_table(session: Session) -> None:
    session.select("on", "i0 >= 1", laser="on")

    flow = session.cut_flow("on")

    assert [(row.alone, row.after) for row in flow] == [(5, 5), (3, 2)]
    assert "lightStatus/laser == 1" in repr(flow)
    assert "<table>" in flow._repr_html_()


def test_laser_may_be_told_by_another_field() -> None:
    run = Run(MemorySource({"evr/code_90": np.array([1, 0, 1]), "x": np.zeros(3)}))
    session = Session(run)
    session.declare(laser="evr/code_90")
    session.select("on", laser="on")

    assert session.mask("on").values.tolist() == [True, False, True]


# The table of data


def test_what_is_assigned_to_the_data_is_added(session: Session) -> None:
    session.data["a"] = session.data["i0"] * 2
    session.data.assign(b=session.data["i0"] * 3)
    session.data.assign(c=lambda data: data["b"] + 1, d=("event", np.arange(6)))
    session.data = session.data.assign(e=session.data["i0"] * 5)

    np.testing.assert_array_equal(values(session, "a"), ARRAYS["i0"] * 2)
    np.testing.assert_array_equal(values(session, "b"), ARRAYS["i0"] * 3)
    np.testing.assert_array_equal(values(session, "c"), ARRAYS["i0"] * 3 + 1)
    np.testing.assert_array_equal(values(session, "d"), np.arange(6))
    np.testing.assert_array_equal(values(session, "e"), ARRAYS["i0"] * 5)
    assert {"a", "b", "c", "d", "e"} <= set(session.data)


def test_data_of_an_ordinary_dataset_is_taken_when_given_back(session: Session) -> None:
    plain = xr.Dataset(session.data.data_vars, coords=session.data.coords)
    plain["x"] = plain["i0"] + 1
    assert "x" not in session

    session.data = plain

    np.testing.assert_array_equal(values(session, "x"), ARRAYS["i0"] + 1)
    assert list(session.notes.variables) == ["x"]


def test_what_is_assigned_to_a_part_of_the_data_stays_there(session: Session) -> None:
    part = session.data.isel(event=slice(3)).assign(x=1.0)
    part["y"] = part["x"]

    assert {"x", "y"} <= set(part)
    assert not session.notes.variables


def test_missing_integers_are_nan_in_the_data_so_that_arithmetic_keeps_them(session: Session) -> None:
    session.data["next"] = session.data["steps"] + 1

    np.testing.assert_array_equal(values(session, "next"), [1, 1, 2, np.nan, 3, 3])


def test_validity_of_an_assigned_array_is_its_own(session: Session) -> None:
    session.data["next"] = session["steps"].read(missing="mask") + 1

    assert session["next"].read(missing="mask").coords["valid"].values.tolist() == [
        True,
        True,
        True,
        False,
        True,
        True,
    ]


def test_fields_of_the_run_are_not_assigned_to(session: Session) -> None:
    with pytest.raises(SpecError, match="'i0' is a field of"):
        session.data["i0"] = session.data["i0"] * 2
    with pytest.raises(SpecError, match="'i0' is a field of"):
        session.data.assign(i0=0 * session.data["i0"])

    np.testing.assert_array_equal(values(session, "i0"), ARRAYS["i0"])
    np.testing.assert_array_equal(session.data["i0"], ARRAYS["i0"])


# What it says of itself


def test_repr_says_what_was_added_and_selected(session: Session) -> None:
    session.add("mine", np.zeros((6, 2), np.float32), unit="mm")
    session.add("ratio", "diode / i0")
    session.select("on", "i0 > 1", laser="on")

    for text in (repr(session), session._repr_html_()):
        assert "array of float32, 2 per event" in text
        assert "diode / i0" in text
        assert "lightStatus/laser == 1" in text
        assert "6" in text


def test_greeting_says_three_things_to_try(session: Session) -> None:
    lines = session.greeting.partition("try:\n")[2].strip().splitlines()

    assert len(lines) == 3
    assert "3 events on, 2 off" in session.greeting
