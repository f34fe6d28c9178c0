"""What a batch job asks of Slurm, each value checked for being what sbatch takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, PlainValidator, ValidationError

from cubeengine.budget import parse_size
from cubeengine.errors import SpecError
from cubeengine.schema.base import Model, Text
from cubeengine.schema.problems import problems_of, spec_error
from cubeengine.schema.texts import kind_of

_TIME = re.compile(r"[0-9]+(:[0-5]?[0-9]){0,2}|[0-9]+-[0-9]{1,2}(:[0-5]?[0-9]){0,2}", re.ASCII)
_NODES = re.compile(r"[0-9]+(-[0-9]+)?", re.ASCII)


def _time(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or _TIME.fullmatch(text) is None:
        raise SpecError(
            f"must be a time limit as sbatch takes it, '90' for minutes, '2:30:00' or '1-12:00:00', "
            f"but is {kind_of(value)}"
        )
    return text


def _nodes(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or _NODES.fullmatch(text) is None:
        raise SpecError(f"must be a number of nodes or a range such as '1-4', but is {kind_of(value)}")
    return text


def _memory(value: object) -> int:
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise SpecError(f"must be a memory size such as '64 GiB', but is {kind_of(value)}")
    return parse_size(value)


class BatchOptions(Model):
    """Options of sbatch; None leaves it to Slurm.

    Attributes
    ----------
    partition, account, reservation, qos : str, or None
        As sbatch takes them; `{experiment}` in an account is filled in.
    nodes : str, or None
        Number of nodes, or a range: "1-4".
    ntasks : int
        MPI ranks; with other launchers the processors of the one process.
    time : str, or None
        Time limit: "90" (minutes), "2:30:00", "1-12:00:00".
    mem : int, or text such as "64 GiB"; or None
        Memory per node. None: what the workers need.
    exclusive, use_min_nodes : bool
        Whole nodes; the fewest nodes of a range that suffice.
    requeue : bool
        Whether Slurm may put the job back into the queue when it is preempted or a node fails.
    signal_seconds : int
        How long before the time limit the run is told to save what is done.
    extra : tuple of str
        Further options of sbatch, e.g. "--constraint=rome".
    """

    partition: Text | None = None
    account: Text | None = None
    reservation: Text | None = None
    qos: Text | None = None
    nodes: Annotated[str, PlainValidator(_nodes)] | None = None
    ntasks: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1
    time: Annotated[str, PlainValidator(_time)] | None = None
    mem: Annotated[int, PlainValidator(_memory)] | None = None
    exclusive: bool = False
    use_min_nodes: bool = False
    requeue: bool = True
    signal_seconds: Annotated[int, Field(strict=True, ge=1, le=65_535)] = 120
    extra: tuple[Text, ...] = ()

    def changed(self, values: Mapping[str, object]) -> BatchOptions:
        """Return the options with other values, checked; None changes nothing.

        Raises
        ------
        SpecError
            Naming the options that are wrong.
        """
        given = {name: value for name, value in values.items() if value is not None}
        known = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return BatchOptions.model_validate(known | given)
        except ValidationError as err:
            raise spec_error(problems_of(err), "batch options") from None
