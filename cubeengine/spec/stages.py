"""Stages of a signal as they stand in a spec: names alone, or one name with its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator, ValidationError

from cubeengine.detectors.base import Options
from cubeengine.detectors.registry import stage_names, stage_options
from cubeengine.errors import SpecError
from cubeengine.schema.base import raise_problems
from cubeengine.schema.problems import problems_of
from cubeengine.schema.texts import kind_of


def _read_stage(value: object) -> Options:
    """Read `sum`, `{calibrate: jungfrau.h5}` or `{threshold: {min: 3 keV}}`."""
    if isinstance(value, Options):
        return value
    if isinstance(value, str):
        return stage_options(value.strip()).model_validate({})
    if not isinstance(value, Mapping):
        raise SpecError(f"must be the name of a stage, or {{name: options}}, but is {kind_of(value)}")
    if len(value) != 1:
        raise SpecError(_not_one(value))
    ((name, options),) = value.items()
    return _with_options(str(name), {} if options is None else options)


def _with_options(name: str, options: object) -> Options:
    """Read the options of a stage; the paths of their problems begin with its name."""
    kind = stage_options(name)
    try:
        return kind.model_validate(options)
    except ValidationError as err:
        raise_problems([((name, *problem.path), problem.message) for problem in problems_of(err)])


def _not_one(value: Mapping[Any, Any]) -> str:
    stages = [name for name in map(str, value) if name in stage_names()]
    if len(stages) > 1:
        return f"{' and '.join(map(repr, stages))} are separate stages: begin each with '- '"
    found = f"has {len(value)} keys" if value else "is empty"
    return f"must be one stage with its options below it, as {{threshold: {{min: 5 ADU}}}}, but {found}"


def plain_stage(stage: Options) -> Any:
    """Return a stage as it would stand in YAML, in the shortest form.

    Examples
    --------
    >>> from cubeengine.detectors.registry import stage_options
    >>> plain_stage(stage_options("sum")())
    'sum'
    """
    options = stage.to_plain()
    return stage.name if options == {} else {stage.name: options}


StageOptions: TypeAlias = Annotated[Any, PlainValidator(_read_stage)]
"""The options of one stage, an `Options` of whichever class its name stands for."""
