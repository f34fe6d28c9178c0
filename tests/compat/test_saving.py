"""User variables from one time to the next; faults of the original's section 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.compat.files import open_ana, told, write_run

pytestmark = pytest.mark.filterwarnings("ignore::cubeengine.compat.differences.SmallDataAnaWarning")

SCRIPT = """
import sys, warnings
import numpy as np
from cubeengine.compat import SmallDataAna
warnings.simplefilter("ignore")
ana = SmallDataAna("xpptut15", 12, sys.argv[1])
ana.addVar("first", np.arange(420.0))
ana.addVar("second", np.ones((420, 3, 2)))
ana.xrData = ana.xrData.assign(third=ana.xrData.ipm2__sum * 2)
ana.addCut("third", 0, 1, "some")
ana.getDelay()
"""


def assert_there(ana, truth):
    np.testing.assert_array_equal(ana.getVar("first"), np.arange(420.0))
    assert ana.getVar("second").shape == (420, 3, 2)
    np.testing.assert_array_equal(ana.getVar("third"), truth.columns["ipm2/sum"] * 2)


@pytest.mark.slow
def test_all_added_variables_are_there_after_python_has_ended(tmp_path):
    truth = write_run(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, check=True)

    assert_there(open_ana(truth, saved="check"), truth)


def test_variables_are_saved_when_asked_to_and_when_the_object_is_gone(truth):
    ana = open_ana(truth, saved="check")
    ana.addVar("first", np.arange(420.0))
    ana.addVar("second", np.ones((420, 3, 2)))
    saved = ana.save()
    assert saved.parent == truth.path.parent
    ana.xrData["third"] = ana.xrData.ipm2__sum * 2
    assert ana.hasKey("third")
    del ana

    assert_there(open_ana(truth, saved="check"), truth)


def test_variables_of_a_file_that_has_changed_are_left_out(tmp_path):
    ana = open_ana(write_run(tmp_path), saved="check")
    ana.addVar("mine", np.arange(420.0))
    ana.save()
    del ana
    other = write_run(tmp_path, seed=9)

    with told("saved arrays are left out because the file has changed since"):
        again = open_ana(other, saved="check")
    assert not again.hasKey("mine")


def test_the_delay_is_made_anew_each_time(truth):
    ana = open_ana(truth, saved="check")
    nominal = ana.getDelay(use_ttCorr=False)
    ana.save()
    del ana

    again = open_ana(truth, saved="check")
    assert np.abs(again.getDelay() - nominal).max() > 0.1


def test_a_cube_made_here_is_a_spec_that_can_be_run_elsewhere(truth, tmp_path):
    from cubeengine import api

    ana = open_ana(truth, saved="check")
    ana.addVar("twice", ana.getVar("ipm2/sum") * 2)
    ana.addCut("twice", 1.0, 4.0, "good")
    ana.addCube("cube", "delay", [-2.0, 0.0, 2.0, 4.0], "good__on")
    ana.addToCube("cube", ["ipm3/sum", "twice"])
    cube = ana.makeCubeData("cube")
    ana.session.to_yaml(tmp_path / "cube.yaml")

    spec, run = api.open_spec(tmp_path / "cube.yaml")
    same = api.plan(run, spec).compute()
    np.testing.assert_array_equal(same.n_events.sel(selection="good__on"), cube.nEntries)
    mean = same.twice_mean.sel(selection="good__on").values
    np.testing.assert_array_equal(mean * cube.nEntries.values, cube.twice)
