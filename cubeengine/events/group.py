"""What is below a name that is no field itself, as `ipm2` where there are `ipm2/sum` and `ipm2/channels`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from numpy.lib.mixins import NDArrayOperatorsMixin

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.field import Field
from cubeengine.events.table import FieldTable

if TYPE_CHECKING:
    from cubeengine.events.run import Run

SHOWN = 8
"""Fields that a message names."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldGroup(NDArrayOperatorsMixin):
    """Fields with a beginning of their names in common; a table when shown.

    It is no array: where one is wanted, the error names the fields.

    Examples
    --------
    >>> run = ce.open_run("cubeengine-demo/xppdemo20_Run0012.h5")
    >>> list(run["ipm2"])
    ['channels', 'sum']
    >>> run["ipm2"]["sum"].name
    'ipm2/sum'
    """

    run: Run  # the run
    name: str  # what the names begin with, without the `/` after it

    @property
    def fields(self) -> FieldTable:
        """The fields with their whole names; a table when shown."""
        return self.run.fields.below(self.name)

    def __getitem__(self, name: str) -> Field | FieldGroup:
        if not isinstance(name, str):
            self._refuse()
        try:
            return self.run[f"{self.name}/{name}"]
        except FieldNotFound as err:
            raise FieldNotFound(f"{self.name}/{name}", err.where, list(self.fields)) from None

    def __iter__(self) -> Iterator[str]:
        start = len(self.name) + 1
        return (name[start:] for name in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self._refuse()

    def __array_ufunc__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"{self._words()} It has no {name!r} of its own")

    def __hash__(self) -> int:
        return hash((id(self.run), self.name))

    def _refuse(self) -> NoReturn:
        raise SpecError(self._words())

    def _words(self) -> str:
        names = list(self.fields)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        called = ", ".join(f"run[{name!r}]" for name in names[:SHOWN])
        return f"{self.name!r} has {len(names)} fields; name one: {called}{more}."

    def __repr__(self) -> str:
        return repr(self.fields)

    def _repr_html_(self) -> str:
        return self.fields._repr_html_()

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)
