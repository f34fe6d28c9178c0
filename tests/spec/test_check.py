import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.schema.problems import in_order
from cubeengine.spec.check import check_document, check_fields, check_spec
from cubeengine.spec.model import CubeSpec
from cubeengine.types import FieldInfo
from tests.quick import first_quick

from .texts import DELAY, FIELDS


def told(text, fields=FIELDS, overrides=None):
    """Everything that is said about a spec, a line each."""
    checked = check_document(text, overrides)
    problems = list(checked.problems)
    if checked.remains is not None:
        problems += check_fields(checked.remains, checked.positions, fields, "run xpptut15:252")
    return [problem.format("cube.yaml") for problem in in_order(problems)]


def test_a_good_spec_has_no_problems():
    assert told(DELAY) == []
    spec, problems = check_spec(DELAY)
    assert spec == CubeSpec.loads(DELAY)
    assert problems == []


def test_five_mistakes_are_five_messages_with_their_lines():
    text = (
        DELAY.replace("resources:", "resorces:")
        .replace("  - ipm2/sum\n", "  - ipm2/summ\n")
        .replace("laser: on}", "laser: onn}")
        .replace("[0.3, 0.8, 1.3, 2.0]", "[0.3, 0.8, 0.7, 2.0]")
        .replace("[good, ", "[goood, ")
    )
    assert told(text) == [
        "cube.yaml:14:12: select.pumped[0]: 'goood' is neither a selection nor a derived variable; "
        "nearest: 'good'",
        "cube.yaml:15:31: select.on.laser: must be 'on' or 'off', but is the text 'onn'",
        "cube.yaml:19:23: axes[1].edges: must rise strictly, but edges[2] = 0.7 comes after 0.8",
        "cube.yaml:22:5: signals[0]: field 'ipm2/summ' is not in run xpptut15:252; "
        "nearest: 'ipm2/sum', 'ipm3/sum'",
        "cube.yaml:24:1: resorces: unknown key 'resorces'; nearest: 'resources'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cube: delay", "cubee: delay", "1:1: cubee: unknown key 'cubee'; nearest: 'cube', 'cubes'"),
        ("cube: delay\n", "", "1:1: needs 'cube'"),
        ("run: 252", "run: x", "4:8: run.run: must be a whole number, but is the text 'x'"),
        ("run:04d", "rum:04d", "'{rum:04d}' cannot be filled in; nearest: '{run:04d}'"),
        ("scan/lxt: s", "scan/lxt: sec", "unknown unit 'sec'"),
        ("sign: +1", "sign: 3", "derive.delay.delay.sign: must be +1 or -1, but is 3"),
        ("nominal: scan", "nomnal: scan", "unknown key 'nomnal'; nearest: 'nominal'"),
        ("tt__AMPL > 0.02", "tt__AMPL >", "derive.delay.delay.valid: "),
        ("tt__AMPL > 0.02", "sqr(tt__AMPL) > 0.02", "no function 'sqr'; nearest: 'sqrt'"),
        ("tt__AMPL > 0.02", "tt__AMPL + 1", "gives a number per event, not true or false"),
        ("tt__AMPL > 0.02", "tt__AMPLE > 0.02", "field 'tt/AMPLE' is not in run"),
        ("diode2__channels[3]", "diode2__channels[16]", "9:10: derive.ratio: "),
        ("ratio:", "ipm3/sum:", "is not a name"),
        ("field: lightStatus/xray", "fild: lightStatus/xray", "unknown key 'fild'; nearest: 'field'"),
        ("equal: 1", "equal: yes", "'yes' is not a number"),
        ("min: 0.3", "min: 3.3", "is below 'min'"),
        ("field: ipm2/sum, min", "field: diode2/channels, min", "has shape (16,) per event, but a cut needs"),
        ("without: [tt/*]", "without: [xx/*]", "warning: 'xx/*' matches no field that the selection uses"),
        ("without: [tt/*]", "witout: [tt/*]", "unknown key 'witout'; nearest: 'without'"),
        ("step: 0.5", "step: 0.3", "miss 'stop' 8; nearest: 7.9 or 8.2"),
        ("unit: ps}", "unit: eV}", "'delay' is in 'ps', which cannot be converted to 'eV'"),
        ("field: ipm2/sum, edges", "field: epix/ROI_0_area, edges", "but an axis needs one number"),
        ("field: ipm2/sum, edges", "field: Sums/epix, edges", "one value per run"),
        (
            "cubes: [on, off]",
            "cubes: [on, of]",
            "20:13: cubes[1]: there is no selection 'of'; nearest: 'off'",
        ),
        ("  - ipm2/sum\n", "  - fim/var_peaks/height\n", "cannot be a signal: it has a different number"),
        ("  - ipm2/sum\n", "  - intg/slow/temp\n", "`run: {events: intg}`"),
        (
            "name: roi",
            "name: delay",
            "two variables called 'delay_mean'|an axis in the cube is already called 'delay'",
        ),
        ("name: roi", "nam: roi", "unknown key 'nam'; nearest: 'name'"),
        ("memory: 4 GiB", "memory: 4 GiBi", "not a memory size"),
        (
            "cubes: [on, off]",
            "cubes: [on, off]\ncubes: [on]",
            "the key 'cubes' appears twice, first in line 20",
        ),
        ("cubes: [on, off]", "cubes: !!set [on, off]", "20:8: cubes: the tag"),
        ("derive:", "derive: {ipm2/sum: '1'}\nx:", "unknown key 'x'"),
    ],
)
def test_one_mistake_is_told_where_it_is(old, new, message):
    assert old in DELAY
    lines = told(DELAY.replace(old, new, 1))
    assert any(part in line for line in lines for part in message.split("|")), lines


