import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.spec.scalars import read_scalar
from cubeengine.spec.writing import write_yaml
from cubeengine.spec.yaml import MAX_BYTES, load_data, parse_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("4e4", 4e4),
        ("1e-12", 1e-12),
        (".5", 0.5),
        ("012", 12),
        ("0o14", 12),
        ("0xC", 12),
        ("-3", -3),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("~", None),
        ("none", "none"),
        ("+.inf", math.inf),
        ("0 ps", "0 ps"),
        ("9" * 50, float("9" * 50)),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    assert load_data(f"a: {text}") == {"a": value}


def test_keys_are_always_text():
    assert load_data("{on: 1, 12: 2, true: 3}") == {"on": 1, "12": 2, "true": 3}


def test_json_is_read_as_it_is():
    assert load_data('{"a": [1, 2.5, null, true], "b": {"c": "on"}}') == {
        "a": [1, 2.5, None, True],
        "b": {"c": "on"},
    }


def test_every_value_has_its_place():
    document = parse_document("axes:\n  - {field: a,\n     unit: ps}\n")
    assert document.places["axes", 0] == (2, 5)
    assert document.places["axes", 0, "unit"] == (3, 12)
    assert document.keys["axes", 0, "unit"] == (3, 6)


def test_duplicate_keys_are_named_with_both_lines():
    (problem,) = parse_document("a: 1\nb: 2\na: 3\n").problems
    assert (problem.line, problem.column) == (3, 1)
    assert problem.message == "the key 'a' appears twice, first in line 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("a: !x 3", "tag"),
        ("!!binary aGk=: 3", "tag"),
        ("a: [1, 2", "1:9: not YAML"),
        ("a: b: c", "1:5: not YAML"),
        ("a\n---\nb", "2:1: a second YAML document"),
        ("? [a]\n: 1", "a key must be text"),
        ("a: &a [*a]", "a value that contains it"),
        ("a: *b", "refers to nothing"),
        ("[" * 50, "levels deep"),
        ('a: "\\UFFFFFFFF"', "not YAML"),
        ("a: \x00", "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("#" * (MAX_BYTES + 1), "1,000,001 bytes"),
    ],
)
def test_what_a_spec_may_not_be_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        load_data(text)


def test_an_alias_bomb_is_stopped():
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise("abcdefghi")]
    with pytest.raises(SpecError, match="aliases expand to more than 10,000 values"):
        load_data("\n".join(lines))


def test_an_alias_stands_for_its_value():
    assert load_data("a: &x {k: 1}\nb: *x\n") == {"a": {"k": 1}, "b": {"k": 1}}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=30),
    st.sampled_from(["on", "012", "1e5", "~", "a: b", "a #b", "- a", "`x` > 1", "...", "a\\b", '"', ".5"]),
)
KEYS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(st.dictionaries(st.sampled_from(["cube", "run", "axes", "select", "x"]), DATA))
def test_what_is_written_reads_back(data):
    assert load_data(write_yaml(data) or "{}") == data


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_python_numbers_read_back(number):
    assert read_scalar(repr(number)) == number


@given(st.text(st.sampled_from("ab:-[]{}#&*!|>'\"%@` \n\t0.,?~"), max_size=60))
def test_any_text_gives_data_or_problems(text):
    assert parse_document(text).problems is not None
