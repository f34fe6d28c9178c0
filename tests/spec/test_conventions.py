"""Hints of units say what `new` declares, and nothing where a name says nothing."""

from __future__ import annotations

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.errors import SpecError
from cubeengine.spec.conventions import unit_hint, usual_unit
from cubeengine.spec.starter import starter
from tests.planning.runs import memory_run, warnings_of

UNITS = {
    "scan/lxt": "s",
    "epics/lxt_ttc": "s",
    "scan/lxt_fast_ps": "ps",
    "tt/ttCorr": "ps",
    "tt/FLTPOS_PS": "ps",
}
SILENT = ["enc/lasDelay", "ipm2/sum", "scan/theta", "mono/energy_s", "tt/FLTPOS"]


@pytest.mark.parametrize("field", UNITS)
def test_units_are_those_of_the_conventions(field):
    assert usual_unit(field)[0] == UNITS[field]
    assert f"units: {{{field}: {UNITS[field]}}}" in unit_hint(field)


@pytest.mark.parametrize("field", SILENT)
def test_names_that_say_nothing_get_no_unit(field):
    assert usual_unit(field) is None
    assert f"units: {{{field}: UNIT}}" in unit_hint(field)


@pytest.mark.parametrize("name", ["scan/lxt", "scan/lxt_fast_ps"])
def test_hints_of_every_place_are_what_the_starter_declares(name):
    run = memory_run({name: np.repeat(np.arange(3.0), 20), "lightStatus/laser": np.tile([1, 0], 30)})
    declared = ce.CubeSpec.loads(starter(run, smalldata="r.h5")).units[name]
    hint = f"units: {{{name}: {declared}}}"
    assert any(hint in text for text in warnings_of(run, f"axes: [{{field: {name}, steps: auto}}]"))
    for text in (
        f"axes: [{{field: {name}, edges: [0, 1], unit: ps}}]",
        f"derive: {{d: {{delay: {{nominal: {name}}}}}}}",
    ):
        with pytest.raises(SpecError) as caught:
            ce.CubeSpec.loads(f"cube: c\n{text}")
        assert hint in str(caught.value)
