"""Site files: what batch jobs need at a facility, in TOML; some come with the package."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import PlainValidator, ValidationError

from cubeengine.errors import SpecError, nearest_names
from cubeengine.schema.base import Model, Text
from cubeengine.schema.problems import Problem, SpecPath, problems_of, spec_error
from cubeengine.schema.texts import kind_of
from cubeengine.spec.templates import check_template
from cubeengine.submit.options import BatchOptions

SITES = ("generic", "s3df")
MAX_BYTES = 100_000
_TABLE = re.compile(r"\s*\[\s*([A-Za-z_]+)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z_-]+)\s*=")


def _template(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise SpecError(f"must be the name of a folder, but is {kind_of(value)}")
    return check_template(value)


def _line(value: object) -> str:
    if not isinstance(value, str) or not value.replace("\t", " ").isprintable():
        raise SpecError(f"must be one line of shell, but is {kind_of(value)}")
    return value


Folder = Annotated[str, PlainValidator(_template)]


class Paths(Model):
    """Folders; `{experiment}` and `{run}` are filled in, `~` is the home folder."""

    data: Folder | None = None
    """Data root, in which runs are looked up by experiment and number, where the environment names none."""
    logs: Folder | None = None
    """For logs and batch scripts. Default: the folder `logs` beside the cubes."""
    output: Folder = "."  # for the cubes


class Job(Model):
    """How a job runs."""

    launcher: Text = "mpi"  # launcher of the runs
    start: tuple[Text, ...] = ("srun", "--mpi=pmi2", "--kill-on-bad-exit=1")
    """What starts the ranks with `launcher = "mpi"`, program and options."""
    setup: tuple[Annotated[str, PlainValidator(_line)], ...] = ()
    """Lines of shell that set the environment up, taken as they are."""
    command: tuple[Text, ...] = ("cubeengine",)  # what is called for `cubeengine`


class Site(Model):
    """What batch jobs need at a facility."""

    batch: BatchOptions = BatchOptions()  # options of sbatch
    paths: Paths = Paths()  # folders
    job: Job = Job()  # how a job runs

    @classmethod
    def loads(cls, text: str, name: str = "the site file") -> Self:
        """Read a site file's text.

        Raises
        ------
        SpecError
            With every problem in it, its line and what would be right.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as err:
            raise SpecError(f"{name}: not valid TOML: {err}") from err
        try:
            return cls.model_validate(data)
        except ValidationError as err:
            raise spec_error(_with_lines(problems_of(err), text), name) from None


def load_site(name: str) -> Site:
    """Read the site file of a name, or one that comes with the package: "generic", "s3df".

    Raises
    ------
    SpecError
        If no such file, or it has problems.
    """
    path = Path(name)
    if path.is_file() or "/" in name or path.suffix == ".toml":
        return Site.loads(_read(path), name)
    if name in SITES:
        return Site.loads(jobs_folder().joinpath("sites", f"{name}.toml").read_text(), name)
    near = nearest_names(name, SITES, n=1)
    hint = f"nearest: {near[0]!r}" if near else f"known: {', '.join(SITES)}; or give a site file"
    raise SpecError(f"there is no site {name!r}; {hint}")


def jobs_folder() -> Traversable:
    """Return the folder of templates and site files: within the package, or in a checkout beside it."""
    installed = files("cubeengine").joinpath("jobs")
    return installed if installed.is_dir() else files("cubeengine").joinpath("..", "jobs")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path}: is larger than {MAX_BYTES:,} bytes; is this a site file?")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "is not UTF-8"
        raise SpecError(f"{path}: cannot be read as a site file: {reason}") from err


def _with_lines(problems: list[Problem], text: str) -> list[Problem]:
    places = _places(text)
    return [
        replace(problem, line=places[problem.path[:2]], column=1) if problem.path[:2] in places else problem
        for problem in problems
    ]


def _places(text: str) -> dict[SpecPath, int]:
    """Return the lines of tables and keys, as site files are usually written."""
    places: dict[SpecPath, int] = {}
    table: tuple[Any, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            table = (match[1],)
            places.setdefault(table, number)
        elif match := _KEY.match(line):
            places.setdefault((*table, match[1]), number)
    return places
