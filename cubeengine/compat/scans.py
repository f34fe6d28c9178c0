"""Scans under the original's names: a signal over i0 per step or bin, laser on and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.compat.bins import Bins, edges_over, read_edges
from cubeengine.compat.cuts import read_state
from cubeengine.compat.delay import DELAY
from cubeengine.compat.plots import Plots
from cubeengine.compat.reduced import VariableName, number, read_region
from cubeengine.compat.views import Canvas, named
from cubeengine.compat.writing import note_replaced
from cubeengine.events import states
from cubeengine.events.expressions import Expression
from cubeengine.events.run import Run
from cubeengine.events.selections import Combine, Cut, Node
from cubeengine.look.bins import find_limits
from cubeengine.look.draw_scans import draw_curves, draw_difference
from cubeengine.look.events import look_at
from cubeengine.look.figures import figure_of
from cubeengine.look.scans import SELECTION, scan_curve
from cubeengine.spec.axes import Axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECOND_BINS = 100
"""Bins of a second variable, where nothing else is said: the original's number."""
STATES: tuple[Literal["on", "off"], ...] = ("on", "off")
SAVED = ("scanPoints", "scan", "scanOffPoints", "scanOff")
"""Rows of the file of a scan, in the original's order."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A signal over a scan.

    Attributes
    ----------
    run : Run
        With signal and i0, one number per event each.
    signal, i0 : str
        Their names in it; no i0 where there is none.
    axis : Axis
        The scan.
    curves : mapping of name to Node
        Selections to compare.
    """

    run: Run
    signal: str
    i0: str | None
    axis: Axis
    curves: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class SecondAxis:
    """A second variable beside a scan.

    Attributes
    ----------
    scan : Scan
        The scan; its first curve is split.
    field : str
        The variable.
    parts : mapping of centre to Node
        For each of its bins, the events in it.
    """

    scan: Scan
    field: str
    parts: Mapping[float, Node]


class Scans(Plots):
    """Scans; see `Fields` for how a run is opened."""

    def getScan(
        self, sig: VariableName, i0: VariableName = "", Bins: float | Bins = 100, useFilter: str = ""
    ) -> dict[str, Any]:
        """Return the data of `plotScan`, without a plot."""
        return self.plotScan(sig, i0, Bins, useFilter=useFilter, plotWith="no_plot")

    def plotScan(
        self,
        sig: VariableName,
        i0: VariableName = "",
        Bins: float | Bins = 100,
        *,
        plotDiff: bool = True,
        plotOff: bool = True,
        saveFig: bool = False,
        saveData: bool = False,
        returnData: bool = True,
        useFilter: str | None = None,
        fig: Figure | None = None,
        interpolation: str = "",
        plotThis: bool = True,
        binVar: Any = None,
        plotWith: str | None = None,
    ) -> dict[str, Any]:
        """Plot a signal over the scan: sum of signal over sum of i0, with the laser on and off.

        Parameters
        ----------
        sig, i0 : variable
            Signal, and the intensity to divide by; "" gives the mean of the signal.
        Bins : int, float, or edges
            Of a delay with time tool: so many bins, bins of a width, or edges. Else one bin per setting.
        plotDiff, plotOff : bool
            Whether the difference, and the laser-off curve, are drawn.
        saveFig, saveData : bool
            Whether picture and data are written to the working directory: `Scan_Run<run>.png`, `.txt`.
        returnData : bool
            Whether to give the data; else the dict is empty.
        useFilter : str, optional
            Selection; with the laser off without the cuts that need it.
        fig : matplotlib figure, optional
            Where to draw; a new one by default.
        interpolation : str
            Is told not to be needed: the points with the laser off are those with it on.
        plotThis : bool
            Whether to draw.
        binVar : [variable], [variable, n or width] or [variable, n or width, low, high], optional
            A second variable, whose bins make the scan a map.
        plotWith : "matplotlib" or "no_plot", optional
            As for `plotVar`.

        Returns
        -------
        dict
            `scanVarName`, `scanPoints` (centres of the bins), `scan` and `scanErr` (its standard error),
            `scanOffPoints`, `scanOff`, `scanOffErr` where there are events without laser, and `plotVarName`;
            with a second variable `binPoints` (its centres) and `binVar`, and `scan` over it and the scan.

        Raises
        ------
        SpecError
            If the run has neither scan nor delay.
        """
        chosen = "matplotlib" if saveFig else plotWith
        canvas = self._canvas(chosen, fig) if plotThis or saveFig else None
        scan = self._scan(sig, i0, Bins, useFilter or "")
        self._teller.tell("scan-points")
        facts = {"scanVarName": self.getScanValues()[0], "plotVarName": _label(sig, i0)}
        if interpolation:
            self._teller.tell("interpolation", how=interpolation)
        if binVar is not None:
            shown = _shown_map(self._split(scan, binVar), canvas, saved=self._picture(saveFig))
            return {**shown, **facts} if returnData else {}
        data = scan_curve(scan.run, scan.signal, scan.i0, axis=scan.axis, curves=scan.curves)
        if canvas is not None:
            _draw(data, canvas, off=plotOff, difference=plotDiff, saved=self._picture(saveFig))
        result = _of_curves(data)
        if saveData:
            note_replaced(file := Path(f"Scan_Run{self.run}.txt"))
            np.savetxt(file, [result[key] for key in SAVED if key in result])
        return {**result, **facts} if returnData else {}

    def _picture(self, saved: bool) -> Path | None:
        return Path(f"Scan_{self.runLabel}.png") if saved else None

    def _scan(self, sig: VariableName, i0: VariableName, bins: float | Bins, select: str) -> Scan:
        nodes = self._curves(select)
        axis = self._scan_axis(bins, next(iter(nodes.values())))
        regions = [read_region(variable) for variable in ([sig, i0] if i0 else [sig])]
        for region in regions:
            self._prepare(region.field)
        run, names = self._run, []
        for region in regions:
            run, name = named(run, region)
            names.append(name)
        return Scan(run, names[0], names[1] if i0 else None, axis, nodes)

    def _curves(self, select: str) -> dict[str, Node]:
        """Return the selections to compare: laser on and off, where both occur."""
        if not self._knows_laser:
            return {"all": self.session.node(self._selection(select))}
        base, _ = read_state(select)
        nodes: dict[str, Node] = {
            name: self.session.node(self._selection(base, state=name)) for name in STATES
        }
        some_off = np.any(self._run.states(nodes["off"]) == states.TRUE)
        return nodes if some_off else {"on": nodes["on"]}

    def _scan_axis(self, bins: float | Bins, node: Node) -> Axis:
        """Return the axis: a bin for each setting, or bins of a delay that varies from event to event."""
        moved = next(iter(self._opened.scan.variables), None)
        if moved is not None and "lxt" not in moved:
            return Axis(field=moved, steps="auto")
        delay, choice = self.getDelay(), self._choice
        if moved is not None and choice is not None and not choice.use_ttCorr and not choice.addEnc:
            return Axis(field=DELAY, steps=moved)
        kept = self._run.states(node) == states.TRUE
        edges = edges_over(delay[kept], bins) if isinstance(bins, int | float) else np.asarray(bins, float)
        return Axis(field=DELAY, edges=tuple(edges.tolist()))

    def _split(self, scan: Scan, second: Any) -> SecondAxis:
        """Split the events of a scan by a second variable."""
        given: list[Any] = [second] if isinstance(second, str) else list(second)
        variable, *rest = given
        region = read_region(variable)
        self._prepare(region.field)
        run, name = named(scan.run, region)
        node = next(iter(scan.curves.values()))
        division, *limits = rest or [SECOND_BINS]
        if not limits:
            (found,) = find_limits(look_at(run, [name], node), (1, 99))
            limits = list(found or (0.0, 1.0))
        edges = np.asarray(read_edges([*limits, division], self._teller))
        return SecondAxis(replace(scan, run=run), region.field, _parts(node, name, edges))


