"""Coordinates are carried through stages: pixel numbers stay those of the frames that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Coordinate, Frame, Stage
from cubeengine.detectors.dims import carried, dim_names
from tests.makers.geometry import camera
from tests.suites.stages import built, context

PANELS = Frame((2, 6, 10), np.dtype("u2"))
START: Mapping[int, Coordinate] = {}


def carried_through(chain: Sequence[dict[str, Any]], folder: Path | None = None) -> Mapping[int, Coordinate]:
    stages: list[Stage] = []
    for part in chain:
        ((name, options),) = part.items()
        frame = stages[-1].output if stages else PANELS
        stages.append(built(name, options, frame, context(folder=folder)))
    return reduce(carried, stages, START)


def test_names_are_what_users_call_dimensions() -> None:
    assert [dim_names(n) for n in range(3)] == [(), ("element",), ("row", "column")]
    assert dim_names(4) == ("dimension_0", "segment", "row", "column")


def test_rows_after_a_region_are_those_of_the_frame() -> None:
    chain = [
        {"roi": {"ranges": [[2, 6], [4, 10]], "segment": 1}},
        {"roi": [[1, 3], [0, 6]]},
        {"project": "rows"},
    ]

    coordinates = carried_through(chain)

    assert [(item.name, item.values.tolist()) for item in coordinates.values()] == [("row", [3, 4])]
    assert coordinates[0].values.dtype.kind == "i"


def test_middles_of_rebinned_pixels_are_those_of_the_frame() -> None:
    coordinates = carried_through([{"roi": [[2, 6], [4, 10]]}, {"rebin": 2}, {"rebin": [2, 1]}])

    assert_array_equal(coordinates[0].values, [0, 1])
    assert_array_equal(coordinates[1].values, [3.5])
    assert_array_equal(coordinates[2].values, [4.5, 6.5, 8.5])


def test_regions_keep_their_names() -> None:
    regions = {"a": [[0, 2], [0, 3]], "b": [[1, 3], [0, 3]], "c": [[2, 4], [0, 3]]}
    one = {"roi": {"ranges": [[0, 6], [0, 10]], "segment": 0}}

    stacked = carried_through([one, {"roi": {"regions": regions}}, {"roi": [[1, 3], [0, 2], [0, 3]]}])
    joined = carried_through([one, {"roi": {"regions": regions}}, {"rebin": [1, 3]}])

    assert (stacked[0].name, stacked[0].values.tolist()) == ("region", ["b", "c"])
    assert joined[0].name == "segment"


def test_image_keeps_its_um(tmp_path: Path) -> None:
    (tmp_path / "geometry.data").write_text(camera("MTRX:V2:6:10:10:10", [(0.0, 0.0), (200.0, 0.0)]))

    coordinates = carried_through(
        [{"assemble": "geometry.data"}, {"roi": [[1, 4], [2, 6]]}, {"rebin": [3, 2]}], tmp_path
    )

    assert [(item.name, item.unit) for item in coordinates.values()] == [("x", "um"), ("y", "um")]
    assert_array_equal(coordinates[0].values, [-25])
    assert_array_equal(coordinates[1].values, [0, 20])


def test_stage_that_keeps_the_shape_keeps_coordinates() -> None:
    coordinates = carried_through([{"roi": [[2, 6], [4, 10]]}, {"threshold": {"min": 3}}])

    assert_array_equal(coordinates[1].values, [2, 3, 4, 5])
