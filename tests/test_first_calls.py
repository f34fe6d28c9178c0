"""What is written first in Python: it works, or one line says what to write."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.cli.app import run_command
from cubeengine.errors import FieldNotFound, SpecError, StoreMismatch
from cubeengine.events.run import SESSION_ONLY
from cubeengine.schema.calls import told
from tests.makers.smalldata import write_lcls1

SPEC = """\
cube: delay
units: {ipm2/sum: ""}
axes: [{field: ipm2/sum, quantiles: 3}]
signals: [ipm3/sum]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("first")
    write_lcls1(home / "xpptest01_Run0007.h5", n_events=60)
    (home / "delay.yaml").write_text(SPEC)
    ce.plan(home / "xpptest01_Run0007.h5", home / "delay.yaml").to_zarr(home / "delay.zarr")
    return home


def test_plan_takes_paths_dicts_and_sessions(folder: Path) -> None:
    path = folder / "xpptest01_Run0007.h5"
    run, spec = ce.open_run(path), ce.CubeSpec.loads(SPEC)
    session = ce.explore(run, saved=None)
    wanted = ce.plan(run, spec).bound.n_events

    for given in ((run, folder / "delay.yaml"), (str(path), spec), (run, spec.to_dict()), (session, spec)):
        np.testing.assert_array_equal(ce.plan(*given).bound.n_events, wanted)
    assert ce.explore(session) is session


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (lambda run, spec: ce.plan(spec, run), r"the run comes first: ce.plan\(run, spec\)"),
        (lambda run, _: ce.plan(run, SPEC), r"use CubeSpec.loads\(text\)"),
        (lambda run, _: ce.plan(run, 3), "takes a CubeSpec or the path of its file, not 3"),
        (lambda _, spec: ce.plan(xr.Dataset(), spec), "give a run from ce.open_run, .* not a Dataset"),
        (lambda *_: ce.open_cube(xr.Dataset()), "this is already a Dataset"),
        (lambda *_: ce.plot_cube(3), "or as a path, not 3"),
        (lambda run, _: ce.explore(run, 3), "the run is already open"),
    ],
)
def test_what_is_not_taken_is_told(folder: Path, swap, message: str) -> None:
    run, spec = ce.open_run(folder / "xpptest01_Run0007.h5"), ce.CubeSpec.loads(SPEC)

    with pytest.raises(SpecError, match=message):
        swap(run, spec)


def test_cubes_may_be_named_by_their_path(folder: Path) -> None:
    path = folder / "delay.zarr"

    assert ce.describe_cube(path) == ce.describe_cube(ce.open_cube(path))
    assert ce.plot_cube(str(path)).axes
    xr.testing.assert_identical(ce.sem(path, "ipm3/sum"), ce.sem(ce.open_cube(path), "ipm3/sum"))


@pytest.mark.parametrize("name", ["view", "plot", "show"])
def test_names_that_are_not_there_lead_to_those_that_are(name: str) -> None:
    with pytest.raises(AttributeError, match=r"draw a cube with ce.plot_cube\('x.zarr'\)"):
        getattr(ce, name)


def test_fields_are_searched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ce.open_run(folder / "xpptest01_Run0007.h5")

    assert set(run.fields.match("ipm*")) == {name for name in run.fields if name.startswith("ipm")}
    assert set(run.fields.match("SUM")) == {name for name in run.fields if "sum" in name.lower()}
    with pytest.raises(FieldNotFound):
        run.fields.match("nothing*")
    assert run_command(["fields", str(folder / "xpptest01_Run0007.h5"), "--match", "ipm2*"]) == 0
    shown = capsys.readouterr().out
    assert "ipm2/sum" in shown
    assert "ipm3/sum" not in shown


def test_notebooks_show_short_left_aligned_escaped_tables(folder: Path) -> None:
    run, spec = ce.open_run(folder / "xpptest01_Run0007.h5"), ce.CubeSpec.loads(SPEC)
    plan = ce.plan(run, spec)

    assert repr(spec) == "<CubeSpec 'delay': 1 axis, 0 selections, 1 signal>"
    assert str(spec) == spec.to_yaml()
    evil = ce.CubeSpec(cube="x", derive={"a": "b < 1"})
    for shown in (plan._repr_html_(), run.fields._repr_html_(), evil._repr_html_()):
        assert "text-align:left" in shown
    assert "b &lt; 1" in evil._repr_html_()
    assert "ipm2__sum: 3 bins" in plan._repr_html_()


