import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.spec.axes import Axis
from cubeengine.spec.derived import DelayRecipe, Derived
from cubeengine.spec.model import CubeSpec, RunSpec, Signal, resolve_paths
from cubeengine.spec.selections import Cut, Selection
from cubeengine.units import Quantity

from .texts import DELAY

FIELDS = st.sampled_from(["ipm2/sum", "tt/AMPL", "lightStatus/xray", "a b", "x:y/z"])
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
POSITIVE = st.integers(1, 1000).map(lambda n: n / 8)
TEXTS = st.sampled_from(["`tt/AMPL` > 0.02", "ipm2__sum < 1 and `x y` != 2"])


@st.composite
def cuts(draw):
    form = draw(st.sampled_from(["interval", "min", "equal", "in"]))
    field = draw(FIELDS)
    if form == "interval":
        low, high = sorted([draw(FINITE), draw(FINITE)])
        return Cut(field=field, min=low, max=high)
    if form == "in":
        return Cut(field=field, in_=draw(st.lists(FINITE, min_size=1, max_size=3)))
    return Cut(field=field, **{form: draw(FINITE)})


MEMBERS = st.recursive(
    TEXTS | cuts(),
    lambda inner: st.builds(
        Selection,
        all=st.lists(inner, max_size=2),
        any=st.none() | st.lists(inner, min_size=1, max_size=2),
        not_=st.none() | st.lists(inner, min_size=1, max_size=2),
        laser=st.sampled_from([None, "on", "off"]),
    ),
    max_leaves=4,
)
SPACINGS = st.builds(
    lambda start, step, n: {"start": start, "stop": start + n * step, "step": step},
    st.integers(-100, 100), POSITIVE, st.integers(1, 50),
)  # fmt: skip
AXES = st.one_of(
    st.builds(lambda spacing: {"edges": spacing}, SPACINGS),
    st.builds(lambda spacing: {"centers": spacing}, SPACINGS),
    st.builds(lambda n: {"quantiles": n}, st.integers(1, 100)),
    st.builds(lambda edges: {"edges": sorted(edges)}, st.sets(FINITE.map(float), min_size=2, max_size=5)),
    st.just({"steps": "auto"}),
    st.just({"steps": "scan/lxt", "tolerance": 0.5}),
)
DERIVED = st.sampled_from(
    [
        Derived(expression="`ipm2/sum` * 2"),
        Derived(delay=DelayRecipe(nominal="scan/lxt", t0=Quantity(3, "fs"), laser="none")),
        Derived(delay={"nominal": "scan/lxt", "timetool": "tt/ttCorr", "sign": -1, "valid": "tt__AMPL > 1"}),
    ]
)


MARK = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
MARKS = MARK | st.lists(MARK | st.just("leading_zeros"), max_size=3)


@st.composite
def specs(draw):
    select = draw(
        st.dictionaries(
            st.sampled_from(["good", "on", "12", "a-b"]),
            st.builds(Selection, all=st.lists(MEMBERS, max_size=3)),
        )
    )
    return CubeSpec(
        cube=draw(st.sampled_from(["delay", "on", "007"])),
        run=draw(
            st.sampled_from(
                [
                    {},
                    {"run": 3, "xtc": "xtc"},
                    {
                        "smalldata": "x y/{run}.h5",
                        "laser": "`evr/code_90` == 1",
                        "xtc": ["a.xtc2", "b c.xtc2"],
                    },
                ]
            )
        ),
        units={"scan/lxt": "s", "tt/ttCorr": "ps"},
        missing=draw(st.dictionaries(st.sampled_from(["epx/npix", "a b", "12"]), MARKS, max_size=2)),
        derive=draw(st.dictionaries(st.sampled_from(["delay", "ratio"]), DERIVED)),
        select=select,
        axes=[{"field": f"axis{i}", **axis} for i, axis in enumerate(draw(st.lists(AXES, max_size=2)))],
        cubes=list(select),
        signals=draw(
            st.sampled_from([[], ["ipm2/sum"], [{"field": "epix/x", "name": "roi", "dtype": "float32"}]])
        ),
        resources=draw(st.sampled_from([{}, {"memory": "3 GiB"}, {"memory": 1000001}])),
    )


@given(specs())
def test_spec_to_yaml_to_spec_is_equal(spec):
    assert CubeSpec.loads(spec.to_yaml()) == spec
    assert CubeSpec.from_dict(spec.to_dict()) == spec
    assert hash(CubeSpec.from_dict(spec.to_dict())) == hash(spec)