def test_a_derived_variable_must_not_hide_a_field():
    assert told("cube: x\nderive: {hot: '1 + 1'}", FIELDS | {"hot": FIELDS["ipm2/sum"]}) == [
        "cube.yaml:2:15: derive.hot: 'hot' is already a field of run xpptut15:252; choose another name"
    ]


def test_element_dimensions_must_not_be_called_as_an_axis():
    fields = {
        "a": FieldInfo("a", (3, 4), np.dtype("f8"), n_rows=5),
        "a_dim1": FieldInfo("a_dim1", (), np.dtype("f8"), n_rows=5),
    }
    text = "cube: x\naxes: [{field: a_dim1, quantiles: 2}]\nsignals: [%s]"
    (line,) = told(text % "a", fields)
    assert line.startswith(
        "cube.yaml:3:11: signals[0]: dimension 1 of the signal 'a' would be called 'a_dim1'"
    )
    assert told(text % "{field: a, name: b}", fields) == []


def test_laser_is_looked_for_only_where_it_is_asked():
    fields = {name: info for name, info in FIELDS.items() if not name.startswith("light")}
    text = "cube: x\nselect: {on: {laser: on}}\n"
    (line,) = told(text, fields)
    assert line.startswith("cube.yaml:2:22: select.on.laser: field 'lightStatus/laser' is not in run")
    assert line.endswith("run.laser says what laser means")
    assert told("cube: x\n", fields) == []
    assert told("cube: x\nrun: {laser: '`tt/AMPL` > 1'}\nselect: {on: {laser: on}}\n", fields) == []


def test_all_wrong_parts_of_one_entry_are_told():
    lines = told("cube: x\naxes:\n  - {fild: a, egdes: [1, 2], unit: pss}\n")
    assert len(lines) == 3


@pytest.mark.parametrize("text", ["", "~", "3", "[]", "- a", "a", "{}", "cube", "cube: [", "\x00", b"\xff"])
def test_what_is_no_spec_is_one_readable_problem(text):
    spec, problems = check_spec(text)
    assert spec is None
    assert len(problems) == 1


@pytest.mark.parametrize(
    "text",
    first_quick(
        [
            "cube: x\nsignals: [" + "x," * 20_000 + "]",
            "cube: x\nselect: {s: [" + "goood," * 20_000 + "]}",
            "cube: x\n" + "".join(f"k{i}: 1\n" for i in range(5000)),
            "cube: x\nunits:\n" + "".join(f"  k{i}: pss\n" for i in range(5000)),
        ]
    ),
)
def test_thousands_of_mistakes_end_with_a_word_and_soon(text):
    spec, problems = check_spec(text)
    assert spec is None
    assert len(problems) <= 101


def test_overrides_are_checked_with_the_rest_and_have_no_line():
    assert CubeSpec.loads(DELAY, overrides={"run.run": 12, "axes.0.unit": "fs"}).run.run == 12
    (line,) = told(DELAY, overrides={"axes.0.unit": "pss"})
    assert line.startswith("cube.yaml: axes[0].unit: unknown unit 'pss'")
    assert line.endswith("(set outside the file)")


def test_files_that_cannot_be_read_are_spec_errors(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 1_000_001)
    for path in (tmp_path, tmp_path / "none.yaml", large):
        with pytest.raises(SpecError, match=path.name):
            check_spec(path)


def mutated(seed):
    """A good spec with a few characters changed, left out, doubled or swapped."""
    rng = random.Random(seed)
    text = list(DELAY)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text))
        text[at] = rng.choice(["", text[at] * 2, rng.choice("{}[]:,-'\"`#&*!|>%@ \n\t019.eExÅ\x85"), *"abc"])
    return "".join(text)


@given(st.integers(0, 2**32))
def test_a_mutated_spec_never_breaks_the_check(seed):
    lines = told(mutated(seed))
    assert all(lines)


WORDS = st.sampled_from(
    [
        "cube",
        "run",
        "select",
        "derive",
        "axes",
        "signals",
        "field",
        "all",
        "any",
        "not",
        "laser",
        "on",
        "delay",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(CubeSpec.model_fields)), VALUES))
def test_any_data_make_a_spec_or_a_spec_error(data):
    try:
        spec = CubeSpec.from_dict(data)
    except SpecError as err:
        assert err.problems  # noqa: PT017 - either outcome is right
    else:
        assert CubeSpec.from_dict(spec.to_dict()) == spec


