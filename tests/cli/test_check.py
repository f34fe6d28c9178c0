from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import SPEC, Call
from tests.quick import first_quick


def test_right_spec_has_no_errors(call: Call, folder: Path) -> None:
    outcome = call("check", "delay.yaml")

    assert outcome.code == 0
    assert outcome.out == "delay.yaml: no errors\n"


def test_five_mistakes_get_five_messages_with_their_lines(call: Call, folder: Path) -> None:
    wrong = (
        SPEC.replace("field: ipm2/sum, min: 0.3", "field: ipm2/summ, min: 0.3")
        .replace("laser: off", "laser: of")
        .replace("unit: ps}", "unit: ps, color: red}")
        .replace("cubes: [on, off]", "cubes: [on, of]")
        .replace("epix/ROI_0_area", "epix/ROI_area")
    )
    (folder / "wrong.yaml").write_text(wrong)

    outcome = call("check", "wrong.yaml")

    assert outcome.code == 2
    lines = outcome.err.splitlines()
    errors = [line for line in lines if line.startswith("wrong.yaml:") and "warning" not in line]
    assert len(errors) == 5
    numbers = [int(line.split(":")[1]) for line in errors]
    wanted = ("ipm2/summ", "laser: of}", "color", "cubes: [on, of]", "ROI_area")
    written = wrong.splitlines()
    assert numbers == [1 + next(i for i, line in enumerate(written) if part in line) for part in wanted]
    assert "'ipm2/sum'" in outcome.err
    assert "'epix/ROI_0_area'" in outcome.err
    assert lines[-1] == "5 errors"
    assert "Traceback" not in outcome.err


STAGES = [
    "calibrate: {constants: bad.file, kind: epix100}",
    "threshold: {min: 2 sigma, constants: bad.file}",
    "mask: {file: bad.file}",
    "assemble: bad.file",
    "azav: {poni: bad.file, bins: 10}",
]


@pytest.mark.parametrize("stage", first_quick(STAGES, 2))
def test_a_damaged_file_that_a_spec_names_is_no_fault_of_the_spec(
    call: Call, folder: Path, stage: str
) -> None:
    signal = "{field: epix/ROI_0_area, name: roi, stages: [{%s}]}"
    (folder / "bad.yaml").write_text(SPEC.replace("{field: epix/ROI_0_area, name: roi}", signal % stage))
    (folder / "bad.file").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for command in ("check", "plan"):
        outcome = call(command, "bad.yaml")
        assert (outcome.code, "bad.file" in outcome.err) == (3, True), outcome.err
    (folder / "both.yaml").write_text(
        (folder / "bad.yaml").read_text().replace("sum, min: 0.3", "summ, min: 0.3")
    )
    (folder / "bad.file").unlink()
    for name in ("both.yaml", "bad.yaml"):  # a wrong name, and a file that is not there
        assert call("check", name).code == 2


def test_warning_of_the_plan_has_its_line_and_no_error(call: Call, folder: Path) -> None:
    (folder / "far.yaml").write_text(SPEC.replace("start: -2, stop: 8", "start: 100, stop: 110"))

    outcome = call("check", "far.yaml", "--force")

    assert outcome.code == 0
    line = 1 + next(i for i, text in enumerate(SPEC.splitlines()) if text.startswith("axes"))
    assert any(
        text.startswith(f"far.yaml:{line}:") and "warning" in text and "outside the bins" in text
        for text in outcome.err.splitlines()
    )


def test_mistakes_are_told_even_if_the_run_is_not_there(call: Call, folder: Path) -> None:
    (folder / "wrong.yaml").write_text(SPEC.replace("run: 7", "run: 99").replace("laser: off", "laser: of"))

    outcome = call("check", "wrong.yaml")

    assert outcome.code == 3
    assert "'of'" in outcome.err
    assert "xpptest01_Run0099.h5" in outcome.err


def test_missing_spec_ends_with_two(call: Call) -> None:
    assert call("check", "nowhere.yaml").code == 2


def test_value_set_from_outside_is_checked_as_well(call: Call, folder: Path) -> None:
    outcome = call("check", "delay.yaml", "--set", "axes.0.field=delayy")

    assert outcome.code == 2
    assert "delayy" in outcome.err
    assert "set outside the file" in outcome.err


def test_undeclared_unit_is_told_once_with_its_place(call: Call, folder: Path) -> None:
    text = SPEC.replace(', ipm2/sum: ""', "").replace(
        "unit: ps}\n", "unit: ps}\n  - {field: ipm2/sum, edges: [0, 1, 2]}\n"
    )
    (folder / "unit.yaml").write_text(text)

    outcome = call("check", "unit.yaml")

    assert outcome.code == 0
    (found,) = [line for line in outcome.err.splitlines() if "not declared" in line]
    line = 1 + next(i for i, row in enumerate(text.splitlines()) if "field: ipm2/sum, edges" in row)
    assert found.startswith(f"unit.yaml:{line}:13: axes[1].field: warning: the unit of 'ipm2/sum'")