def test_marks_may_be_given_as_numbers_of_numpy_and_one_need_not_be_in_a_list():
    spec = CubeSpec(cube="x", missing={"a": np.uint16(31073), "b": [97], "c": [], "d": ["leading_zeros", 0]})
    assert spec.to_dict()["missing"] == {"a": 31073, "b": 97, "c": [], "d": ["leading_zeros", 0]}
    assert CubeSpec.loads("cube: x\nmissing: {a: 31073, b: 97, c: [], d: [leading_zeros, 0]}") == spec


def test_the_spec_of_the_manual_reads_and_reads_back():
    spec = CubeSpec.loads(DELAY)
    assert spec.derive["delay"].delay.sign == 1
    assert spec.select["on"] == Selection(all=("pumped",), laser="on")
    assert spec.resources.memory == 4 * 2**30
    assert CubeSpec.loads(spec.to_yaml()) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_python_classes_mirror_yaml():
    spec = CubeSpec(
        cube="delay",
        run=RunSpec(experiment="xpptut15", run=252, smalldata="data/xpptut15_Run{run:04d}.h5"),
        units={"scan/lxt": "s", "tt/ttCorr": "ps", "ipm2/sum": "arb"},
        derive={
            "delay": Derived(
                delay=DelayRecipe(
                    nominal="scan/lxt", timetool="tt/ttCorr", sign=+1, t0="0 ps", valid="tt__AMPL > 0.02"
                )
            ),
            "ratio": "diode2__channels[3] / ipm2__sum",
        },
        select={
            "good": [Cut(field="lightStatus/xray", equal=1), Cut(field="ipm2/sum", min=0.3, max=2.0)],
            "pumped": ["good", "`tt/AMPL` > 0.02"],
            "on": Selection(all=["pumped"], laser="on"),
            "off": Selection(all=["pumped"], laser="off", without=["tt/*"]),
        },
        axes=[
            Axis(field="delay", centers={"start": -2, "stop": 8, "step": 0.5}, unit="ps"),
            Axis(field="ipm2/sum", edges=[0.3, 0.8, 1.3, 2.0]),
        ],
        cubes=["on", "off"],
        signals=["ipm2/sum", Signal(field="epix/ROI_0_area", name="roi")],
        resources={"memory": "4 GiB"},
    )
    assert spec == CubeSpec.loads(DELAY)


def test_defaults_are_one_bin_of_all_events_in_two_gibibytes():
    spec = CubeSpec(cube="x")
    assert (spec.axes, spec.cubes, spec.resources.memory) == ((), (), 2 * 2**30)
    assert spec.to_yaml() == "cube: x\n"


def test_a_spec_never_changes():
    with pytest.raises(ValueError, match="frozen"):
        CubeSpec(cube="x").cube = "y"


def test_paths_are_filled_in_relative_to_the_folder_of_the_spec():
    spec = CubeSpec.loads(DELAY)
    assert resolve_paths(spec, "/specs").smalldata == Path("/specs/data/xpptut15_Run0252.h5")
    assert resolve_paths(CubeSpec(cube="x"), "/specs").smalldata is None
    with pytest.raises(SpecError, match=r"needs run\.run"):
        resolve_paths(CubeSpec(cube="x", run={"smalldata": "Run{run:04d}.h5"}), "/specs")


@pytest.mark.parametrize(
    ("xtc", "paths"),
    [
        (None, []),
        ("xtc", ["/specs/xtc"]),
        ("/data/{experiment}/xtc", ["/data/xpptut15/xtc"]),
        (["a-r{run:04d}-s000.xtc2", "/b/s001.xtc2"], ["/specs/a-r0252-s000.xtc2", "/b/s001.xtc2"]),
    ],
)
def test_raw_files_are_filled_in_as_well(xtc, paths):
    spec = CubeSpec(cube="x", run={"experiment": "xpptut15", "run": 252, "xtc": xtc})
    assert resolve_paths(spec, "/specs").xtc == tuple(map(Path, paths))


