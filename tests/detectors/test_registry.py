"""Stages by name, and the page that describes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.detectors import registry
from cubeengine.detectors.base import Frame, Options
from cubeengine.detectors.registry import register, stage_names, stage_options
from cubeengine.errors import SpecError
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.yaml import load_data
from tests.suites.stages import StageSuite, built

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "stages.md").read_text()
BUILT_IN = ("calibrate", "threshold", "mask", "roi", "rebin", "project", "sum", "assemble", "azav")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def examples() -> list[Any]:
    parts = [load_data(block, "stages.md") for block in blocks("yaml")]
    return [stage for part in parts if isinstance(part, list) for stage in part]


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def test_built_in_stages_are_known_by_their_names() -> None:
    for name in BUILT_IN:
        assert stage_options(name).name == name
        assert name in stage_names()


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(SpecError, match="there is no stage 'rebinn'; nearest: 'rebin'"):
        stage_options("rebinn")
    with pytest.raises(SpecError, match="known: calibrate, threshold"):
        stage_options("fourier")


@pytest.mark.usefixtures("own_names")
def test_own_stage_is_known_after_it_was_registered() -> None:
    class Mine(Options):
        name = "mine"

    assert register(Mine) is Mine
    assert register(Mine) is Mine
    assert stage_options("mine") is Mine
    assert stage_names()[-1] == "mine"


@pytest.mark.usefixtures("own_names")
@pytest.mark.parametrize(
    ("name", "message"), [("", "is not a valid name"), ("a b", "is not a valid name"), ("sum", "exists")]
)
def test_name_that_cannot_be_is_refused(name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        register(type("Mine", (Options,), {"name": name, "__module__": __name__}))


@pytest.mark.usefixtures("own_names")
def test_name_of_another_own_stage_is_refused() -> None:
    register(type("One", (Options,), {"name": "mine", "__module__": __name__}))
    with pytest.raises(SpecError, match="already exists"):
        register(type("Two", (Options,), {"name": "mine", "__module__": __name__}))


# the page


@pytest.mark.parametrize("example", examples(), ids=str)
def test_examples_are_right_and_short(example: Any) -> None:
    name, options = (example, {}) if isinstance(example, str) else next(iter(example.items()))

    read = stage_options(name).model_validate(options)

    assert stage_options(name).model_validate(read.to_plain()) == read
    spec = CubeSpec.from_dict({"cube": "x", "signals": [{"field": "a", "stages": [example]}]})
    assert spec.signals[0].stages == (read,)


def test_every_stage_has_its_section_and_every_option_is_named() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    texts = {section.split("\n", 1)[0]: section for section in sections}
    rows = re.findall(r"^\| `(\w+)` \| ", PAGE[: PAGE.index("## calibrate")], re.MULTILINE)

    assert set(rows) == set(BUILT_IN)
    for name in BUILT_IN:
        for key in stage_options(name).model_fields:
            assert re.search(rf"\b{key}\b", texts[name]), f"{name}: {key}"


def test_signals_of_the_page_are_a_spec() -> None:
    (part,) = [part for block in blocks("yaml") if isinstance(part := load_data(block, "page"), dict)]

    spec = CubeSpec.from_dict({"cube": "x", **part})

    assert [[type(stage).name for stage in signal.stages] for signal in spec.signals] == [
        ["calibrate", "assemble"],
        ["calibrate", "roi", "sum"],
    ]


class TestOwnStageOfThePage(StageSuite):
    @pytest.fixture
    def stage(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setattr(registry, "_registered", {})
        names: dict[str, Any] = {"__name__": __name__}
        (block,) = blocks("python")
        exec(compile(block, "stages.md", "exec"), names)
        monkeypatch.setitem(globals(), "Squared", names["Squared"])  # where pickle looks for it
        return built("square", None, Frame((4, 6), np.dtype("u2")))