STAGED = """\
  - {field: epix/ROI_0_area, name: a, stages: [{azav: {bins: 5}}]}
  - {field: epix/ROI_0_area, name: b, stages: [{calibrate: absent.h5}, {threshold: 3 keV}, {roi: [[2, 99]]}]}
  - field: epix/ROI_0_area
    name: c
    stages:
      - mask: {file: absent.npy, invert: true}
      - rebin: 5
  - {field: epix/ROI_1_area, name: d, stages: [sum]}
  - {field: ipm2/channels, name: e, stages: [{assemble: absent.data}, {azav: {poni: absent.poni, bins: 3}}]}
  - {field: ipm2/channels, name: f, stages: [{project: columns}]}
"""
PROBLEMS = {  # what stands where the problem is -> what is said of it
    "azav: {bins: 5}": "signals[2].stages[0].azav: needs either 'poni', or 'distance'",
    "absent.h5": "signals[3].stages[0].calibrate: no such file: 'absent.h5'",
    "roi: [[2, 99]]": "signals[3].stages[2].roi: field 'epix/ROI_0_area': the region takes columns [2, 99)",
    "absent.npy": "signals[4].stages[0].mask.file: no such file: 'absent.npy'",
    "5\n": "signals[4].stages[1].rebin: field 'epix/ROI_0_area': 12 rows cannot be rebinned by 5",
    "epix/ROI_1_area": "signals[5].field: field 'epix/ROI_1_area' is not in run",
    "absent.data": "signals[6].stages[0].assemble: no such file: 'absent.data'",
    "absent.poni": "signals[6].stages[1].azav.poni: no such file: 'absent.poni'",
    "columns}": "signals[7].stages[0].project: field 'ipm2/channels': cannot be projected",
}


def test_every_problem_of_stages_is_told_at_its_place(call: Call, folder: Path) -> None:
    """One stage hides no other: neither of its own signal nor of another, nor a field that is not there."""
    text = SPEC + STAGED
    (folder / "wrong.yaml").write_text(text)

    outcome = call("check", "wrong.yaml")

    errors = [line for line in outcome.err.splitlines() if "warning" not in line]
    assert (outcome.code, errors[-1]) == (2, f"{len(PROBLEMS)} errors")
    for error, (part, message) in zip(errors, PROBLEMS.items(), strict=False):
        before = text[: text.index(part, len(SPEC))]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        assert error.startswith(f"wrong.yaml:{line}:{column}: {message}")


def test_run_and_plan_tell_them_as_well(call: Call, folder: Path) -> None:
    lines = [line for line in STAGED.splitlines() if "bins: 5" not in line]
    (folder / "wrong.yaml").write_text("\n".join([*SPEC.splitlines(), *lines]))

    for command in (("plan", "wrong.yaml"), ("run", "wrong.yaml", "-o", "no.zarr")):
        outcome = call(*command)

        assert (outcome.code, outcome.err.count("\n  wrong.yaml:")) == (2, len(PROBLEMS) - 1)
        assert "\n  wrong.yaml:21:60: signals[2].stages[0].calibrate: no such file" in outcome.err
        assert "Traceback" not in outcome.err


def test_damaged_file_of_a_stage_is_told_at_its_place(call: Call, folder: Path) -> None:
    (folder / "bad.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    (folder / "wrong.yaml").write_text(
        SPEC + "  - {field: epix/ROI_0_area, name: b, stages: [{calibrate: bad.h5}]}\n"
    )

    outcome = call("check", "wrong.yaml")

    assert outcome.code == 3
    assert "wrong.yaml:21:60: signals[2].stages[0].calibrate: bad.h5: cannot be read" in outcome.err


@pytest.mark.parametrize(
    ("experiment", "run", "said"),
    [
        ("xppother", 8, "xppother run 8"),
        ("xpptest01", 8, "xpptest01 run 8"),
        ("xppother", 7, "xppother run 7"),
    ],
)
def test_a_file_of_another_run_than_the_spec_names_is_refused(
    call: Call, folder: Path, experiment: str, run: int, said: str
) -> None:
    """A cube would say the one, and hold the other."""
    text = SPEC.replace("Run{run:04d}", "Run0007").replace("run: 7", f"run: {run}")
    (folder / "other.yaml").write_text(text.replace("experiment: xpptest01", f"experiment: {experiment}"))
    (folder / "pick.yaml").write_text(
        (folder / "other.yaml").read_text() + "pick: {field: ipm2/sum, which: largest}\n"
    )
    for command in (["check", "other.yaml"], ["run", "other.yaml", "-o", "c.zarr"], ["pick", "pick.yaml"]):
        outcome = call(*command)
        assert outcome.code == 2
        assert f"the file says xpptest01 run 7, the spec says {said}; correct one of them" in outcome.err
    assert not (folder / "c.zarr").exists()


def test_a_file_that_does_not_say_its_run_is_what_the_spec_says(call: Call, folder: Path) -> None:
    (folder / "xpptest01_Run0007.h5").rename(folder / "mine.h5")
    (folder / "mine.yaml").write_text(
        SPEC.replace("xpptest01_Run{run:04d}", "mine").replace("run: 7", "run: 8")
    )
    assert call("check", "mine.yaml").code == 0