def _parts(node: Node, name: str, edges: NDArray[np.float64]) -> dict[float, Node]:
    """Split a selection by the bins of a variable, each [low, high)."""
    parts: dict[float, Node] = {}
    for low, high in pairwise(edges.tolist()):
        text = f"{number(low)} <= `{name}` < {number(high)}"
        parts[(low + high) / 2] = Combine("all", (node, Cut(text, Expression.parse(text))))
    return parts


def _label(sig: VariableName, i0: VariableName) -> str:
    """Name what is plotted, as the original does: `diode2__sum/ipm2__sum`."""
    texts = [read_region(variable).text for variable in (sig, i0) if variable]
    labels = [text.replace("`", "").replace("/", "__") for text in texts]
    return "/".join(labels)


def _of_curves(data: xr.Dataset) -> dict[str, Any]:
    """Return curves as the original does."""
    points = data[_axis(data)].values
    result = {"scanPoints": points, "scan": data["value"].values[0], "scanErr": data["error"].values[0]}
    if data.sizes[SELECTION] == 2:
        off, error = data["value"].values[1], data["error"].values[1]
        result |= {"scanOffPoints": points, "scanOff": off, "scanOffErr": error}
    return result


def _axis(data: xr.Dataset) -> str:
    return next(str(dim) for dim in data["value"].dims if dim != SELECTION)


def _draw(data: xr.Dataset, canvas: Canvas, *, off: bool, difference: bool, saved: Path | None) -> None:
    if canvas is None:
        return
    upper = canvas(data)
    draw_curves(data if off else data.isel({SELECTION: [0]}), upper)
    figure = figure_of(upper)
    if difference and "difference" in data:
        grid = figure.add_gridspec(2, 1)
        upper.set_subplotspec(grid[0])
        draw_difference(data, figure.add_subplot(grid[1], sharex=upper))
    if saved is not None:
        note_replaced(saved)
        figure.savefig(saved)


def _shown_map(second: SecondAxis, canvas: Canvas, *, saved: Path | None) -> dict[str, Any]:
    """Show a scan over a second variable upwards."""
    scan, curves = second.scan, {f"{centre:g}": node for centre, node in second.parts.items()}
    data = scan_curve(scan.run, scan.signal, scan.i0, axis=scan.axis, curves=curves)
    centres = np.array(list(second.parts))
    if canvas is not None:
        upwards = xr.Variable(second.field, centres)
        shown = data["value"].rename({SELECTION: second.field}).assign_coords({second.field: upwards})
        drawn = canvas(data)
        shown.plot.pcolormesh(ax=drawn)
        if saved is not None:
            note_replaced(saved)
            figure_of(drawn).savefig(saved)
    return {
        "scanPoints": data[_axis(data)].values,
        "scan": data["value"].values,
        "scanErr": data["error"].values,
        "binPoints": centres,
        "binVar": second.field,
    }
