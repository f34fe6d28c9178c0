"""Cubes and picked events of a session: from arguments to a plan, and to a spec for others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cubeengine.api import Plan, plan
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.picking.api import PickPlan, pick
from cubeengine.picking.spec import PickSpec
from cubeengine.schema.calls import as_path, told_methods
from cubeengine.session.cubes import Binning, axes_of, cube_name, signals_of
from cubeengine.session.keeping import Keeper
from cubeengine.session.notes import changed_spec, check_against
from cubeengine.session.selecting import named_selections
from cubeengine.session.view import RunView
from cubeengine.spec.model import CubeSpec
from cubeengine.store.files import write_new
from cubeengine.types import InputFile

if TYPE_CHECKING:
    from cubeengine.spec.axes import Axis

Names: TypeAlias = str | Sequence[str]


@told_methods("run")
class Cubing(RunView):
    """What a session can plan of its run; the last plan's spec is kept."""

    _keeper: Keeper
    _base: Run

    @abstractmethod
    def node(self, select: object = None) -> Node:
        """Return what a selection asks of events."""

    def cube(
        self,
        *axes: str | Mapping[str, Any] | Axis,
        select: Names | None = None,
        signals: object = (),
        name: str | None = None,
        memory: str | int | None = None,
        events: int | None = None,
        every: int | None = None,
        force: bool = False,
        **binning: Any,
    ) -> Plan:
        """Plan a cube; reads scalars only.

        Parameters
        ----------
        *axes : str, dict or Axis
            A field, binned as said below; others as ``{"field": "ipm2/sum", "quantiles": 3}`` or
            ``ce.Axis(...)``. None: one bin.
        select : str or list of str, optional
            The selections to bin. Default: all events.
        signals : str, dict or Signal, or a list of these
            What is averaged. File names in stages are relative to the working directory.
        name : str, optional
            Name of the cube. Default: that of the first axis.
        memory : str or int, optional
            Memory per worker; part of the spec.
        events, every : int, optional
            A quick try on the first so many events, or on every n-th.
        force : bool
            Whether nearly all events may be in one of several bins, or all outside: mostly a wrong unit.
        **binning
            One of: `edges`, a list or ``{"start", "stop", "step" or "bins"}``; `centers`,
            ``{"start", "stop", "step"}`` or a list; `bins`, a number, with ``range=(low, high)`` or over all
            values of the selected events; `quantiles`, a number; `steps`, "auto" or a field, perhaps with
            `tolerance`. Beside it `unit`, that of the numbers.

        Returns
        -------
        cubeengine.api.Plan
            Explains itself when printed; ``.compute()`` gives an xarray.Dataset, ``.to_zarr()`` writes it.

        Raises
        ------
        SpecError
            If it does not fit the run.
        """
        run, spec = self._asked(axes, select, signals, name=name, memory=memory, binning=binning)
        planned = plan(run, spec, events=events, every=every, force=force)
        self._keeper.notes = replace(self._keeper.notes, cube=spec)
        return planned

    def pick(
        self,
        *axes: str | Mapping[str, Any] | Axis,
        which: str | Mapping[str, Any],
        field: str | None = None,
        events: int = 1,
        select: Names | None = None,
        signals: object = (),
        name: str | None = None,
        memory: str | int | None = None,
        force: bool = False,
        **binning: Any,
    ) -> PickPlan:
        """Plan to pick, of every bin, the events that are best in a variable; reads scalars only.

        Parameters
        ----------
        which : str or dict
            "largest", "smallest", "first", ``{"nearest": 0.5}``, ``{"percentile": 50}``, ``{"random": 1}``.
        field : str, optional
            The variable they are judged by; "first" and "random" need none.
        events : int
            How many per bin.
        *axes, select, signals, name, memory, force, **binning
            As for `cube`.

        Returns
        -------
        cubeengine.picking.api.PickPlan
            Explains itself when printed; ``.compute()`` and ``.to_zarr()`` as of a cube.
        """
        run, asked = self._asked(axes, select, signals, name=name, memory=memory, binning=binning)
        chosen = {"which": which, "events": events} | ({} if field is None else {"field": field})
        spec = PickSpec.from_dict({**asked.to_dict(), "pick": chosen}).at(asked.folder)
        planned = pick(run, spec, force=force)
        self._keeper.notes = replace(self._keeper.notes, cube=spec)
        return planned

    def _asked(
        self,
        axes: Sequence[object],
        select: Names | None,
        signals: object,
        *,
        name: str | None,
        memory: str | int | None,
        binning: Mapping[str, Any],
    ) -> tuple[Run, CubeSpec]:
        """Return the spec that is asked for, and the run it is for."""
        chosen = named_selections(self._keeper.notes.spec, select)
        nodes = [self.node(name) for name in chosen] or [self.node()]
        found = axes_of(axes, Binning.of(binning), self.run, self._keeper.notes.spec, nodes)
        spec = changed_spec(
            self._keeper.notes.spec,
            cube=name or cube_name(found),
            axes=found,
            cubes=chosen,
            signals=signals_of(signals, Path.cwd()),
            **({} if memory is None else {"resources": {"memory": memory}}),
        )
        return self._with_file(spec)

    def to_yaml(self, path: str | Path | None = None, *, overwrite: bool = False) -> str:
        """Return the spec of the last cube, or of what was told so far, as `cubeengine run` accepts it.

        After `pick` it is that of the picked events, for `cubeengine pick`.

        Arrays that were added are saved, as the spec names their file.

        Parameters
        ----------
        path : str or Path, optional
            File to write it to as well.
        overwrite : bool
            Whether a file that is there with other content may be replaced.

        Raises
        ------
        SpecError
            If the last cube no longer fits what was added; or if it needs arrays that no file holds, as the
            session was begun with ``saved=None`` and not saved.
        StoreMismatch
            If such a file is there and may not be replaced.
        """
        run, spec = self._with_file(self._keeper.notes.cube or self._keeper.notes.spec)
        check_against(spec, run)
        if self._keeper.can_save and not self._keeper.may_write and self._keeper.notes.variables:
            names = ", ".join(map(repr, self._keeper.notes.variables))
            raise SpecError(
                f"the spec needs the arrays {names}, which are only in memory because this session began "
                "with saved=None; run.save() writes their file, then run.to_yaml() names it"
            )
        text = spec.to_yaml()
        if path is not None:
            write_new(
                as_path(path, "the file of a spec", "'scan.yaml'"),
                text.encode(),
                "writing the spec",
                overwrite=overwrite,
            )
        return text

    def prepared(self, spec: CubeSpec) -> tuple[Run, CubeSpec]:
        """Return the run with the arrays that were added, and the spec with their file; for `ce.plan`."""
        return self._with_file(spec)

    def _with_file(self, spec: CubeSpec) -> tuple[Run, CubeSpec]:
        """Have the arrays in the file that a spec names, so that others can make the same cube."""
        if not (self._keeper.notes.variables and self._keeper.may_write):
            return self._base, spec
        path = self._keeper.file_of_variables()
        named = type(spec.run)(**{**spec.run.to_plain(), "variables": str(path)})
        return self._base.with_inputs([InputFile.of(path)]), changed_spec(spec, run=named)
