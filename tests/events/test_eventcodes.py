"""Event codes: words of 16 bits, a flag for each code, and what is neither."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import cubeengine as ce
from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.spec.starter import starter
from cubeengine.types import Column

CODES = {1: [0, 2], 20: [0], 40: [0, 1, 2, 3], 137: [1, 2], 287: [3]}
"""Which of four events have a code."""


def flags(dtype: str, n_codes: int = 288) -> np.ndarray:
    found = np.zeros((4, n_codes), dtype)
    for code, events in CODES.items():
        found[events, code] = 1
    return found


def words(dtype: str) -> np.ndarray:
    found = np.zeros((4, 18), np.uint16)
    for code, events in CODES.items():
        for event in events:
            found[event, code // 16] += 2 ** (code % 16)
    return found.astype(dtype)


def events_with(
    code: int, field: np.ndarray, valid: list[bool] | None = None, negated: str = ""
) -> list[bool | None]:
    column = Column(field, None if valid is None else np.array(valid))
    found = Expression.parse(f"{negated}eventcode(codes, {code})").evaluate(lambda _: column, len(field))
    assert found.data.dtype == bool
    known = np.ones(len(field), bool) if found.valid is None else found.valid
    return [bool(value) if there else None for value, there in zip(found.data, known, strict=True)]


@pytest.mark.parametrize("field", [
    *(flags(dtype) for dtype in ("?", "u1", "i1", "u2", "i8", ">i8")),
    *(words(dtype) for dtype in ("u2", "i2", "u4", "i8", ">u2")),
], ids=lambda field: f"{field.dtype}{field.shape}")  # fmt: skip
def test_a_code_is_found_in_either_form_and_whatever_its_type(field):
    for code in (0, *CODES, 286):
        assert events_with(code, field) == [event in CODES.get(code, []) for event in range(4)]


def test_the_last_bit_of_a_word_is_a_code_also_where_the_word_is_signed():
    field = np.zeros((2, 18), np.int16)
    field[:, 2], field[1, 3] = 1 << 8, -(2**15)
    assert events_with(63, field) == [False, True]


def test_a_missing_event_is_neither_on_nor_off():
    for field in (flags("i8"), words("u2")):
        field[0] = -99999 if field.dtype == np.int64 else 31073  # whatever the writer put there
        assert events_with(137, field, [False, True, True, True]) == [None, True, True, False]
        assert events_with(137, field, [False, True, True, True], "not ") == [None, False, False, True]


def test_flags_of_fewer_codes_end_where_they_end():
    assert events_with(137, flags("u1")[:, :256]) == [False, True, True, False]
    with pytest.raises(SpecError, match="event code 280: the field holds the codes 0 to 255"):
        events_with(280, flags("u1")[:, :256])
    with pytest.raises(SpecError, match="event code 288: the field holds the codes 0 to 287"):
        events_with(288, words("u2"))


LISTS = np.array([[40, 137, 0, 0], [40, 0, 0, 0], [0, 0, 0, 0], [40, 90, 137, 287]])


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (LISTS, r"this is int64 of shape \(4,\) per event; .*write any\(field == 90\)"),
        (np.pad(LISTS, ((0, 0), (0, 14))), r"could also list codes.*write any\(field == 90\)"),
        (np.pad(LISTS, ((0, 0), (0, 14)), constant_values=-1), r"holds -1"),
        (
            flags("u1") * 97,
            r"uint8 of shape \(288,\) per event, holds 97; .*counts them, field\[90\] > 0; if 97",
        ),
        (flags("i8") - 1, "holds -1"),
        (words("i8") * 2**16, "holds 2147483648"),
        (flags("f8"), r"this is float64 of shape \(288,\)"),
        (words("u2").astype("u1"), r"this is uint8 of shape \(18,\)"),
        (flags("i8")[:, :18, None], r"this is int64 of shape \(18, 1\)"),
        (flags("i8")[:, 1], r"this is int64 of shape \(\)"),
    ],
)
def test_what_has_neither_form_is_refused_and_named(field, found):
    with pytest.raises(SpecError, match="eventcode.. needs a field of 18 words of 16 bits.*" + found):
        events_with(90, field)


def test_lists_of_codes_are_asked_with_any():
    lists = Column(LISTS)
    found = Expression.parse("any(codes == 137)").evaluate(lambda _: lists, 4)
    assert found.data.tolist() == [True, False, False, True]


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """smallData of LCLS-II with a flag for each code: laser on in four of five events, the last 7 missing."""
    path, n = tmp_path_factory.mktemp("codes") / "run.h5", 407
    on = np.arange(n) % 5 != 0
    codes = np.zeros((n, 288), np.int64)
    codes[:, 90], codes[:, 91], codes[:, 137] = on, ~on, np.arange(n) != 3
    codes[400:] = -99999
    with h5py.File(path, "w") as file:
        file["timestamp"] = (np.arange(n) + 1_078_500_000) << 32
        file["scan/lxt"] = np.repeat(np.arange(5.0), 100)[:n]
        file["ipm2/sum"] = np.where(on, 2.0, 1.0)
        file["timing/eventcodes"] = codes
    return path


def test_laser_off_by_flags_keeps_the_events_without_laser(flagged):
    spec = ce.CubeSpec(
        cube="a",
        run=ce.RunSpec(laser="eventcode(`timing/eventcodes`, 90)"),
        select={"off": {"laser": "off"}, "on": {"laser": "on"}},
        cubes=["off", "on"],
        signals=["ipm2/sum"],
    )
    cube = ce.plan(ce.open_run(flagged), spec).compute()

    assert cube["n_events"].values.tolist() == [80, 320]
    assert cube["ipm2__sum_mean"].values.tolist() == [1.0, 2.0]


def test_new_proposes_the_flags_of_smalldata_for_laser_and_xrays(flagged):
    text = starter(ce.open_run(flagged), flagged)
    spec = ce.CubeSpec.loads(text)

    assert spec.run.laser == "eventcode(`timing/eventcodes`, 90)"
    assert spec.run.xray == "eventcode(`timing/eventcodes`, 137)"
    plan = ce.plan(ce.open_run(flagged), spec)
    assert {name: int(plan.compute()["n_events"].sel(selection=name).sum()) for name in ("on", "off")} == {
        "on": 319,
        "off": 80,
    }