@pytest.fixture(scope="module")
def given(folder: Path) -> dict[str, object]:
    """What the calls below name: a run and a session, a spec, a cube, their paths."""
    run = ce.open_run(folder / "xpptest01_Run0007.h5")
    session = ce.explore(run, saved=None)
    session.select("bright", "`ipm2/sum` > 0.1")
    return {
        "ce": ce, "run": run, "session": session, "spec": ce.CubeSpec.loads(SPEC), "i0": run["ipm2/sum"],
        "h5": str(folder / "xpptest01_Run0007.h5"), "cube": str(folder / "delay.zarr"),
        "yaml": str(folder / "delay.yaml"), "new": str(folder / "new.zarr"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        # what is not given, or is called something else
        ("ce.plan(spec)", r"ce.plan\(\) needs 'spec'; write ce.plan\(run, spec, ...\); spec, run = "),
        ("ce.plan(run)", r"needs 'spec'; write ce.plan\(run, spec, ...\)"),
        ("ce.plan(run, spec, even=3)", r"no argument 'even' \(nearest: 'events', 'every'\)"),
        ("ce.open_cube(cube, chunk={})", r"no argument 'chunk' \(nearest: 'chunks'\)"),
        ("ce.plan(run, spec).to_zarr(new, worker=3)", r"no argument 'worker' \(nearest: 'workers'\)"),
        ("ce.look.histogram(run)", r"ce.look.histogram\(\) needs 'name'"),
        ("session.hist('ipm2/sum', selct='bright')", r"no argument 'selct' \(nearest: 'select'\)"),
        ("session.add('a')", r"needs 'value'; write run.add\(name, value, ...\); as run.add\('ratio'"),
        ("session.add(nominal='scan/lxt')", r"no argument 'nominal' .* needs 'name', needs 'value'"),
        ("session.declare('ipm2/sum', 's')", r"takes 1 without a name, .* run.declare\({'scan/lxt': 's'}\)"),
        ("session.cube('ipm2/sum', selects='bright')", "no argument 'selects'; nearest: 'select'"),
        ("ce.merge_cubes(cube, cube, new)", r"a list: ce.merge_cubes\(\['a.zarr', 'b.zarr'\], 'both.zarr'\)"),
        # what is given is of another kind
        ("ce.merge_cubes(cube, new)", r"a list: ce.merge_cubes\(\['a.zarr', 'b.zarr'\], 'both.zarr'\)"),
        ("ce.rebin_cube(cube, new, by=2)", "by is a mapping, as {'ipm2__sum': 2}, not 2"),
        ("ce.rebin_cube(cube, new, by={'ipm2__sum': '3'})", "must be a whole number, but is the text '3'"),
        ("ce.rebin_cube(cube, new, edges=[1, 2])", "edges is a mapping, .*, not a list"),
        ("ce.open_run(12)", "a run is given by the path of a file or folder, .*; not by 12"),
        ("ce.open_run(None)", "not by None"),
        ("ce.open_run([1, 2])", "not by a list of others"),
        ("ce.open_run(run)", "is open already"),
        ("ce.open_run(h5, units='s')", "units is a mapping, as {'scan/lxt': 's'}, not the text 's'"),
        ("ce.open_run(cube)", "holds no data of a run; it is a cube.*cubeengine show"),
        ("ce.open_run(yaml)", "holds no data of a run; it is a spec.*cubeengine check"),
        ("ce.open_cube(h5)", "not a cube .*; it holds data:  cubeengine fields"),
        ("ce.open_spec(cube)", "is not a spec; it is a cube"),
        ("ce.open_spec(h5)", "is not a spec; it holds data"),
        ("ce.cube_facts(3)", "give a cube as a Dataset .* or as a path, not 3"),
        ("ce.open_cube(run)", "the cube is a path, as 'delay.zarr', not a Run"),
        ("ce.sem(cube, 3)", "a signal is a name, not 3; signals: .*ipm3__sum"),
        ("ce.plan([run, run], spec)", "one run is taken at a time, not a list of 2; .*merge_cubes"),
        ("ce.look.plot_trace([run, run], 'ipm2/sum')", "one run is taken at a time"),
        ("ce.plan(i0, spec)", "a run from ce.open_run, .* not a Field"),
        ("ce.plan(run, spec, events='3')", "events must be a whole number, but is the text '3'"),
        ("ce.plan(run, spec).compute(launcher=3)", "a launcher is one of 'threads'"),
        ("ce.pick(run, spec)", "no section 'pick'"),
        ("ce.pick(h5, yaml)", "needs 'pick'"),
        ("ce.CubeSpec.load(3)", "the file of a spec is a path"),
        ("ce.CubeSpec.loads(3)", "is read from text"),
        ("ce.Run(h5)", r"ce.open_run\(path\) opens a file"),
        ("ce.explore(run, saved=3)", "'ignore', None, or it is a path"),
        ("session.hist(i0.read())", r"an array gets a name first, as .*add\('mine', array\)"),
        ("session.cube(i0.read(), quantiles=2)", "not a DataArray; an array gets a name first"),
        ("session.select(i0 > 1)", "takes a name first, not a DataArray; as run.select"),
        ("session.select('ipm2__sum > 1')", "takes a name first, not the text 'ipm2__sum > 1'"),
        ("session.declare('ipm2/sum')", "units is a mapping"),
        ("session.add(3, 4)", "takes the name first, not 3"),
        ("session['bright']", r"is a selection, no field: run.mask\('bright'\)"),
        ("session.to_yaml(cube)", "is a folder; writing the spec needs the name of a file"),
        ("spec.to_yaml(cube)", "is a folder; writing the spec needs the name of a file"),
        ("run.with_units({'ipm2/sum': 'pss'})", "the unit of 'ipm2/sum': unknown unit 'pss'; nearest: 'ps'"),
        ("ce.open_run(h5, units={'ipm2/sum': 'pss'})", "unknown unit 'pss'"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_with_the_right_one(given: dict[str, object], call: str, message: str) -> None:
    with pytest.raises((SpecError, ce.StoreMismatch), match=message):
        eval(call, dict(given))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("run['sum']", "nearest: .*'ipm2/sum'"),
        ("session['sum']", "nearest: .*'ipm2/sum'"),
        ("run.with_units({'ipm2/summ': ''})", "field 'ipm2/summ' is not in .*nearest: 'ipm2/sum'"),
        ("ce.open_run(h5, units={'ipm2/summ': ''})", "field 'ipm2/summ' is not in .*nearest: 'ipm2/sum'"),
    ],
)
def test_a_field_that_is_not_there_leads_to_the_nearest(
    given: dict[str, object], call: str, message: str
) -> None:
    with pytest.raises(FieldNotFound, match=message):
        eval(call, dict(given))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("run.select", r"run = ce.explore\(run\), then run.select"),
        ("run.read", r"run\['ipm2/sum'\].read\(\)"),
        ("run.ipm2", r"a field is an item, by its whole name: run\['ipm2/"),
        ("session.ipm2", r"a field is an item, by its whole name: run\['ipm2/"),
        ("run.n_event", "nearest: 'n_events'"),
        ("session.cut_flw", "nearest: 'cut_flow'"),
        ("session.plot", "pictures: run.hist"),
        ("i0.mean", r"read first: run\['ipm2/sum'\].read\(\).mean\(\)"),
        ("i0.plot", r"read first: run\['ipm2/sum'\].read\(\).plot\(\)"),
        ("i0.unti", "nearest: 'unit'"),
        ("ce.load_spec", "ce.CubeSpec.load"),
        ("ce.opencube", "nearest: 'open_cube'"),
        ("ce.look.histgram", "nearest: 'histogram'"),
        ("ce.plan(run, spec).write", r"plan.to_zarr\('delay.zarr'\)"),
    ],
)
def test_an_attribute_that_is_not_there_leads_to_the_right_one(
    given: dict[str, object], asked: str, message: str
) -> None:
    with pytest.raises(AttributeError, match=message):
        eval(asked, dict(given))


