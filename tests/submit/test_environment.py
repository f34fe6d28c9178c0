from __future__ import annotations

import pytest

from cubeengine.errors import SpecError
from cubeengine.submit.environment import Choices


def test_flags_win_and_a_difference_is_told() -> None:
    choices = Choices({"SBATCH_PARTITION": "ampere", "SBATCH_QOS": "normal", "SBATCH_TIMELIMIT": "60"})

    found = choices.batch({"partition": "milano", "qos": "normal", "nodes": "2", "account": None})
    assert found == {"partition": "milano", "qos": "normal", "nodes": "2", "time": "60"}
    assert choices.warnings == [
        "--partition milano is used, although the environment sets SBATCH_PARTITION=ampere"
    ]


def test_environment_names_experiment_and_run() -> None:
    choices = Choices({"EXPERIMENT": "xpptut15", "RUN_NUM": "252"})

    assert choices.experiment(None, None) == "xpptut15"
    assert choices.runs(None, None) == "252"
    assert choices.warnings == []


def test_flag_for_the_run_wins_over_the_environment() -> None:
    choices = Choices({"EXPERIMENT": "xpptut15", "RUN_NUM": "252"})

    assert choices.experiment("xppl1030", "xppx") == "xppl1030"
    assert choices.runs("12,13", 3) == "12,13"
    assert [text.partition(" is used")[0] for text in choices.warnings] == [
        "--experiment xppl1030",
        "--runs 12,13",
    ]


def test_environment_in_place_of_the_spec_is_told() -> None:
    choices = Choices({"EXPERIMENT": "xpptut15"})

    assert choices.experiment(None, "xppx") == "xpptut15"
    assert "the spec names 'xppx'" in choices.warnings[0]


def test_experiment_of_the_spec_changes_nothing() -> None:
    choices = Choices({"EXPERIMENT": "xppx"})

    assert choices.experiment(None, "xppx") is None
    assert choices.warnings == []


def test_run_of_the_spec_is_the_last_resort() -> None:
    assert Choices({"RUN_NUM": " "}).runs(None, 7) == "7"
    with pytest.raises(SpecError, match="choose the runs"):
        Choices({}).runs(None, None)
