"""`damage/<detector>` of LCLS-I smallData: named in the cube beside what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import api, cube_facts, open_cube
from cubeengine.combine.merge import merge_cubes
from cubeengine.plots import describe_cube
from cubeengine.report.page import report_html
from tests.makers.marked import write_fields
from tests.planning.runs import plan_of, warnings_of

N = 300
LACKING = np.arange(N) % 6 == 2
LASER = np.arange(N) % 4
SPEC = """
units: {x: ""}
select: {on: {laser: on}, off: {laser: off}}
run: {laser: laser}
axes: [{field: x, edges: [0, 100, 250]}]
cubes: [on, off]
signals: [epix/image, epix/sum, {field: opal/image, name: opal}, cam/image]
"""


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(6)
    image = rng.normal(5, 1, (N, 3, 4)).astype("f4")
    image[LACKING] = np.nan
    counts = rng.integers(0, 50, (N, 3, 4)).astype("u2")
    counts[LACKING] = 0
    fields = {
        "x": np.arange(N, dtype=float),
        "laser": np.where(LASER == 0, 0, 1),
        "epix/image": image,
        "epix/sum": np.nansum(image, axis=(1, 2)),
        "opal/image": counts,
        "cam/image": np.ones((N, 2), "f4"),
        "damage/epix": (~LACKING).astype("i8"),
        "damage/opal": np.where(LACKING, 0, np.where(np.arange(N) == 3, -1, 1)),
        "damage/cam": np.ones(N, "i8"),
        "damage/images": np.zeros((N, 3)),
    }
    return api.open_run(write_fields(tmp_path / "run.h5", fields, lcls2=False))


def lacking(selection: str) -> int:
    inside = np.arange(N) <= 250
    return int((LACKING & inside & ((LASER == 0) if selection == "off" else (LASER != 0))).sum())


EXPECTED = {name: lacking(name) for name in ("on", "off")}


def test_what_lacks_is_counted_and_the_evidence_named(run):
    assert min(EXPECTED.values()) > 0
    cube = plan_of(run, SPEC).compute()
    facts = cube_facts(cube)
    assert {k: v["missing"] for k, v in facts["left_out"]["epix__image"].items()} == EXPECTED
    assert set(facts["left_out"]) == {"epix__image"}
    assert facts["evidence"] == {
        "epix__image": {"field": "damage/epix", "events": EXPECTED},
        "epix__sum": {"field": "damage/epix", "events": EXPECTED},
        "opal": {"field": "damage/opal", "events": EXPECTED},
    }


def test_show_and_report_name_both(run):
    cube = plan_of(run, SPEC).compute()
    lines = [line.split() for line in describe_cube(cube).splitlines()]
    on = str(EXPECTED["on"])
    assert ["epix__image", "on", on, "0", "0", "damage/epix", "is", "0", "in", on] in lines
    assert ["opal", "on", "0", "0", "0", "damage/opal", "is", "0", "in", on] in lines
    assert not any(line[:1] == ["cam__image"] and "damage" in " ".join(line) for line in lines)
    assert f"damage/opal is 0 in {on}" in report_html(cube, "a.zarr")


def test_integers_that_may_be_counted_as_values_are_warned_of(run):
    (message,) = [text for text in warnings_of(run, SPEC) if "damage" in text and "'on'" in text]
    assert (
        f"'damage/opal' is 0 in {EXPECTED['on']} events, so 'opal/image' is missing or damaged in them"
        in message
    )
    assert "{field: damage/opal, equal: 1}" in message
    cut = SPEC.replace("{laser: on}", "{laser: on, all: [{field: damage/opal, equal: 1}]}")
    assert not [text for text in warnings_of(run, cut) if "damage" in text and "'on'" in text]


def test_evidence_of_several_cubes_is_added(run, tmp_path):
    path = plan_of(run, SPEC).to_zarr(tmp_path / "a.zarr").path
    made = merge_cubes([path, path], tmp_path / "twice.zarr", allow=["same-run"])
    twice = {name: 2 * count for name, count in EXPECTED.items()}
    facts = cube_facts(open_cube(made.path))
    assert facts["evidence"]["opal"] == {"field": "damage/opal", "events": twice}
    assert facts["left_out"]["epix__image"]["on"]["missing"] == twice["on"]


def test_runs_without_such_fields_have_no_evidence(tmp_path):
    fields = {"epix/image": np.ones((4, 2)), "damage/other": np.zeros(4)}
    run = api.open_run(write_fields(tmp_path / "run.h5", fields, lcls2=False))
    assert plan_of(run, "signals: [epix/image, damage/other]").bound.evidence == {}