def test_the_shorthand_may_stand_alone_in_python():
    assert Signal("ipm2/sum", name="i0") == Signal(field="ipm2/sum", name="i0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cube": "../x"}, "is not a name"),
        ({"cube": ""}, "must not be empty"),
        ({"cubes": ["on"]}, "no selection 'on'"),
        ({"cubes": ["all", "all"]}, "is already in this list"),
        ({"select": {"a": ["b"], "b": ["a"]}}, "refers to itself: a -> b -> a"),
        ({"select": {"good": [], "x": ["goood"]}}, "'goood' is neither .* nearest: 'good'"),
        ({"select": {"x": ["`a` >"]}}, r"select.x\[0\]|all"),
        ({"select": {"x": [{"field": "a", "min": 3, "max": 2}]}}, "is below 'min'"),
        ({"select": {"x": [{"field": "a"}]}}, "a cut needs 'min' and/or 'max'"),
        ({"select": {"x": [{"field": "a", "min": "3 keV"}]}}, "declare it under `units`"),
        ({"select": {"x": [{"field": "a", "min": "3 keV"}]}, "units": {"a": "ps"}}, "cannot convert 'keV'"),
        ({"select": {"x": {"any": []}}}, "at least one"),
        ({"select": {"x": {"laser": "onn"}}}, "'on' or 'off'"),
        ({"derive": {"a": "b + 1", "b": "a + 1"}}, "'a' is computed from itself: a -> b -> a"),
        ({"derive": {"a": "b +"}}, "derive.a"),
        ({"derive": {"d": {"delay": {"nominal": "scan/lxt"}}}}, "'scan/lxt' is not declared"),
        ({"derive": {"d": {"delay": {"nominal": "a"}}}, "units": {"a": "eV"}}, "not in a unit of time"),
        ({"derive": {"d": {"delay": {"nominal": "a", "sign": 2}}}}, r"\+1 or -1"),
        ({"derive": {"d": {"delay": {"nominal": "a", "t0": "1 eV"}}}, "units": {"a": "s"}}, "'eV' to 'ps'"),
        ({"axes": [{"field": "a/b", "edges": [0, 1], "unit": "ps"}]}, "not declared; .* units: {a/b: ps}"),
        (
            {"axes": [{"field": "a", "edges": [0, 1], "unit": "ps"}], "units": {"a": "eV"}},
            "cannot be converted",
        ),
        ({"axes": [{"field": f"a{i}", "quantiles": 9999} for i in range(2)]}, "bins together"),
        ({"axes": [{"field": "a", "quantiles": 2}] * 2}, "two variables called 'a'"),
        ({"signals": ["a/b", {"field": "c", "name": "a__b"}]}, "two signals are called 'a__b'"),
        ({"signals": ["b"], "axes": [{"field": "b_mean", "quantiles": 2}]}, "two variables called 'b_mean'"),
        ({"run": {"smalldata": "{run.__class__}"}}, "cannot be filled in"),
        ({"run": {"smalldata": "{rnu:04d}"}}, "nearest: '{run"),
        ({"run": {"run": -1}}, "greater than or equal to 0"),
        ({"run": {"run": True}}, "whole number"),
        ({"resources": {"memory": "lots"}}, "not a memory size"),
        ({"missing": {"a": "zeros"}}, "'leading_zeros'.* but is the text 'zeros'"),
        ({"missing": {"a": [0, "zeros"]}}, "but is the text 'zeros'"),
        ({"missing": {"a": True}}, "must be a number"),
        ({"missing": {"a": {"value": 3}}}, "but is a mapping"),
        ({"missing": {"a": float("nan")}}, "NaN and infinities are always missing"),
        ({"signals": [{"field": "a", "dtype": "int8"}]}, "'float64' or 'float32'"),
        ({"stages": []}, "unknown key 'stages'"),
        ({"run": {"xtc": []}}, "at least one file"),
        ({"run": {"xtc": ["a.xtc2", "{rnu}.xtc2"]}}, "nearest: '{run"),
        ({"run": {"xtc": {"a": "b"}}}, "name of a file"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said_at_birth(given, message):
    with pytest.raises(SpecError, match=message):
        CubeSpec(**{"cube": "x", **given})


def test_an_axis_field_may_be_a_signal_as_well():
    spec = CubeSpec(cube="x", axes=[{"field": "a", "quantiles": 2}], signals=["a", "b"])
    assert [signal.variable for signal in spec.signals] == ["a", "b"]


def test_loading_names_the_file_and_every_problem(tmp_path):
    path = tmp_path / "cube.yaml"
    path.write_text("cube: a/b\nsignal: [x]\n")
    with pytest.raises(SpecError, match="2 problems") as caught:
        CubeSpec.load(path)
    assert f"{path}:1:7: cube: 'a/b' is not a name" in str(caught.value)
    assert f"{path}:2:1: signal: unknown key 'signal'; nearest: 'signals'" in str(caught.value)
    with pytest.raises(SpecError, match="no such file"):
        CubeSpec.load(tmp_path / "none.yaml")


def test_folder_is_that_of_the_file_and_not_part_of_what_a_spec_says(tmp_path: Path) -> None:
    path = tmp_path / "cube.yaml"
    path.write_text("cube: delay")

    loaded, made = CubeSpec.load(path), CubeSpec(cube="delay")

    assert (loaded.folder, made.folder) == (tmp_path, Path())
    assert loaded == made
    assert hash(loaded) == hash(made)