def test_every_name_of_a_session_that_a_run_has_not_is_known() -> None:
    own = {name for name in dir(ce.Session) if not name.startswith("_")} - set(dir(ce.Run))

    assert own == set(SESSION_ONLY)


def test_a_property_that_fails_says_why_and_not_that_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise AttributeError("the true reason")

    monkeypatch.setattr(ce.Run, "label", property(fails))

    with pytest.raises(AttributeError, match="the true reason"):
        ce.Run(ce.MemorySource({"a": np.arange(3)})).label  # noqa: B018


def test_an_error_from_inside_a_call_stays_what_it_is() -> None:
    @told("ce.inside")
    def inside(value: int) -> int:
        return len(value)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len"):
        inside(3)
    with pytest.raises(SpecError, match=r"'value' is given twice; write ce.inside\(value\)"):
        inside(3, value=4)  # type: ignore[misc]


def test_paths_and_fields_are_taken_where_they_are_written(given: dict[str, object]) -> None:
    run, path = given["run"], given["h5"]
    session = ce.explore(run, saved=None)

    assert ce.cube_facts(given["cube"]) == ce.cube_facts(ce.open_cube(given["cube"]))
    wanted = ce.look.histogram(run, "ipm2/sum", bins=4)
    xr.testing.assert_identical(ce.look.histogram(path, "ipm2/sum", bins=4), wanted)
    xr.testing.assert_identical(ce.look.histogram(run, given["i0"], bins=4), wanted)
    assert ce.timetool_fields(path) == ce.timetool_fields(run)
    assert (
        session.cube(given["i0"], quantiles=2, signals=run["ipm3/sum"]).bound.spec.axes[0].field == "ipm2/sum"
    )
    assert run.with_units({"ipm2__sum": "mJ"})["ipm2/sum"].unit == "mJ"


