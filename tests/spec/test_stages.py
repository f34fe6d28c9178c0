import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.spec.check import check_spec
from cubeengine.spec.model import CubeSpec, Signal
from cubeengine.units import Quantity

from .stages import Floor, Gain, Total

STAGES = st.one_of(
    st.just(Total()),
    st.builds(Gain, constants=st.sampled_from(["a.h5", "x y/{b}.npz"]), mode=st.sampled_from([None, "row"])),
    st.builds(
        Floor,
        min=st.sampled_from([3, 0.5, Quantity(3, "keV")]),
        below=st.sampled_from(["zero", "missing"]),
    ),
)


@given(st.lists(STAGES, max_size=4))
def test_stages_to_yaml_to_stages_are_equal(stages):
    spec = CubeSpec(cube="x", signals=[Signal("jungfrau/raw/raw", name="frame", stages=stages)])
    again = CubeSpec.loads(spec.to_yaml())
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.signals[0].stages == tuple(stages)
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_plain_stages_are_in_the_shortest_form():
    given = ["spec_total", {"spec_gain": "a.h5"}, {"spec_gain": {"constants": "a.h5", "mode": "row"}}]
    given += [{"spec_floor": {"min": "3 keV"}}]
    assert Signal("a", stages=given).to_plain() == {"field": "a", "stages": given}
    spelled = [{"spec_total": {}}, {"spec_total": None}, {"spec_gain": {"constants": "a.h5"}}]
    assert Signal("a", stages=spelled).to_plain()["stages"] == ["spec_total"] * 2 + [{"spec_gain": "a.h5"}]


def test_a_field_may_be_several_signals_with_different_stages():
    spec = CubeSpec(
        cube="x", signals=["a", Signal("a", name="total", stages=["spec_total"]), Signal("a", name="again")]
    )
    assert [signal.variable for signal in spec.signals] == ["a", "total", "again"]
    assert spec.signals[0] != spec.signals[1]


def test_an_axis_is_not_the_same_field_after_stages():
    with pytest.raises(SpecError, match="an axis in the cube is already called 'a'"):
        CubeSpec(
            cube="x", axes=[{"field": "a", "quantiles": 2}], signals=[Signal("a", stages=["spec_total"])]
        )


WRONG = """\
cube: x
signals:
  - field: a
    stages:
      - spec_gain: 3
      - spec_floor: {mn: 3}
      - spec_floor: {min: 3 kev}
      - spec_totl
      - spec_totl: {a: 3}
      - spec_gain
      - spec_floor: {min: 1}
        spec_total:
      - 3
      - spec_total: {x: 1}
  - {field: b, stages: spec_total}
"""


def test_every_problem_of_stages_is_told_at_its_place():
    found = [str(problem) for problem in check_spec(WRONG)[1]]
    assert found == [
        "5:20: signals[0].stages[0].spec_gain: must be text, but is 3",
        "6:22: signals[0].stages[1].spec_floor.mn: unknown key 'mn'; nearest: 'min'",
        "7:27: signals[0].stages[2].spec_floor.min: unknown unit 'kev'; nearest: 'keV', 'eV', 'meV'",
        "8:9: signals[0].stages[3]: there is no stage 'spec_totl'; nearest: 'spec_total', 'spec_floor'",
        "9:9: signals[0].stages[4]: there is no stage 'spec_totl'; nearest: 'spec_total', 'spec_floor'",
        "10:9: signals[0].stages[5]: needs 'constants'",
        "11:9: signals[0].stages[6]: 'spec_floor' and 'spec_total' are separate stages: begin each with '- '",
        "13:9: signals[0].stages[7]: must be the name of a stage, or {name: options}, but is 3",
        "14:22: signals[0].stages[8].spec_total.x: unknown key 'x'; no keys are allowed here",
        "15:24: signals[1].stages: must be a list, but is the text 'spec_total'; write  stages: [spec_total]",
    ]


def test_stages_can_be_set_from_outside():
    text = "cube: x\nsignals: [{field: a, stages: [{spec_floor: {min: 1}}]}]\n"
    spec = CubeSpec.loads(text, overrides={"signals.0.stages.0.spec_floor.min": "3 ADU"})
    assert spec.signals[0].stages == (Floor(min="3 ADU"),)
    with pytest.raises(SpecError, match="set outside the file"):
        CubeSpec.loads(text, overrides={"signals.0.stages.0.spec_floor.min": "3 kev"})


BUILT_IN = [
    "sum",
    {"calibrate": "jungfrau.h5"},
    {"calibrate": {"constants": "a.npz", "kind": "epix10ka", "gain": False}},
    {"threshold": "3 keV"},
    {"threshold": 5},
    {"threshold": {"min": "4 sigma", "below": "missing", "constants": "jungfrau.h5"}},
    {"mask": "bad.npy"},
    {"mask": {"edges": 1}},
    {"roi": [[0, 4], [2, 8]]},
    {"roi": {"ranges": [[0, 4], [2, 8]], "segment": 1}},
    {"rebin": 2},
    {"rebin": {"factor": [2, 4], "how": "mean"}},
    {"project": "rows"},
    {"sum": "mean"},
    {"assemble": "geometry.data"},
    {"azav": {"bins": 100, "poni": "a.poni"}},
    {"azav": {"bins": 50, "distance": "90 mm", "pixel_size": "75 um", "center": [10, 20.5],
              "energy": "9.5 keV"}},
]  # fmt: skip


@pytest.mark.parametrize("stage", BUILT_IN, ids=str)
def test_every_built_in_stage_reads_back_as_it_was_written(stage):
    spec = CubeSpec(cube="x", signals=[Signal("a", name="b", stages=[stage])])
    again = CubeSpec.loads(spec.to_yaml())
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.signals[0].to_plain()["stages"] == [stage]
