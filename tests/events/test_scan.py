"""Scans: what moved, between which settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.events.run import Run
from cubeengine.events.scan import Scan, distinct_settings
from cubeengine.sources.memory import MemorySource
from cubeengine.types import Column

STEPS = np.repeat(np.arange(5), 4)
NAN = float("nan")


def scan(**arrays: np.ndarray) -> Scan:
    return Run(MemorySource({name.replace("__", "/"): array for name, array in arrays.items()})).scan


def test_motors_by_name_are_preferred_to_their_duplicates() -> None:
    found = scan(scan__lxt=STEPS * 1e-12, scan__var0=STEPS * 1e-12, scan__varStep=STEPS, scan__damage=STEPS)
    assert found.variables == ("scan/lxt",)
    assert found.step_field == "scan/varStep"
    assert found.values["scan/lxt"].tolist() == (np.arange(5) * 1e-12).tolist()
    assert found.events_per_step.tolist() == [4] * 5


def test_a_motor_without_a_name_counts_if_nothing_else_moves() -> None:
    assert scan(scan__var0=STEPS, scan__varStep=STEPS, scan__lxt=STEPS * 0.0).variables == ("scan/var0",)


def test_a_step_counter_is_the_variable_only_if_nothing_else_moves() -> None:
    assert scan(scan__step_value=STEPS, scan__motor1=STEPS * 2.0).variables == ("scan/motor1",)
    assert scan(scan__step_value=STEPS, scan__motor1=STEPS * 0.0).variables == ("scan/step_value",)


def test_the_number_of_a_step_is_asked_for_before_its_value() -> None:
    found = scan(scan__step_value=STEPS * 3.0, scan__step_index=STEPS, scan__motor1=STEPS * 0.0)
    assert (found.variables, found.step_field) == (("scan/step_index",), "scan/step_index")


def test_repeated_steps_are_shown() -> None:
    found = scan(scan__lxt=np.repeat([1.0, 2.0, 1.0, 2.0], 5), scan__varStep=np.repeat(np.arange(4), 5))
    assert (found.n_steps, found.n_counted) == (2, 4)
    assert "scan/lxt, 2 settings" in repr(found)
    assert "4 steps by scan/varStep" in repr(found)
    assert "steps by" not in repr(scan(scan__lxt=STEPS, scan__varStep=STEPS))
    assert scan(scan__lxt=STEPS).n_counted is None


@pytest.mark.parametrize("counter", ["scan/varStep", "scan/step_value"])
def test_step_index_is_another_name_of_the_counter_of_a_file(counter: str) -> None:
    run = Run(MemorySource({counter: STEPS + 1, "scan/lxt": STEPS * 2.0}))
    assert "scan/step_index" in run
    assert run["scan/step_index"].read().values.tolist() == (STEPS + 1).tolist()
    assert list(run.fields) == [counter, "scan/lxt"]
    assert "scan/step_index" not in Run(MemorySource({"scan/lxt": STEPS}))


def test_a_run_that_is_no_scan_has_no_variables() -> None:
    for found in (scan(ipm2__sum=STEPS), scan(scan__lxt=np.full(20, 3.0)), scan(scan__lxt=np.full(20, NAN))):
        assert found.variables == ()
        assert found.n_steps == 1
        assert found.step_index.tolist() == [0] * 20
        assert "none" in repr(found)


def test_two_motors_make_a_grid() -> None:
    x, y = np.divmod(np.arange(12), 4)
    found = scan(scan__x=x, scan__y=y.astype(float))
    assert found.variables == ("scan/x", "scan/y")
    assert found.n_steps == 12
    assert found.step_index.tolist() == list(range(12))


def test_arrays_under_scan_are_no_variables() -> None:
    assert scan(scan__image=np.arange(20.0).reshape(10, 2)).variables == ()


def test_nan_belongs_to_no_setting() -> None:
    settings = distinct_settings(np.array([1.0, NAN, 2.0, np.inf, 1.0]))
    assert settings.values.tolist() == [1.0, 2.0]
    assert settings.index.tolist() == [0, -1, 1, -1, 0]
    assert settings.events.tolist() == [2, 1]


def test_rounding_makes_no_settings_of_its_own() -> None:
    set_to = np.arange(-2.0, 8.5, 0.5)
    noisy = np.concatenate([set_to * (1 + 1e-15), set_to, set_to])
    settings = distinct_settings(noisy)
    assert settings.values.tolist() == set_to.tolist()
    assert distinct_settings(np.array([1.0, 1.0 + 1e-16, 1.0 - 1e-16])).values.tolist() == [1.0]


def test_missing_integers_belong_to_no_setting() -> None:
    valid = np.array([False] + [True] * 19)
    found = Scan({"scan/n": Column(STEPS, valid)}, 20)
    assert found.step_index[0] == -1
    assert found.events_per_step.tolist() == [3, 4, 4, 4, 4]


def test_a_tolerance_can_be_stated() -> None:
    assert distinct_settings(np.array([1.0, 1.1, 2.0, 2.1, 2.2]), 0.2).values.tolist() == [1.0, 2.1]


@given(st.lists(st.integers(-50, 50), max_size=40))
def test_integers_have_the_settings_of_numpy_unique(values: list[int]) -> None:
    settings = distinct_settings(np.array(values, np.int64))
    unique, counts = np.unique(np.array(values, np.int64), return_counts=True)
    assert settings.values.tolist() == unique.tolist()
    assert settings.events.tolist() == counts.tolist()
    assert settings.values[settings.index].tolist() == values


def test_a_motor_that_moves_all_the_time_is_a_fly_scan() -> None:
    found = scan(scan__lxt=np.linspace(0, 1, 1000))
    assert found.is_fly
    assert "moves from 0 to 1" in repr(found)
    assert not scan(scan__lxt=STEPS).is_fly


def test_only_fields_of_the_scan_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(MemorySource({"scan/lxt": STEPS, "ipm2/sum": STEPS}))
    read: list[str] = []
    original = MemorySource.read
    monkeypatch.setattr(
        MemorySource, "read", lambda self, name, *rest: read.append(name) or original(self, name, *rest)
    )
    assert read == []
    assert run.scan.n_steps == 5
    assert read == ["scan/lxt"]