def test_picks_are_planned_from_paths(folder: Path) -> None:
    text = SPEC + "pick: {field: ipm2/sum, which: largest}\n"
    (folder / "pick.yaml").write_text(text)
    path, run = folder / "xpptest01_Run0007.h5", ce.open_run(folder / "xpptest01_Run0007.h5")
    wanted = ce.pick(run, ce.PickSpec.loads(text)).picked.events

    np.testing.assert_array_equal(ce.pick(path, folder / "pick.yaml").picked.events, wanted)
    np.testing.assert_array_equal(
        ce.pick(ce.explore(run, saved=None), folder / "pick.yaml").picked.events, wanted
    )


def test_a_spec_that_names_another_run_is_refused(given: dict[str, object], folder: Path) -> None:
    other, same = ({**ce.CubeSpec.loads(SPEC).to_dict(), "run": {"run": number}} for number in (8, 7))
    (folder / "pick8.yaml").write_text(SPEC + "run: {run: 8}\npick: {which: first}\n")

    for run in (given["run"], given["session"], given["h5"]):
        with pytest.raises(SpecError, match=r"the spec names run 8, but the run given is xpptest01:7; leave"):
            ce.plan(run, other)
        with pytest.raises(SpecError, match="the spec names run 8"):
            ce.pick(run, folder / "pick8.yaml")
    assert ce.plan(given["run"], same).bound.run.run_id.run == 7
    for named, advice in (
        ({"run": 8}, r"overrides=\{'run.run': 7\}"),
        ({"experiment": "other", "run": 7}, r"overrides=\{'run.experiment': 'xpptest01'\}"),
        ({"experiment": "other", "run": 8}, r"overrides=\{'run.experiment': 'xpptest01', 'run.run': 7\}"),
    ):
        with pytest.raises(SpecError, match=advice):
            ce.plan(given["run"], {**other, "run": named})


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "delay.zarr"], "is not a spec; it is a cube, .*cubeengine show"),
        (["check", "xpptest01_Run0007.h5"], "is not a spec; it holds data:  cubeengine fields"),
        (["show", "delay.yaml"], "it is a spec:  cubeengine check"),
        (["show", "xpptest01_Run0007.h5"], "it holds data:  cubeengine fields"),
        (["fields", "delay.zarr"], "holds no data of a run; it is a cube, .*cubeengine show"),
        (["fields", "delay.yaml"], "holds no data of a run; it is a spec:  cubeengine check"),
    ],
)
def test_a_file_of_another_kind_leads_to_the_command_that_reads_it(
    folder: Path, command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, file = command

    assert run_command([name, str(folder / file)]) in (2, 3)
    assert re.search(message, " ".join(capsys.readouterr().err.split()).replace(": cube", ":  cube"))


def test_what_is_shown_is_short(given: dict[str, object], tmp_path: Path) -> None:
    many = ce.Run(ce.MemorySource({f"field{number:03d}": np.arange(3) for number in range(100)}))
    run = given["run"]

    assert len(repr(many.fields).splitlines()) < 50
    assert "and 60 more; a part of them: run.fields.match(" in repr(many.fields)
    assert many.fields._repr_html_().count("<tr>") == 101
    assert repr(run.fields["ipm2/sum"]) == "<FieldInfo 'ipm2/sum': float64, event, 60 rows>"
    made = ce.plan(run, given["spec"]).to_zarr(tmp_path / "a<b.zarr", workers=1)
    assert "a&lt;b.zarr" in made._repr_html_()
    assert "text-align:left" in made._repr_html_()


def test_one_is_not_many() -> None:
    run = ce.Run(ce.MemorySource({"a": np.arange(1.0)}))
    axis = ce.Axis("a", edges=[0, 1], unit="")
    spec = ce.CubeSpec(cube="one", axes=[axis], select={"s": ["a >= 0"]})

    assert repr(spec) == "<CubeSpec 'one': 1 axis, 1 selection, 0 signals>"
    assert repr(run.fields).startswith("1 field of")
    assert "1 event," in repr(run["a"])
    assert re.fullmatch(r"<Plan of 'one': \d+ tasks?, 1 bin>", repr(ce.plan(run, spec)))
    assert "a: 1 bin<" in ce.plan(run, spec)._repr_html_()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.hist("ipm2/sum", bins="auto"), "bins: must be a number, .*, got 'auto'"),
        (lambda run: run.hist("ipm2/sum", range="auto"), "range: must be two rising numbers.*, got 'auto'"),
        (lambda run: run.hist("ipm2/sum", percentiles=5), "percentiles must be two numbers.*, got 5"),
        (
            lambda run: run.select("p2", field="ipm2/sum", min=0.4),
            r"run.select\('p2', {'field': 'ipm2/sum', 'min': 0.4}\)",
        ),
        (lambda run: run.mask("ipm2__sum"), "is a field, not a condition; compare it: 'ipm2__sum > 0.4'"),
        (lambda run: run.mask("ipm2/sum"), "is a field, not a condition; compare it: 'ipm2__sum > 0.4'"),
        (lambda run: run.mask("laser"), "write {'laser': 'on'}"),
        (lambda run: run.mask(laser="on"), r"as run.mask\({'laser': 'on'}\)"),
        (lambda run: run.select("m6", "m and laser"), r"run.select\('m6', 'm', ...\)"),
        (lambda run: run.select("m6", "m and laser"), "in Python laser='on'"),
    ],
)
def test_conditions_and_bins_in_other_shapes_are_told_the_right_one(folder: Path, call, message: str) -> None:
    run = ce.explore(folder / "xpptest01_Run0007.h5", saved=None)
    run.select("m", "ipm2__sum > 0.1")

    with pytest.raises(SpecError, match=message):
        call(run)


