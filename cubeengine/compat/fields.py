"""Fields: what there is, and its values as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from cubeengine.compat.differences import Teller
from cubeengine.compat.opening import find_file
from cubeengine.compat.printing import show
from cubeengine.compat.reduced import Region, VariableName, one_number, read_region
from cubeengine.errors import SpecError, StoreMismatch
from cubeengine.events.expressions import Expression
from cubeengine.events.field import variable
from cubeengine.events.filled import nan_filled
from cubeengine.events.opening import open_run
from cubeengine.events.run import Run
from cubeengine.session.saving import Policy
from cubeengine.session.session import Session
from cubeengine.spec.derived import Derived
from cubeengine.types import BoolArray, Column, FieldInfo, FieldKind

Filter: TypeAlias = "str | ArrayLike | None"
"""Name of a selection, or a boolean per event; None for all events."""

TIME, PACKED = "time", "event_time"
"""Dimension of the events in `xrData`, and the packed time in it, as in the original."""


class Fields:
    """Opens a run and gives its fields under the original's names.

    Parameters
    ----------
    expname : str
        Experiment.
    run : int
        Run number.
    dirname : str
        Folder of the smallData file; "" looks under the data root (`SIT_PSDM_DATA`).
    filename : str
        File in the folder, instead of experiment and run.
    plotWith : "matplotlib" or "no_plot"
        Whether `plotVar` and `plotScan` draw.
    xtc : str, Path or sequence of these, optional
        Raw data (xtc2) to be joined.
    units : mapping of field to unit, optional
        Units of fields, as encoders; files carry none.
    saved : "check", "accept", "recipes", "ignore", or None
        What is taken over from last time; see `cubeengine.explore`. With "check", arrays that were saved
        for the file as it was before are left out, and a warning says so. None begins anew and saves
        nothing.

    Attributes
    ----------
    session : Session
        The cubeengine session beneath: what is added, cut and binned here is known there.

    Raises
    ------
    SourceFormatError
        If no such file, or it cannot be read.
    """

    def __init__(
        self,
        expname: str = "",
        run: int = -1,
        dirname: str = "",
        filename: str = "",
        *,
        plotWith: str = "matplotlib",
        xtc: str | Path | Sequence[str | Path] | None = None,
        units: Mapping[str, str] | None = None,
        saved: Policy | None = "check",
    ) -> None:
        path = find_file(expname, int(run), str(dirname), str(filename))
        self._teller = Teller()
        self._opened = open_run(path, xtc=xtc)
        self.session = self._session(saved)
        self.session.declare(units or {})
        if self._opened.rows is not None:
            self._teller.tell("time-order")
        named = self._opened.run_id
        self.expname = expname or ("" if named is None else named.experiment)
        self.run = int(run) if run >= 0 or named is None else named.run
        self.runLabel = f"Run{self.run:03d}"
        self.fname, self.dirname, self.plotWith = str(path), str(path.parent), plotWith
        self._shown: xr.Dataset | None = None

    def _session(self, saved: Policy | None) -> Session:
        try:
            return Session(self._opened, saved=saved)
        except StoreMismatch as err:
            if saved != "check":
                raise
            self._teller.tell("source-changed", why=err)
            return Session(self._opened, saved="recipes")

    def save(self) -> Path:
        """Save the variables that were added, with the delay and the selections of cubes, for next time.

        Returns the file. The same is done when the object is no longer used, and when Python ends.
        """
        return self.session.save()

    # -- what there is ----------------------------------------------------------------------------

    @property
    def _run(self) -> Run:
        """The run with all variables that were added."""
        return self.session.run

    def Keys(
        self,
        name: str | None = None,
        printKeys: bool = False,
        areaDet: bool = False,
        cfgOnly: bool = False,
    ) -> list[str]:
        """Return the names of fields.

        Parameters
        ----------
        name : str, optional
            Only names that contain this.
        printKeys : bool
            Whether to print them.
        areaDet : bool
            Only fields with an image, or more, per event.
        cfgOnly : bool
            Only settings of the run.
        """
        keys = [key for key, info in self._table().items() if _wanted(key, info, name, areaDet, cfgOnly)]
        if printKeys:
            show(keys)
        return keys

    def Keys2d(self, printKeys: bool = False) -> list[str]:
        """Return the names of fields with an image, or more, per event."""
        return self.Keys(printKeys=printKeys, areaDet=True)

    def hasKey(self, inkey: str) -> bool:
        """Return whether there is a field, or added variable, of this name."""
        return inkey.removeprefix("/") in self._table()

    def nEvts(self, printThis: bool = False) -> int:
        """Return the number of events."""
        n_events = self._opened.n_events
        if printThis:
            show([f"Number of events in {self.fname} is {n_events}"])
        return n_events

    def _table(self) -> Mapping[str, FieldInfo]:
        self._pick_up()
        return self._run.fields

    def _prepare(self, field: str) -> None:
        """Make sure that a field is there: one put into `xrData`, or made when it is asked for."""
        self._pick_up()
        _ = self._run.field(field)

    # -- values -----------------------------------------------------------------------------------

    def getVar(self, plotvar: VariableName, useFilter: Filter = None) -> NDArray[np.generic]:
        """Return the values of a field.

        Parameters
        ----------
        plotvar : str, or [str, region]
            A field; or a field and an element, [first, last + 1], or two such pairs.
        useFilter : str or (n_events,) bool, optional
            Selection, or which events to give.

        Returns
        -------
        (n_selected_events, ...) array
            In time order; axes of length 1 are left out. Where integers are missing, floats with NaN.

        Raises
        ------
        FieldNotFound
            If there is no such field.
        """
        region = read_region(plotvar)
        self._prepare(region.field)
        field = self._run.field(region.field)
        if field.info.kind is not FieldKind.EVENT:
            if useFilter is not None:
                raise SpecError(
                    f"{region.field!r} does not have one value per event, so it cannot be filtered"
                )
            return field.read().values
        events = self._events(useFilter)
        if not field.info.shape:
            column = self._run.column(field.name)
            valid = None if column.valid is None else column.valid[events]
            return self._without_marks(column.data[events], valid, region.field)
        return self._elements(region, events)

    def getRedVar(self, plotvar: VariableName, threshold: float | None = None) -> NDArray[np.generic]:
        """Return the values of a field as `getVar`, with what lies below `threshold` as 0."""
        values = self.getVar(plotvar)
        # A copy: the values themselves stay as they are in the file.
        return values if threshold is None else np.where(np.less(values, threshold), 0, values)

    def get1dVar(self, plotvar: VariableName, threshold: float | None = None) -> NDArray[np.generic]:
        """Return one number per event: the sum of the elements where there are several.

        NaN elements are left out; an event without any other has NaN.
        """
        column = self._run.evaluate(Expression.parse(self._text(plotvar, threshold)))
        region = read_region(plotvar)
        if self._info(region).shape and column.data.dtype.kind == "f":
            lost = int(np.count_nonzero(np.isnan(column.data)))
            if lost:
                self._teller.tell("sums-of-nan", n=lost, field=region.field)
        return self._without_marks(column.data, column.valid, region.field)

    def _text(self, variable: VariableName, threshold: float | None = None) -> str:
        """Return the expression that makes one number per event of a variable."""
        region = read_region(variable)
        return one_number(region, self._info(region), threshold)

    def _info(self, region: Region) -> FieldInfo:
        self._prepare(region.field)
        return self._run.field(region.field).info

    def _events(self, wanted: Filter) -> NDArray[np.intp]:
        mask = self._mask(wanted)
        if mask.shape != (self._opened.n_events,):
            raise SpecError(f"a filter of shape {mask.shape} does not fit {self._opened.n_events} events")
        return np.flatnonzero(mask)

    def _mask(self, wanted: Filter) -> BoolArray:
        if wanted is None:
            return np.ones(self._opened.n_events, bool)
        given = np.asarray(wanted)
        return np.asarray((given != 0) & (given == given), bool)  # NaN chooses nothing

    def _elements(self, region: Region, events: NDArray[np.intp]) -> NDArray[np.generic]:
        array = self._run.field(region.field).dask()
        array = array[(slice(None), *region.slices)].isel(event=events).load()
        valid = array.coords["valid"].values if array.dtype.kind != "f" else None
        return self._without_marks(array.values, valid, region.field)

    def _without_marks(
        self, data: NDArray[np.generic], valid: BoolArray | None, field: str
    ) -> NDArray[np.generic]:
        if valid is not None and not valid.all():
            self._teller.tell("missing-integers", n=int(np.count_nonzero(~valid)), field=field)
            data = nan_filled(field, Column(data, valid))
        return data.reshape(data.shape[0], *(length for length in data.shape[1:] if length != 1))

    # -- added variables --------------------------------------------------------------------------

    def addVar(self, name: str = "newVar", data: ArrayLike = ()) -> None:
        """Add a variable, or replace one that was added: one value or array per event.

        `__` in a new name becomes `_`.

        Raises
        ------
        SpecError
            If there are more or fewer than the events of the run, or the file has a field of that name.
        """
        self._pick_up()
        known = name.replace("__", "/") in self._run.fields
        self.session.add(name if known else name.replace("__", "_"), data)
        self._shown = None

    @property
    def xrData(self) -> xr.Dataset:
        """All per-event fields over `time`, `/` as `__`; arrays are read when they are used.

        Element axes are named `<field>_dim0`, ..., so fields of different lengths do not meet. New
        variables, put in or by ``ana.xrData = ana.xrData.assign(...)``, are found by all other methods.
        """
        self._pick_up()
        if self._shown is None:
            self._shown = event_data(self._run)
        return self._shown

    @xrData.setter
    def xrData(self, dataset: xr.Dataset) -> None:
        self._shown = dataset
        self._pick_up()

    def _derive(self, derived: Mapping[str, Derived], units: Mapping[str, str]) -> None:
        """Put derived variables in, or in the place of those of the same names, with the units declared."""
        self._pick_up()
        self.session.declare({name: unit for name, unit in units.items() if name not in derived})
        for name, recipe in derived.items():
            self.session.add(name, recipe, unit=units.get(name))
        self._shown = None

    def _pick_up(self) -> None:
        """Add what was put into `xrData`."""
        if self._shown is None:
            return
        shown, self._shown = self._shown, None
        known = {variable(key) for key in self._run.fields} | {PACKED}
        for key in [str(key) for key in shown.data_vars if str(key) not in known]:
            self.session.add(key, shown[key].values)
        self._shown = shown


def event_data(run: Run) -> xr.Dataset:
    """Return all per-event fields as one dataset over `time`.

    Arrays are lazy. Missing integers are NaN; of integer arrays the coordinate `<field>_valid` tells which
    events have one.
    """
    data = run.data
    for name, info in run.fields.items():
        own = variable(name)
        if info.kind is not FieldKind.EVENT or own in data:
            continue
        array = run.field(name).dask()
        if array.dtype.kind != "f":
            data = data.assign_coords({f"{own}_valid": array["valid"].variable})
        data[own] = array.drop_vars("valid", errors="ignore")
    data = data.swap_dims(event=TIME)
    return data if PACKED in data else data.assign({PACKED: (TIME, run.timestamps.astype(np.int64))})


def _wanted(key: str, info: FieldInfo, name: str | None, area: bool, settings: bool) -> bool:
    if name is not None and name not in key:
        return False
    if settings:
        return key.startswith("UserDataCfg/")
    return not area or (info.kind is FieldKind.EVENT and len(info.shape) >= 2)
