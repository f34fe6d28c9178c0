"""What all parts of a spec share: frozen models that are checked at birth and tell problems plainly."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from cubeengine.errors import SpecError, nearest_names
from cubeengine.schema.problems import SpecPath, explain_type, problems_of, spec_error
from cubeengine.schema.texts import (
    Percentile,
    check_field_name,
    check_name,
    check_unit,
    kind_of,
    plain_number,
    read_amount,
    read_bound,
)
from cubeengine.units import Quantity

V = TypeVar("V")


class FrozenMap(Mapping[str, V]):
    """A mapping that never changes and can be hashed; order does not count."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | Iterable[tuple[str, V]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


def printable_text(value: object) -> str:
    """Return a text without blanks around it; raise SpecError if it is none, empty, or not printable."""
    if not isinstance(value, str):
        raise SpecError(f"must be text, but is {kind_of(value)}")
    text = value.strip()
    if not text or not text.isprintable():
        raise SpecError("must be text of printable characters" if text else "must not be empty")
    return text


Text: TypeAlias = Annotated[str, PlainValidator(printable_text)]
Name: TypeAlias = Annotated[str, PlainValidator(lambda value: check_name(printable_text(value)))]
FieldName: TypeAlias = Annotated[str, PlainValidator(lambda value: check_field_name(printable_text(value)))]
UnitText: TypeAlias = Annotated[str, PlainValidator(check_unit)]
Amount: TypeAlias = Annotated[int | float | Quantity, PlainValidator(read_amount)]
WholeNumber: TypeAlias = Annotated[int, BeforeValidator(plain_number), Strict()]
AmountOrPercentile: TypeAlias = Annotated[int | float | Quantity | Percentile, PlainValidator(read_bound)]
NameMap: TypeAlias = Annotated[Mapping[Name, V], AfterValidator(FrozenMap)]
FieldMap: TypeAlias = Annotated[Mapping[FieldName, V], AfterValidator(FrozenMap)]


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:  # it has no public name
    ModelMetaclass = type(BaseModel)


class _SpecMeta(ModelMetaclass):
    """Makes a part that is made wrongly raise our error, with every problem in it.

    In Python one value may stand without its name: `Signal("ipm2/sum")`, `Axis("delay", quantiles=4)`.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args:
            kwargs = _named(cls, args, kwargs)
        try:
            return super().__call__(**kwargs)
        except ValidationError as err:
            raise spec_error(problems_of(err), cls.__name__) from None


def _named(cls: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value without a name its name; raise SpecError with the right call where there are more."""
    first: str = cls.positional or cls.shorthand
    if first in kwargs:
        raise SpecError(f"{cls.__name__}: {first!r} is given twice, once without its name and once with it")
    if first and (len(args) == 1 or cls.takes_several):
        alone = len(args) == 1 and not (cls.takes_several and isinstance(args[0], str))
        return {first: args[0] if alone else args, **kwargs}
    names = [name for name in cls.model_fields if name != first and name not in kwargs]
    given = [reprlib.repr(args[0])] if first else []
    meant = dict(zip(names, args[len(given) :], strict=False))
    taken = f"only {first!r} without a name" if first else "only named values"
    hint = cls.hints.get("", "")
    try:
        cls(**({first: args[0]} if first else {}), **meant, **kwargs)
    except (SpecError, ValidationError):
        meant = {}  # by their places the values mean nothing: their names are the user's to say
    named = [f"{name}={reprlib.repr(value)}" for name, value in (meant | dict(kwargs)).items()]
    raise SpecError(
        f"{cls.__name__} takes {taken}; write {cls.__name__}({', '.join([*given, *(named or ['...'])])})"
        f"{'; ' + hint if hint else ''}"
    )


class Model(BaseModel, metaclass=_SpecMeta):
    """A part of a spec: frozen, hashable, made of nothing but valid values."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    shorthand: ClassVar[str] = ""
    """Key that may stand alone: its value then means the whole part."""

    positional: ClassVar[str] = ""
    """Key whose value may stand without its name in Python, beside others; the shorthand where left out."""

    takes_several: ClassVar[bool] = False
    """Whether several values may stand so, as a list of them would."""

    hints: ClassVar[Mapping[str, str]] = {}
    """What to say of a key that is not known here but elsewhere, or that is needed and not there; under ""
    what to say where values stand without names."""

    @classmethod
    def of(cls, value: object) -> Self:
        """Return the part that is given, as an object or as plain data that may stand for it in YAML.

        Raises
        ------
        SpecError
            With every problem in it.
        """
        try:
            return value if isinstance(value, cls) else cls.model_validate(value)
        except ValidationError as err:
            raise spec_error(problems_of(err), cls.__name__) from None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Return what is set, for the representation."""
        return ((name, value) for name, value in super().__repr_args__() if value is not None)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: Any) -> Any:
        try:
            return handler(cls._spelled_out(data))
        except ValidationError as err:
            raise_problems(_explained(cls, err, data if isinstance(data, Mapping) else {}))

    @classmethod
    def hint(cls, key: str, given: Mapping[str, Any]) -> str:
        """Return what to write instead of a key that is not known; "" where nothing is known of it.

        Parameters
        ----------
        key : str
            The key.
        given : mapping
            All that was given beside it.
        """
        del given
        return cls.hints.get(key, "")

    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        """Put a shorthand into its full form."""
        if isinstance(data, Model | Mapping) or not cls.shorthand:
            return data
        return {cls.shorthand: data}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys as they stand in YAML."""
        return tuple(info.alias or name for name, info in cls.model_fields.items())

    def to_plain(self) -> Any:
        """Return plain data for YAML, without what is default, in the shortest form."""
        plain = {
            info.alias or name: _plain(getattr(self, name))
            for name, info in type(self).model_fields.items()
            if getattr(self, name) != info.get_default(call_default_factory=True)
        }
        return plain[self.shorthand] if set(plain) == {self.shorthand} else plain


def raise_problems(problems: Iterable[tuple[SpecPath, str]]) -> NoReturn:
    """Raise one validation error that holds all problems."""
    raise ValidationError.from_exception_data(
        "spec",
        [
            InitErrorDetails(
                type=PydanticCustomError("spec", "{message}", {"message": message}), loc=path, input=None
            )
            for path, message in problems
        ],
    )


def _explained(
    cls: type[Model], error: ValidationError, given: Mapping[str, Any]
) -> list[tuple[SpecPath, str]]:
    """Put the errors of one part into words; what its own parts have said already stays."""
    found: list[tuple[SpecPath, str]] = []
    meant: set[str] = set()
    details = error.errors(include_url=False)
    for detail in details:
        path = tuple(detail["loc"])
        if detail["type"] == "extra_forbidden":
            key = str(path[-1])
            near = nearest_names(key, cls.keys())
            meant.update(near[:1])
            found.append((path, cls.hint(key, given) or _unknown_key(key, near, cls.keys())))
        elif detail["type"] != "missing":
            found.append((path, explain_type(detail)))
    missing = [str(detail["loc"][-1]) for detail in details if detail["type"] == "missing"]
    needed = ((name, cls.hints.get(name, f"needs {name!r}")) for name in missing if name not in meant)
    return found + [((name,), message) for name, message in needed]


def _unknown_key(key: str, near: tuple[str, ...], known: tuple[str, ...]) -> str:
    if near:
        return f"unknown key {key!r}; nearest: {', '.join(map(repr, near))}"
    return f"unknown key {key!r}; " + (f"known: {', '.join(known)}" if known else "no keys are allowed here")


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_plain()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Quantity | Percentile) else value