def test_a_spec_says_how_it_is_planned() -> None:
    spec = ce.CubeSpec.loads(SPEC)

    with pytest.raises(AttributeError, match=r"plan it on a run: ce.plan\(run, spec\).compute\(\)"):
        _ = spec.compute
    with pytest.raises(AttributeError, match="nearest: 'axes'"):
        _ = spec.axess
    assert not hasattr(spec, "_repr_png_")


def test_options_have_their_names_in_python(folder: Path) -> None:
    path = folder / "xpptest01_Run0007.h5"

    with pytest.raises(StoreMismatch, match="overwrite=True"):
        ce.plan(path, folder / "delay.yaml").to_zarr(folder / "delay.zarr")
    with pytest.raises(FieldNotFound, match=r"list all: run.fields, or  cubeengine fields .*Run0007.h5"):
        ce.open_run(path)["zzz/qqq"]


def test_what_is_no_axis_no_field_and_no_other_cube_is_told(folder: Path, tmp_path: Path) -> None:
    cube, target = folder / "delay.zarr", tmp_path / "new.zarr"

    with pytest.raises(SpecError, match=r"'ipm3/sum' is a signal, not an axis; .* here: ipm2__sum"):
        ce.rebin_cube(cube, target, drop=["ipm3/sum"])
    with pytest.raises(StoreMismatch, match=r"is given twice, .*allow same-run"):
        ce.merge_cubes([cube, cube], target)
    with pytest.raises(FieldNotFound, match="no field matches 'nothing' in run"):
        ce.open_run(folder / "xpptest01_Run0007.h5").fields.match("nothing")
    made = ce.rebin_cube(cube, target, drop=["ipm2__sum"])
    assert repr(made).startswith(f"<Combined cube '{target}': ")


@pytest.mark.parametrize("name", ["new", "shell"])
def test_examples_in_help_keep_their_lines(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([name, "--help"]) == 0
    shown = capsys.readouterr().out

    examples = [line for line in shown.splitlines() if line.startswith(f"    cubeengine {name} ")]
    assert examples
    assert "\b" not in shown
    assert "\\b" not in shown
    assert all(line.count("cubeengine") == 1 for line in examples)
