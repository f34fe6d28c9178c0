"""Cubes under the original's names: defined, made, written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine import api
from cubeengine.compat.bins import AddedBins, Bins, axis_of, read_added
from cubeengine.compat.cuts import State, cuts_of, read_state
from cubeengine.compat.definition import CubeDefinition, described, read_targets
from cubeengine.compat.delay import DELAY
from cubeengine.compat.derivations import Derivations
from cubeengine.compat.layout import Layout, dims_of, original_layout
from cubeengine.compat.printing import show
from cubeengine.compat.writing import write_cube
from cubeengine.errors import SpecError, nearest_names
from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.schema.texts import check_name
from cubeengine.spec.axes import Axis
from cubeengine.spec.selections import Selection

SETTINGS = "UserDataCfg/"
GOOD = "0.5 < `{damage}` < 1.5"
"""The original's cut on a detector's damage field: 1 is good."""

Listed: TypeAlias = "dict[str, list[Any]]"
LASER_STATES: Mapping[int, State] = MappingProxyType({0: "off", 1: "on"})


class Cubes(Derivations):
    """Cubes; see `Fields` for how a run is opened."""

    _cubes: Mapping[str, CubeDefinition] = MappingProxyType({})

    @property
    def cubes(self) -> Mapping[str, CubeDefinition]:
        """Name -> definition of every cube."""
        return self._cubes

    def addCube(
        self,
        cubeName: str,
        binVar: str = "",
        bins: Bins = (),
        useFilter: str = "",
        addBinVars: AddedBins = None,
    ) -> None:
        """Define a cube, or define it anew.

        Parameters
        ----------
        cubeName : str
            Its name.
        binVar : str
            What is binned: a field with one number per event, or "delay".
        bins : sequence or array of numbers
            Edges (four numbers or more, or an array); [a, b, n] with an integer n; [a, b, step]; [a, b] for
            one bin; [step] or [n] over the values there are; none for one bin per setting of the scan.
        useFilter : str
            Selection, perhaps with `__on` or `__off`; "" for all events.
        addBinVars : mapping or sequence, optional
            Further axes: {name: bins}, [name, bins] or [name, edge, edge, ...].

        Raises
        ------
        FieldNotFound
            If there is no such field.
        SpecError
            If there is no such selection, or the bins are none.
        """
        check_name(cubeName)
        added = read_added(addBinVars)
        cube = CubeDefinition(cubeName, binVar.removeprefix("/"), bins, useFilter, added)
        for name, _ in cube.axes:
            self._prepare(name)
        self._selection(useFilter)
        self._cubes = MappingProxyType({**self._cubes, cubeName: cube})

    def addToCube(self, cubeName: str, targetVariable: str | Sequence[str], isIdxVar: bool = False) -> None:
        """Add variables to a cube.

        Parameters
        ----------
        cubeName : str
            The cube.
        targetVariable : str or list of str
            Fields to be summed per bin; settings of the run (`UserDataCfg/...`) are attached as they are.
        isIdxVar : bool
            Whether their values are listed per bin, event by event, instead.

        Raises
        ------
        FieldNotFound
            If there is no such field.
        """
        targets = read_targets(targetVariable)
        for name in targets:
            self._prepare(name)
        cube = self.getCube(cubeName).with_targets(targets, listed=isIdxVar)
        self._cubes = MappingProxyType({**self._cubes, cubeName: cube})

    def getCube(self, cubeName: str) -> CubeDefinition:
        """Return the definition of a cube."""
        if cubeName not in self._cubes:
            near = nearest_names(cubeName, tuple(self._cubes))
            raise SpecError(f"there is no cube {cubeName!r}{f'; nearest: {near[0]!r}' if near else ''}")
        return self._cubes[cubeName]

    def printCubes(self, printDetail: bool = True) -> list[str]:
        """Print the cubes, with `printDetail` what is in them, and give their names."""
        for name, cube in self._cubes.items():
            show(self._cube_lines(cube) if printDetail else [name])
        return list(self._cubes)

    def _cube_lines(self, cube: CubeDefinition) -> list[str]:
        base, _ = read_state(cube.useFilter)
        return list(described(cube, cuts_of(self._changes, base) if base else ()))

    # -- making -----------------------------------------------------------------------------------

    def makeCubeData(
        self,
        cubeName: str,
        debug: bool = False,
        toHdf5: str | None = None,
        replaceNan: bool = False,
        onoff: int = 2,
        returnIdx: bool = False,
        *,
        memory: str | int | None = None,
    ) -> xr.Dataset | tuple[xr.Dataset, Listed]:
        """Make a cube.

        Parameters
        ----------
        cubeName : str
            A cube that was defined.
        debug : bool
            Whether to print what is made, with the cut flow and what is probably not meant.
        toHdf5 : "h5netcdf" or "h5", optional
            Also write it beside the data, as `Cube_<experiment>_Run<run>_<cube>.nc` or `.h5`.
        replaceNan : bool
            Whether sums and standard deviations of bins without values are 0, not NaN.
        onoff : int
            1 for laser on, 0 for laser off; 2 as the cube's selection says.
        returnIdx : bool
            Whether to list the events of every bin as well.
        memory : str or int, optional
            Memory per worker, as "8 GiB"; default 2 GiB.

        Returns
        -------
        xarray.Dataset
            See `layout.original_layout`. With `returnIdx`, or variables to be listed, a tuple of it and a
            dict: `keys` (the centres of every bin), `fiducial`, `evttime` and the variables, one array per
            bin.
        """
        cube, state = self.getCube(cubeName), LASER_STATES.get(onoff)
        plan, layout = self._planned(cube, state, memory)
        if debug:
            show([*self._cube_lines(cube), plan.explain()])
        made = plan.compute()
        self._tell_about(made, plan, layout)
        result = original_layout(made, layout).assign(self._settings_of(cube))
        if replaceNan:
            result = result.fillna(0)
        if toHdf5 is not None:
            suffix = "" if state is None else f"_laser{state.capitalize()}"
            name = f"Cube_{self.expname}_{self.runLabel}_{cubeName}{suffix}"
            write_cube(result, Path(self.dirname) / name, toHdf5)
        if returnIdx or cube.addIdxVars:
            return result, self._listed(cube, plan, layout.base)
        return result

    def _planned(
        self, cube: CubeDefinition, state: State, memory: str | int | None
    ) -> tuple[api.Plan, Layout]:
        axes = [self._axis(name, bins) for name, bins in cube.axes]
        fields = [name for name in cube.targetVars if not name.startswith(SETTINGS)]
        damaged = self._damage_fields(fields)
        base = self._selected(cube.useFilter, state)
        good = {damage: self._undamaged(base, damage) for damage in damaged.values()}
        plan = self.session.cube(
            *axes,
            select=[base, *good.values()],
            signals=fields,
            name=cube.cubeName,
            memory=memory,
            force=True,
        )
        variables = [*(axis.field for axis in axes), *fields]
        selections = {
            name.replace("/", "__"): good[damaged[name]] if name in damaged else base for name in variables
        }
        names, dims = tuple(axis.variable for axis in axes), dims_of([name for name, _ in cube.axes])
        return plan, Layout(names, dims, selections, base)

    def _undamaged(self, base: str, damage: str) -> str:
        """Have a selection of the events whose detector is not damaged in the session, and give its name."""
        name = f"{base}.{damage.rpartition('/')[2]}"
        self.session.select(name, Selection(all=[base, GOOD.format(damage=damage)]))
        return name

    def _axis(self, field: str, bins: Bins) -> Axis:
        scan = self._opened.scan
        moved = any("lxt" in name for name in scan.variables) if field == DELAY else field in scan.variables
        return axis_of(
            field,
            bins,
            scan=scan,
            values=lambda: numbers(self._run.column(field)),
            teller=self._teller,
            of_scan=moved,
        )

    def _damage_fields(self, fields: Sequence[str]) -> dict[str, str]:
        """Give, for the fields of detectors that were damaged in some events, what tells in which."""
        found = {}
        for name in fields:
            damage = f"damage/{name.split('/')[0]}"
            if damage in self._run.fields and np.any(numbers(self._run.column(damage)) != 1):
                found[name] = damage
        return found

    def _settings_of(self, cube: CubeDefinition) -> dict[str, xr.DataArray]:
        names = [name for name in cube.targetVars if name.startswith(SETTINGS)]
        return {name.replace("/", "__"): self._run.field(name).read() for name in names}

    # -- what is different ------------------------------------------------------------------------

    def _tell_about(self, made: xr.Dataset, plan: api.Plan, layout: Layout) -> None:
        entries = made["n_events"].sel(selection=layout.base)
        self._teller.tell("bin-labels")
        if (entries == 0).any():
            self._teller.tell("empty-bins")
        self._tell_edges(plan, layout.base)
        self._tell_lacking(made, layout)

    def _tell_edges(self, plan: api.Plan, base: str) -> None:
        """Tell how many events lie on the lowest edges: those that the original leaves out."""
        kept = plan.bound.selections[base] == states.TRUE
        on_edge = [
            np.count_nonzero(kept & (numbers(axis.values) == axis.axis.edges[0]))
            for axis in plan.bound.axes
            if axis.steps is None
        ]
        if any(on_edge):
            self._teller.tell("bin-edges", n=sum(on_edge))

    def _tell_lacking(self, made: xr.Dataset, layout: Layout) -> None:
        lacking: dict[str, int] = {}
        damaged: dict[str, int] = {}
        entries = made["n_events"].sel(selection=layout.base)
        for name, selection in layout.selections.items():
            counts = made[f"{name}_count"]
            there = counts.sel(selection=layout.base)
            lacking[name] = int((entries - there).sum())
            damaged[name] = int((there - counts.sel(selection=selection)).sum())
        for key, found in (("nan-in-sums", lacking), ("damage", damaged)):
            if names := [name for name, n in found.items() if n]:
                self._teller.tell(key, n=sum(found.values()), names=", ".join(names))

    # -- events of the bins -----------------------------------------------------------------------

    def _listed(self, cube: CubeDefinition, plan: api.Plan, base: str) -> Listed:
        """List the events of every bin."""
        events = _events_per_bin(plan, base)
        addresses = self._addresses(np.arange(self._run.n_events))
        names = ("fiducial", "evttime")[-len(addresses) :]
        columns = dict(zip(names, addresses, strict=True))
        columns |= {name: self.getVar(name) for name in cube.addIdxVars}
        listed: Listed = {"keys": list(_centres(plan))}
        return listed | {name: [column[one] for one in events] for name, column in columns.items()}


def _centres(plan: api.Plan) -> Iterator[object]:
    """Yield the label of every bin, of several axes as tuples."""
    centres = [axis.axis.centers.tolist() for axis in plan.bound.axes]
    yield from centres[0] if len(centres) == 1 else product(*centres)


def _events_per_bin(plan: api.Plan, base: str) -> list[NDArray[np.int64]]:
    """Return the events of every bin, flat in C order, in time order."""
    grouping, kept = plan.bound.grouping, list(plan.bound.selections).index(base)
    mine = np.isin(np.asarray(grouping.groups) % grouping.width, grouping.members[kept])
    events, bins = np.asarray(grouping.events)[mine], np.asarray(grouping.groups)[mine] // grouping.width
    order = np.argsort(bins, kind="stable")
    starts = np.searchsorted(bins[order], np.arange(1, grouping.n_bins))
    return np.split(events[order], starts)
