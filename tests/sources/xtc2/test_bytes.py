"""Names, values and enums of single datagrams: every trap of the format, in bytes made by hand."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import Place
from cubeengine.sources.xtc2.names import Names, Schema
from cubeengine.sources.xtc2.values import Contribution, EnumValue, decode, read_schema
from tests.sources.xtc2 import handmade as hand

HERE = Place(Path("made.xtc2"), 1000)


def schema_of(*blocks: bytes) -> Schema:
    return read_schema(hand.configure(*blocks), HERE)


def decoded(schema: Schema, *parts: bytes, damage: int = 0) -> tuple[Contribution, ...]:
    return decode(hand.dgram(hand.L1_ACCEPT, 5, *parts, damage=damage), schema, HERE)


def only(found: tuple[Contribution, ...]) -> dict[str, Any]:
    assert len(found) == 1
    return dict(found[0].values)


# ---------------------------------------------------------------- names


def test_strings_end_at_the_first_nul() -> None:
    block = hand.names(7, "jungfrau", [("frame", hand.U2, 3)], alg="raw", segment=4, kind="jungfrau-type")

    names = schema_of(block).names[7]

    assert names == Names(
        7, "jungfrau", "jungfrau-type", "id_1", "raw", (1, 2, 3), 4, names.fields
    )  # fmt: skip
    assert [(field.name, field.type, field.rank) for field in names.fields] == [("frame", hand.U2, 3)]


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    assert schema_of(hand.names(7, b"caf\xe9", [])).names[7].detector == "caf\\xe9"


def test_several_names_of_one_detector_and_algorithm_are_kept_apart() -> None:
    one = hand.names(0x100, "det", [("a", hand.U1, 0)], alg="config")
    other = hand.names(0x101, "det", [("b", hand.U1, 0)], alg="config")

    schema = schema_of(one, other)

    assert [names.group for names in schema.named("det")] == [("det", 0, "config")] * 2
    assert only(decoded(schema, hand.values(0x101, b"\x05"))) == {"b": 5}


def test_names_within_parents_are_found() -> None:
    nested = hand.xtc(hand.PARENT, hand.xtc(hand.PARENT, hand.COUNTER))

    assert schema_of(nested).named("counter")[0].key == 9


def test_the_key_is_the_low_28_bits() -> None:
    schema = schema_of(hand.names(0x10000009, "det", [("a", hand.U1, 0)]))

    assert only(decoded(schema, hand.values(0x20000009, b"\x05"))) == {"a": 5}


def broken_names() -> list[Any]:
    field = [("a", hand.U1, 0)]
    cut = hand.names(7, "det", field)[12:-1]
    return [
        pytest.param(hand.names(7, "det", [("a", 13, 0)]), "type 13", id="unknown-type"),
        pytest.param(hand.names(7, "det", [("a", hand.U1, 6)]), "rank 6", id="rank-of-6"),
        pytest.param(hand.names(7, "det", [("a", hand.TEXT, 2)]), "rank 2", id="text-of-rank-2"),
        pytest.param(hand.names(7, "det", [("a:e", hand.LABEL, 1)]), "rank 1", id="label-of-rank-1"),
        pytest.param(hand.names(7, "det", field, n_arrays=1), "say 1 array fields", id="number-of-arrays"),
        pytest.param(hand.xtc(hand.NAMES, cut, src=7), "a multiple of 524", id="odd-size"),
        pytest.param(hand.xtc(hand.NAMES, b"\0" * 100, src=7), "a multiple of 524", id="too-small"),
        pytest.param(hand.names(7, "a", []) + hand.names(7, "b", []), "declared twice", id="key-twice"),
    ]


@pytest.mark.parametrize(("blocks", "message"), broken_names())
def test_names_that_contradict_themselves_are_errors(blocks: bytes, message: str) -> None:
    with pytest.raises(SourceFormatError, match=rf"^made.xtc2, byte [12],\d{{3}}: .*{message}"):
        schema_of(blocks)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("data_first", [False, True])
def test_data_and_shapes_come_in_either_order(data_first: bool) -> None:
    schema = schema_of(hand.names(7, "det", [("a", hand.I2, 2), ("b", hand.F8, 0)]))
    data = np.arange(6, dtype="<i2").tobytes() + hand.scalar(hand.F8, 2.5)

    found = only(decoded(schema, hand.values(7, data, [hand.shape(2, 3)], data_first=data_first)))

    np.testing.assert_array_equal(found["a"], np.arange(6).reshape(2, 3))
    assert (found["a"].dtype.str, found["b"]) == ("<i2", 2.5)


@pytest.mark.parametrize("with_shapes", [False, True])
def test_shapes_may_be_missing_or_empty_without_arrays(with_shapes: bool) -> None:
    schema = schema_of(hand.COUNTER)

    part = hand.values(9, hand.scalar(hand.U4, 7), with_shapes=with_shapes)

    assert only(decoded(schema, part)) == {"value": 7}


def test_spare_bytes_behind_shapes_and_padding_behind_data_mean_nothing() -> None:
    schema = schema_of(hand.names(7, "det", [("t", hand.TEXT, 1)]))

    part = hand.values(7, b"hello" + b"\0\0\0", [hand.shape(5)], tail=b"\xff\xff\xff\xff")

    assert only(decoded(schema, part)) == {"t": "hello"}


def test_fields_at_odd_addresses_are_read() -> None:
    fields = [("a", hand.U1, 0), ("b", hand.U8, 0), ("c", hand.F4, 1), ("d", hand.I4, 0)]
    data = struct.pack("<BQ3fi", 1, 2**63 + 1, 1.5, 2.5, 3.5, -4)

    found = only(decoded(schema_of(hand.names(7, "det", fields)), hand.values(7, data, [hand.shape(3)])))

    assert (found["a"], found["b"], found["d"]) == (1, 2**63 + 1, -4)
    assert found["c"].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("code", range(10))
def test_every_type_of_number_is_read(code: int) -> None:
    schema = schema_of(hand.names(7, "det", [("a", code, 0), ("b", code, 1)]))
    data = hand.scalar(code, 3) + hand.scalar(code, 4) + hand.scalar(code, 5)

    found = only(decoded(schema, hand.values(7, data, [hand.shape(2)])))

    assert found["a"] == 3
    assert found["b"].tolist() == [4, 5]
    assert found["b"].dtype.itemsize == len(hand.scalar(code, 0))


@pytest.mark.parametrize("dims", [(0,), (0, 7), (7, 0)])
def test_arrays_without_elements_keep_their_shape(dims: tuple[int, ...]) -> None:
    schema = schema_of(hand.names(7, "det", [("a", hand.F4, len(dims)), ("b", hand.U1, 0)]))

    found = only(decoded(schema, hand.values(7, b"\x05", [hand.shape(*dims)])))

    assert (found["a"].shape, found["b"]) == (dims, 5)


def test_an_array_without_elements_may_end_the_datagram() -> None:
    schema = schema_of(hand.names(7, "det", [("a", hand.F4, 1)]))

    found = only(decoded(schema, hand.values(7, b"", [hand.shape(0)])))

    assert found["a"].shape == (0,)


def test_parents_are_looked_into_and_their_damage_is_told() -> None:
    schema = schema_of(hand.COUNTER)
    part = hand.values(9, hand.scalar(hand.U4, 7), damage=1 << 1)

    found = decoded(schema, hand.xtc(hand.PARENT, hand.xtc(hand.PARENT, part, damage=1 << 6), damage=1))

    assert [(item.damage, item.above) for item in found] == [(1 << 1, 1 << 6 | 1)]
    assert found[0].values == {"value": 7}


def test_corrupted_parents_are_not_looked_into() -> None:
    schema = schema_of(hand.COUNTER)
    part = hand.values(9, hand.scalar(hand.U4, 7))

    assert decoded(schema, hand.xtc(hand.PARENT, b"nonsense" * 4, damage=8), part)[0].values == {"value": 7}
    assert decoded(schema, b"nonsense" * 4, damage=8) == ()


def test_damaged_values_are_read_as_far_as_they_make_sense() -> None:
    schema = schema_of(hand.COUNTER)

    whole = decoded(schema, hand.values(9, hand.scalar(hand.U4, 7), damage=1))
    cut = decoded(schema, hand.values(9, b"\x07", damage=1))

    assert (whole[0].values, whole[0].damage) == ({"value": 7}, 1)
    assert (cut[0].values, cut[0].damage) == ({}, 1)


def broken_values() -> list[Any]:
    four, huge = hand.scalar(hand.U4, 7), 0xFFFFFFFF
    one, two = hand.shape(1), hand.shape(2)
    data = hand.xtc(hand.DATA, four)
    return [
        pytest.param(hand.values(9, b"\x07"), "take 4 bytes, but 1 remain", id="data-too-short"),
        pytest.param(hand.values(9, four * 3), "8 bytes follow", id="data-too-long"),
        pytest.param(hand.xtc(hand.SHAPES_DATA, b"", src=9), "but 0 remain", id="no-data"),
        pytest.param(hand.xtc(hand.SHAPES_DATA, data + data, src=9), "type 3", id="two-data"),
        pytest.param(hand.xtc(hand.SHAPES_DATA, hand.COUNTER, src=9), "type 4", id="names-in-values"),
        pytest.param(hand.values(8, four), "NamesId 0x8", id="unknown-key"),
        pytest.param(hand.values(10, four), "take 0 bytes", id="no-shapes"),
        pytest.param(hand.values(10, four, [one[:16]]), "take 16 bytes", id="shapes-too-short"),
        pytest.param(hand.values(10, four, [two]), "shape \\(2,\\)", id="array-too-long"),
        pytest.param(hand.values(11, four, [hand.shape(*[huge] * 5)]), "4294967295", id="shape-overflows"),
        pytest.param(hand.values(11, b"", [hand.shape(0, *[huge] * 4)]), "4294967295", id="empty-but-huge"),
        pytest.param(
            hand.values(11, b"", [hand.shape(*[1 << 16] * 5)]), "65536", id="product-is-0-mod-2**64"
        ),
        pytest.param(
            hand.xtc(hand.SHAPES_DATA, data, src=9, extent=11), "claims 11 bytes", id="extent-of-11"
        ),
        pytest.param(
            hand.xtc(hand.SHAPES_DATA, data, src=9, extent=99), "claims 99 bytes", id="extent-of-99"
        ),
        pytest.param(hand.values(9, four) + b"\0" * 5, "5 bytes are left", id="rest-too-short"),
    ]


@pytest.mark.parametrize(("part", "message"), broken_values())
def test_values_that_contradict_the_schema_are_errors(part: bytes, message: str) -> None:
    arrays = hand.names(10, "array", [("a", hand.U4, 1)]), hand.names(11, "large", [("a", hand.U4, 5)])
    schema = schema_of(hand.COUNTER, *arrays)

    with pytest.raises(SourceFormatError, match=rf"^made.xtc2, byte [12],\d{{3}}: .*({message})"):
        decoded(schema, part)


def test_parents_without_end_are_an_error() -> None:
    nested = b""
    for _ in range(5000):
        nested = hand.xtc(hand.PARENT, nested)

    with pytest.raises(SourceFormatError, match="nested"):
        decoded(Schema({}), nested)


# ---------------------------------------------------------------- enums and text

GAIN = [
    ("gain:GainEnum", hand.ENUM, 0), ("High:GainEnum", hand.LABEL, 0), ("Low:GainEnum", hand.LABEL, 0),
    ("other:GainEnum", hand.ENUM, 0),
]  # fmt: skip


def codes(*values: int) -> bytes:
    return b"".join(hand.scalar(hand.I4, value) for value in values)


def test_enums_of_one_type_share_their_labels() -> None:
    found = only(decoded(schema_of(hand.names(7, "det", GAIN)), hand.values(7, codes(-2, -2, 5, 5))))

    labels = {-2: "High", 5: "Low"}
    assert found == {"gain": EnumValue(-2, labels), "other": EnumValue(5, labels)}
    assert [found["gain"].label, found["other"].label] == ["High", "Low"]


def test_updates_without_labels_use_those_of_the_configure() -> None:
    update = hand.names(8, "det", [("gain:GainEnum", hand.ENUM, 0)])
    elsewhere = hand.names(9, "det", [("gain:GainEnum", hand.ENUM, 0)], segment=1)
    config = hand.values(7, codes(-2, -2, 5, 5))

    schema = schema_of(hand.names(7, "det", GAIN), update, elsewhere, config)

    assert only(decoded(schema, hand.values(8, codes(5)))) == {"gain": EnumValue(5, {-2: "High", 5: "Low"})}
    assert only(decoded(schema, hand.values(9, codes(5)))) == {"gain": EnumValue(5, {})}
    assert schema.labels(schema.names[8], schema.names[8].fields[0]) == {-2: "High", 5: "Low"}


def test_an_unknown_code_is_its_own_label() -> None:
    assert EnumValue(9, {5: "Low"}).label == "9"


@pytest.mark.parametrize(
    ("stored", "text"), [(b"abc", "abc"), (b"abc\0", "abc"), (b"a\0bc", "a"), (b"", ""), (b"\xff", "\\xff")]
)
def test_text_ends_at_the_first_nul_or_where_it_is_stored_to(stored: bytes, text: str) -> None:
    schema = schema_of(hand.names(7, "det", [("t", hand.TEXT, 1), ("n", hand.U1, 0)]))

    found = only(decoded(schema, hand.values(7, stored + b"\x09", [hand.shape(len(stored))])))

    assert found == {"t": text, "n": 9}


def test_colons_and_dots_stay_in_names_that_are_no_enums() -> None:
    fields = [("XPP:LAS:TEMP", hand.F8, 0), ("user.gain:Mode", hand.ENUM, 0), ("bare", hand.ENUM, 0)]
    data = hand.scalar(hand.F8, 1.5) + codes(1, 2)

    found = only(decoded(schema_of(hand.names(7, "epics", fields)), hand.values(7, data)))

    assert found == {"XPP:LAS:TEMP": 1.5, "user.gain": EnumValue(1, {}), "bare": EnumValue(2, {})}