def test_marks_that_a_field_cannot_hold_are_told_each_with_its_place():
    fields = FIELDS | {
        "cam/u1": FieldInfo("cam/u1", (), np.dtype("u1")),
        "given": FieldInfo("given", (), np.dtype("f8"), origin="derived"),
    }
    text = (
        "cube: x\nderive: {d: '`ipm2/sum` + 1'}\nmissing:\n  cam/u1: [97, 0.5, -99999]\n  d: 0\n  given: 0\n"
        "  ipm2/summ: 0\n  lightStatus/laser: [-1, leading_zeros]\n  ipm2/sum: -9999.5\n"
    )
    whole = "'cam/u1' is uint8, whole numbers from 0 to 255, which cannot hold"
    found = told(text, fields)
    assert found[:2] == [
        f"cube.yaml:4:16: missing.cam/u1[1]: {whole} 0.5",
        f"cube.yaml:4:21: missing.cam/u1[2]: {whole} -99999; in this type, the writers' -99999 becomes 97",
    ]
    assert [line.split(": ")[1] for line in found[2:]] == [
        "missing.d",
        "missing.given",
        "missing.ipm2/summ",
    ]
    assert all("in no file of the run" in line for line in found[2:4])
    assert "nearest: 'ipm2/sum'" in found[4]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("codes/u2", None),
        ("codes/flags", None),
        ("codes/u1", r"but this is uint8 of shape \(18,\)"),
        ("codes/few", r"but this is uint16 of shape \(5,\) per event; .*write any\(field == 90\)"),
        (
            "codes/f4",
            r"needs a field of 18 words of 16 bits.* or a flag.*, but this is float32 of shape \(18,\)",
        ),
        ("codes/one", r"but this is uint16 of shape \(\)"),
    ],
)
def test_event_codes_need_a_field_of_words_or_flags(field, message):
    shapes = {"flags": (288,), "u2": (18,), "u1": (18,), "few": (5,), "f4": (18,), "one": ()}
    dtypes = {"flags": "i8", "u2": "u2", "u1": "u1", "few": "u2", "f4": "f4", "one": "u2"}
    fields = {
        f"codes/{name}": FieldInfo(f"codes/{name}", shape, np.dtype(dtypes[name]))
        for name, shape in shapes.items()
    }
    text = (
        f"cube: x\nrun: {{laser: 'eventcode(`{field}`, 90)'}}\nselect: {{on: {{laser: on}}}}\ncubes: [on]\n"
    )
    found = told(text, fields)
    if message is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith("cube.yaml:2:14: run.laser: expression eventcode(")
        assert re.search(message, found[0])


def test_a_selection_is_told_by_its_keys_and_not_by_what_a_wrong_one_is_like():
    (line,) = told("cube: x\nselect: {on: {laser: on, fields: 3}}\n")

    assert "select.on.fields: unknown key 'fields'" in line


def test_wrong_bins_and_an_unknown_field_of_one_axis_are_told_at_once():
    axes = "  - {field: ipm2/summ, edges: [3, 1], unit: ''}\n  - {field: ipm2/sum, edges: 3}\n"
    field, bins, other = told(f"cube: x\naxes:\n{axes}")

    assert "3:13: axes[0].field: field 'ipm2/summ' is not in" in field
    assert "3:24: axes[0].edges: must rise strictly" in bins
    assert "axes[1].edges" in other


@pytest.mark.parametrize(
    ("signal", "derived", "name"),
    [
        ("diode2/channels[3]", "diode2__channels[3]", "diode2_channels_3"),
        ("diode2__channels[3]", "diode2__channels[3]", "diode2_channels_3"),
        ("diode2/channels[3] / ipm2/sum", "diode2__channels[3] / ipm2__sum", "diode2_channels_3_ipm2_sum"),
    ],
)
def test_a_formula_in_place_of_a_field_is_told_with_the_text_to_write(signal, derived, name):
    derive = f'derive: {{{name}: "{derived}"}}'
    for key in (f"signals: ['{signal}']", f"signals: [{{field: '{signal}', name: short}}]"):
        (line,) = told(f"cube: x\n{key}\n")
        assert f"a formula gets a name:  {derive},  here  {name}" in line
    assert told(f"cube: x\n{derive}\nsignals: [{name}]\n") == []


def test_what_run_laser_says_is_wrong_where_it_stands():
    lines = told("cube: x\nrun:\n  laser: evr/code_91x\nselect: {on: {laser: on}, off: {laser: off}}\n")

    assert len(lines) == 1
    assert lines[0].startswith("cube.yaml:3:10: run.laser: field 'evr/code_91x' is not in")


def test_a_percentile_is_told_where_it_cannot_stand():
    (line,) = told("cube: x\nselect: {on: [{field: ipm2/sum, equal: 10 %}]}\n")

    assert "'10 %' is a percentile, which stands as 'min' or 'max' of a cut only" in line
