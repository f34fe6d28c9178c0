"""The whole spec, `CubeSpec`: a frozen value that is valid if it exists.

The names mirror the YAML one to one, and `CubeSpec.loads(spec.to_yaml()) == spec`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, ValidationError, model_validator

from cubeengine.budget import DEFAULT_MEMORY, parse_size
from cubeengine.errors import SpecError
from cubeengine.marks import Marks
from cubeengine.schema.base import (
    FieldMap,
    FieldName,
    FrozenMap,
    Model,
    Name,
    NameMap,
    Text,
    UnitText,
    raise_problems,
)
from cubeengine.schema.calls import as_path, given_words, no_attribute
from cubeengine.schema.problems import SpecPath, problems_of, spec_error
from cubeengine.schema.texts import counted, kind_of, read_marks, variable_name
from cubeengine.spec.axes import Axis
from cubeengine.spec.derived import Derived
from cubeengine.spec.links import link_problems
from cubeengine.spec.selections import Selection
from cubeengine.spec.stages import StageOptions, plain_stage
from cubeengine.spec.templates import check_template, expand_template
from cubeengine.spec.writing import write_yaml

if TYPE_CHECKING:  # it would bring the reader of YAML
    from cubeengine.spec.positions import Positions

MAX_ENTRIES = 1000
MAX_STAGES = 50
_MAX_MEMORY = 2**50
_OF_PLANS = ("compute", "explain", "lazy", "plan", "run", "to_zarr", "warnings")
"""What a plan has, or makes, and users ask of a spec."""
_METHODS = ("at", "from_dict", "load", "loads", "to_dict", "to_yaml")


def _few(value: object) -> object:
    """Refuse long lists before each of their entries is looked at."""
    if isinstance(value, Sized) and not isinstance(value, str) and len(value) > MAX_ENTRIES:
        raise SpecError(f"must have at most {MAX_ENTRIES:,} entries, but has {len(value):,}")
    return value


def _axes(value: object) -> object:
    """Refuse a field alone, which says no bins."""
    if isinstance(value, str):
        raise SpecError(
            f"must be a list, but is {kind_of(value)}; write  axes: [{{field: {value}, steps: auto}}]"
        )
    return _few(value)


def _memory(value: object) -> int:
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise SpecError(f"must be a memory size such as '4 GiB', but is {kind_of(value)}")
    if len(str(value)) > 40 or (size := parse_size(value)) > _MAX_MEMORY:
        raise SpecError("must be at most 1024 TiB")
    return size


def _template(value: object) -> str:
    if not isinstance(value, str | Path) or not str(value).strip() or not str(value).isprintable():
        raise SpecError(f"must be the name of a file, but is {kind_of(value)}")
    return check_template(str(value))


def _templates(value: object) -> str | tuple[str, ...]:
    """Read a file or directory, or a list of files."""
    if not isinstance(value, list | tuple):
        return _template(value)
    if not value:
        raise SpecError("must name at least one file")
    return tuple(map(_template, _few(value)))  # type: ignore[call-overload]


class RunSpec(Model):
    """The run and its files.

    Attributes
    ----------
    experiment : str, or None
        E.g. "xpptut15".
    run : int, or None
        Run number.
    smalldata : str, or None
        smallData file; `{run:04d}` and `{experiment}` are filled in. Relative to the spec's file.
    xtc : str, tuple of str, or None
        Raw data (xtc2): a directory, a file, or files; filled in and relative as `smalldata` is. With both,
        the events are those of smallData, and raw fields are matched by time stamp.
    variables : str, or None
        NetCDF file of further variables, as a session saves it; filled in and relative as `smalldata` is.
    events : str, or None
        Align group whose rows are the events, instead of the root's.
    laser, xray : str
        What `laser: on` and `xray: on` mean: a field that is 1 or 0 (anything else is unknown), or
        an expression with its fields in backticks.
    """

    experiment: Name | None = None
    run: Annotated[int, Field(strict=True, ge=0, le=99_999_999)] | None = None
    smalldata: Annotated[str, PlainValidator(_template)] | None = None
    xtc: Annotated[str | tuple[str, ...], PlainValidator(_templates)] | None = None
    variables: Annotated[str, PlainValidator(_template)] | None = None
    events: FieldName | None = None
    laser: Text = "lightStatus/laser"
    xray: Text = "lightStatus/xray"

    @model_validator(mode="after")
    def _of_the_root(self) -> Self:
        if self.variables is not None and self.events is not None:
            text = "holds values for the events of the run, not of an align group; leave out one of the two"
            raise_problems([(("variables",), text)])
        return self


class Signal(Model):
    """A field that is averaged into the cube. A text stands for `field`.

    Attributes
    ----------
    field : str
        Field or derived variable.
    name : str, or None
        Name in the cube; default: the field's, with `__` for `/`.
    dtype : "float64" or "float32"
        Type of mean and std in the cube.
    stages : tuple of detectors.base.Options
        What is done to every event's value before it is averaged, in order; given as in YAML:
        ``["sum"]``, ``[{"calibrate": "jungfrau.h5"}, {"threshold": {"min": "3 keV"}}]``.
    """

    shorthand = "field"

    field: FieldName
    name: Name | None = None
    dtype: Literal["float64", "float32"] = "float64"
    stages: Annotated[tuple[StageOptions, ...], Field(max_length=MAX_STAGES)] = ()

    if TYPE_CHECKING:  # the field may stand alone, as in YAML

        def __init__(
            self,
            field: str,
            *,
            name: str | None = None,
            dtype: Literal["float64", "float32"] = "float64",
            stages: Sequence[object] = (),
        ) -> None: ...

    @property
    def variable(self) -> str:
        """Name of the signal in the cube."""
        return self.name or variable_name(self.field)

    def to_plain(self) -> Any:
        """Return plain data: the field alone where there is nothing else."""
        plain = super().to_plain()
        return {**plain, "stages": [plain_stage(stage) for stage in self.stages]} if self.stages else plain


class Resources(Model):
    """Resources for making a cube.

    Attributes
    ----------
    memory : int, or text such as "4 GiB"
        Bytes per worker process. Decides the plan, so it is never detected.
    """

    positional = "memory"

    memory: Annotated[int, PlainValidator(_memory)] = DEFAULT_MEMORY

    def to_plain(self) -> Any:
        """Return plain data, the size in the largest unit that is exact."""
        if self.memory == DEFAULT_MEMORY:
            return {}
        factors = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
        exact = [f"{self.memory // size} {unit}" for unit, size in factors.items() if self.memory % size == 0]
        return {"memory": exact[0] if exact else self.memory}


class CubeSpec(Model):
    """The spec of a cube: its run, selections, axes and signals.

    Attributes
    ----------
    cube : str
        Name of the cube.
    run : RunSpec
        Which run, and where it lies.
    units : mapping of field to unit
        Files carry no units: what is used is declared here.
    missing : mapping of field to number, "leading_zeros", or a list of these
        What stands for missing values in a field: these numbers; zeros before the first other value. An empty
        list says that nothing does, not even what is known as a mark of the smallData writers.
    derive : mapping of name to Derived
        New per-event variables.
    select : mapping of name to Selection
        Named selections.
    axes : tuple of Axis
        None: the cube has one bin.
    cubes : tuple of str
        Selections to bin, in the order of the store; none: all events.
    signals : tuple of Signal
        What is averaged, beside the axis variables.
    resources : Resources
        Memory per worker.
    on_error : "stop" or "skip"
        Whether events that cannot be read end the run, or are left out and counted in the cube.
    """

    hints: ClassVar[Mapping[str, str]] = {
        "": "to read a spec from a file, use CubeSpec.load(path)",
        "pick": "a cube cannot have 'pick'; use  cubeengine pick SPEC,  or ce.PickSpec in Python",
    }
    planned_by: ClassVar[str] = "ce.plan"
    """What takes specs of this kind in Python."""

    standins: ClassVar[Mapping[str, Any]] = {"cube": "unnamed"}
    """What takes the place of what is needed and is wrong, so that the rest can be checked."""

    cube: Name
    run: RunSpec = RunSpec()
    units: FieldMap[UnitText] = FrozenMap()
    missing: FieldMap[Annotated[Marks, PlainValidator(read_marks)]] = FrozenMap()
    derive: Annotated[NameMap[Derived], BeforeValidator(_few)] = FrozenMap()
    select: Annotated[NameMap[Selection], BeforeValidator(_few)] = FrozenMap()
    axes: Annotated[tuple[Axis, ...], BeforeValidator(_axes)] = ()
    cubes: Annotated[tuple[Name, ...], BeforeValidator(_few)] = ()
    signals: Annotated[tuple[Signal, ...], BeforeValidator(_few)] = ()
    resources: Resources = Resources()
    on_error: Literal["stop", "skip"] = "stop"

    _folder: Path = PrivateAttr(default_factory=Path)
    _positions: Positions | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path:
        """Folder that file names in it are relative to: that of its file, else the working directory."""
        return self._folder

    @property
    def further_scalars(self) -> tuple[tuple[SpecPath, str, str], ...]:
        """Fields that have to be one number per event, beside those of axes and cuts: path, field, use."""
        return ()

    if not TYPE_CHECKING:  # any name would be right for mypy

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)  # what is kept beside the fields
            except AttributeError:
                if name.startswith("_"):
                    raise
            call = f"{self.planned_by}(run, spec)"
            hint = f"plan it on a run: {call}.compute()" if name in _OF_PLANS else ""
            no_attribute(f"a {type(self).__name__}", name, (*type(self).model_fields, *_METHODS), hint)

    def at(self, folder: str | Path) -> Self:
        """Return the same spec with file names relative to another folder."""
        moved = self.model_copy()
        moved._folder = Path(folder)
        return moved

    def __repr__(self) -> str:
        axes, select, signals = map(len, (self.axes, self.select, self.signals))
        counts = (counted(axes, "axis", "axes"), counted(select, "selection"), counted(signals, "signal"))
        return f"<{type(self).__name__} {self.cube!r}: {', '.join(counts)}>"

    def __str__(self) -> str:
        return self.to_yaml()

    def _repr_html_(self) -> str:
        return f'<pre style="text-align:left">{escape(self.to_yaml())}</pre>'

    def __eq__(self, other: object) -> bool:
        # The folder is where the spec was found, not what it says.
        return isinstance(other, CubeSpec) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in type(self).model_fields)

    @model_validator(mode="after")
    def _linked(self) -> Self:
        problems = link_problems(self)
        if problems:
            raise_problems(problems)
        return self

    @classmethod
    def load(cls, path: str | Path, *, overrides: Mapping[str, object] | None = None) -> Self:
        """Read a spec from a YAML or JSON file.

        Parameters
        ----------
        path : str or Path
            The file.
        overrides : mapping of dotted key to value
            As `apply_overrides` takes them, e.g. {"run.run": 12}.

        Raises
        ------
        SpecError
            With every problem in it: line, column and what would be right.
        """
        from cubeengine.spec.check import load_spec, read_text

        file = as_path(path, "the file of a spec", "'delay.yaml'")
        return load_spec(cls, read_text(file), str(path), overrides).at(file.parent)

    @classmethod
    def loads(cls, text: str | bytes, *, overrides: Mapping[str, object] | None = None) -> Self:
        """Read a spec from YAML or JSON text."""
        from cubeengine.spec.check import load_spec

        if not isinstance(text, str | bytes):
            raise SpecError(f"a spec is read from text, as 'cube: delay', not from {given_words(text)}")
        return load_spec(cls, text, "", overrides)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make a spec of plain data, as it would stand in YAML."""
        try:
            return cls.model_validate(data)
        except ValidationError as err:
            raise spec_error(problems_of(err)) from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, in the shortest form; what is default is left out."""
        plain: dict[str, Any] = self.to_plain()
        return plain

    def to_yaml(self, path: str | Path | None = None, *, overwrite: bool = False) -> str:
        """Return YAML text that reads back as an equal spec.

        Parameters
        ----------
        path : str or Path, optional
            File to write it to as well. File names in the spec stay as they are.
        overwrite : bool
            Whether a file that is there with other content may be replaced.

        Raises
        ------
        StoreMismatch
            If such a file is there and may not be replaced.
        """
        text = write_yaml(self.to_dict())
        if path is not None:
            from cubeengine.store.files import write_new  # not needed to read a spec

            write_new(
                as_path(path, "the file of a spec", "'delay.yaml'"),
                text.encode(),
                "writing the spec",
                overwrite=overwrite,
            )
        return text


@dataclass(frozen=True, slots=True)
class RunPaths:
    """Where the run of a spec lies.

    Attributes
    ----------
    smalldata : Path or None
        The smallData file.
    xtc : tuple of Path
        The raw files, or their directory.
    variables : Path or None
        The file of further variables.

    Where the spec names neither, the data root has to be searched.
    """

    smalldata: Path | None
    xtc: tuple[Path, ...] = ()
    variables: Path | None = None


def resolve_paths(spec: CubeSpec, base: str | Path) -> RunPaths:
    """Fill in the file names of a spec, relative to the folder `base` of its file.

    Raises
    ------
    SpecError
        If a template asks for a run or experiment that the spec does not give.
    """
    run, base = spec.run, Path(base)

    def filled(template: str) -> Path:
        return base / expand_template(template, run.experiment, run.run)

    raw = (run.xtc,) if isinstance(run.xtc, str) else run.xtc or ()
    return RunPaths(
        None if run.smalldata is None else filled(run.smalldata),
        tuple(map(filled, raw)),
        None if run.variables is None else filled(run.variables),
    )
