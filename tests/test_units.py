from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.units import (
    Quantity,
    convert,
    convert_written,
    parse_quantity,
    parse_unit,
    same_dimension,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(FINITE)
def test_seconds_become_picoseconds_by_one_multiplication(value):
    assert convert(value, "s", "ps") == value * 1e12


@given(st.integers(-(10**9), 10**9))
def test_whole_femtoseconds_survive_the_way_to_seconds_and_back(value):
    assert convert(convert(float(value), "fs", "s"), "s", "fs") == pytest.approx(value, rel=1e-15)


@given(st.decimals(-1000, 1000, places=6, allow_nan=False), st.sampled_from(["fs", "ps", "ms", "s"]))
def test_written_numbers_become_the_float_nearest_to_their_decimal_number(number, unit):
    exact = number.scaleb({"fs": -3, "ps": 0, "ms": 9, "s": 12}[unit])
    assert convert_written(float(number), unit, "ps") == float(exact)


def test_written_numbers_too_large_for_the_unit_are_refused():
    with pytest.raises(SpecError, match=r"1e\+300 s is too large for a number in 'ps'"):
        convert_written(1e300, "s", "ps")
    with pytest.raises(SpecError, match="do not measure the same"):
        convert_written(1.0, "s", "m")


def test_arrays_convert_element_by_element():
    np.testing.assert_array_equal(convert(np.array([-2e-12, 0.0]), "s", "ps"), [-2.0, 0.0])


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (3.0, "keV", "eV", 3000.0),
        (1.0, "J", "eV", 1 / 1.602176634e-19),
        (180.0, "deg", "rad", np.pi),
        (1.0, "1/angstrom", "1/nm", 10.0),
        (1.0, "mJ/cm^2", "J/m^2", 10.0),
        (1.0, "mJ/cm2", "J/m2", 10.0),
        (2.0, "kHz", "1/s", 2000.0),
        (1.0, "µm", "mm", 1e-3),
        (5.0, "ADU", "ADU", 5.0),
        (50.0, "%", "", 0.5),
        (2.0, "mA", "mC/s", 2.0),
    ],
)
def test_known_conversions(value, source, target, expected):
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("a", "b"), [("ps", "eV"), ("ADU", "photon"), ("", "ADU"), ("s", "Hz"), ("degC", "K")]
)
def test_units_of_different_things_do_not_convert(a, b):
    with pytest.raises(SpecError, match=f"'{a}' to '{b}'"):
        convert(1.0, a, b)
    assert not same_dimension(a, b)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 keV", Quantity(3, "keV")),
        ("3keV", Quantity(3, "keV")),
        ("-0.5 ps", Quantity(-0.5, "ps")),
        ("1e-3eV", Quantity(1e-3, "eV")),
        (" +.5 ", Quantity(0.5, "")),
        ("3eV", Quantity(3, "eV")),
        ("2 1/angstrom", Quantity(2, "1/angstrom")),
    ],
)
def test_quantities_are_read(text, expected):
    quantity = parse_quantity(text)
    assert quantity == expected
    assert parse_quantity(str(quantity)) == quantity


@pytest.mark.parametrize(
    "text", ["", "ps", "3 4", "3 furlong", "1e", "0x10", "3 ps ps", "nan", "inf", "9" * 1000]
)
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(SpecError):
        parse_quantity(text)


def test_unknown_unit_names_the_nearest():
    with pytest.raises(SpecError, match=r"unknown unit 'pss'; nearest: 'ps'"):
        parse_unit("pss")


@given(st.text(max_size=80))
def test_any_text_gives_a_unit_or_a_spec_error(text):
    for parse in (parse_unit, parse_quantity):
        with suppress(SpecError):
            parse(text)
