import pytest

from cubeengine.errors import SpecError
from cubeengine.spec.overrides import apply_overrides, parse_override
from cubeengine.spec.yaml import load_data

from .texts import DELAY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("axes.0.unit=ps", ("axes.0.unit", "ps")),
        ("run.run=12", ("run.run", 12)),
        ("cubes=[on, off]", ("cubes", ["on", "off"])),
        ("derive.x=a == b", ("derive.x", "a == b")),
        ("run.experiment=", ("run.experiment", None)),
    ],
)
def test_values_are_yaml(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["", "=3", "axes", "a=[1", "a=!!python/name:os x"])
def test_what_is_no_override_is_refused(text):
    with pytest.raises(SpecError):
        parse_override(text)


def test_values_are_set_in_a_copy():
    data = load_data(DELAY)
    changed = apply_overrides(
        data,
        {
            "axes.0.unit": "fs",
            "run.run": 12,
            "signals.2": "ipm3/sum",
            "units.ipm2/sum": "V",
            "missing.a.b": 1,
        },
    )
    assert changed["axes"][0]["unit"] == "fs"
    assert changed["run"] == {**data["run"], "run": 12}
    assert changed["signals"][2] == "ipm3/sum"
    assert changed["units"]["ipm2/sum"] == "V"
    assert changed["missing"] == {"a": {"b": 1}}
    assert data == load_data(DELAY)


def test_names_with_dots_are_found():
    data = {"select": {"a.b": {"laser": "on"}}}
    assert apply_overrides(data, {"select.a.b.laser": "off"}) == {"select": {"a.b": {"laser": "off"}}}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("axes.7.unit", r"axes has 2 entries, counted from 0, not '7'"),
        ("axes.x.unit", r"axes has 2 entries"),
        ("axes.-1", r"axes has 2 entries"),
        ("cube.x", r"cube is the text 'delay', which has no 'x'"),
        ("signals.0.name", r"signals\[0\] is the text 'ipm2/sum'"),
    ],
)
def test_places_that_are_not_there_are_named(key, message):
    with pytest.raises(SpecError, match=message):
        apply_overrides(load_data(DELAY), {key: "x"})
