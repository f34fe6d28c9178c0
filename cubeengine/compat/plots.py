"""Plots under the original's names: drawn by `look`, given back as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cubeengine.compat.cubes import Cubes
from cubeengine.compat.reduced import Region, read_region
from cubeengine.compat.views import (
    Arrays,
    Canvas,
    View,
    named,
    show_histogram,
    show_map,
    show_mean,
    show_points,
)
from cubeengine.errors import SpecError
from cubeengine.look.figures import axes_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PERCENTILES: Sequence[Any] = (1, 99, "p")
DRAWN, NOT_DRAWN = "matplotlib", "no_plot"


class Plots(Cubes):
    """Plots of variables; see `Fields` for how a run is opened."""

    def plotVar(
        self,
        plotvar: Any,
        numBins: int | Sequence[int] = 100,
        useFilter: str | None = None,
        limits: Sequence[Any] = PERCENTILES,
        fig: Figure | None = None,
        *,
        asHist: bool = False,
        plotWith: str | None = None,
        plotMultidimMean: bool = False,
    ) -> Arrays:
        """Plot a histogram of a variable, or two variables against one another.

        Parameters
        ----------
        plotvar : variable, or two of them
            A field, or [field, region]; of two the first is drawn upwards, the second to the right.
        numBins : int, or two
            Bins; of integers at most so many.
        useFilter : str, optional
            Selection; its cuts on what is plotted are left out.
        limits : (low, high) or (low, high, "p")
            What is shown; with "p" percentiles of the selected events.
        fig : matplotlib figure, optional
            Where to draw; a new one by default.
        asHist : bool
            Whether two variables are shown as a map of counts, not as points.
        plotWith : "matplotlib" or "no_plot", optional
            Whether to draw; default: as the object says.
        plotMultidimMean : bool
            Whether the mean over the events is shown, element by element, not the histogram of the sums.

        Returns
        -------
        tuple of arrays
            Counts and edges; of two variables their values, or the counts and [left, right, low, high]; with
            `plotMultidimMean` the means, and the numbers of the elements along each axis.

        Raises
        ------
        SpecError
            If there are more than two variables.
        """
        regions, canvas = _regions(plotvar), self._canvas(plotWith, fig)
        view = self._view(regions, useFilter, limits, as_numbers=not plotMultidimMean)
        if plotMultidimMean:
            return show_mean(view, regions[0].field, canvas)
        bins = [numBins] if isinstance(numBins, int) else list(numBins)
        if len(regions) == 1:
            return show_histogram(view, bins[0], canvas)
        return show_map(view, (bins[0], bins[-1]), canvas) if asHist else show_points(view, canvas)

    def _view(
        self, regions: Sequence[Region], select: str | None, limits: Sequence[Any], *, as_numbers: bool
    ) -> View:
        for region in regions:
            self._prepare(region.field)
        selection = self._selection(select or "", tuple(region.field for region in regions))
        run, names = self._run, []
        for region in regions if as_numbers else ():
            run, name = named(run, region)
            names.append(name)
        return View(run, tuple(names), self.session.node(selection), limits)

    def _canvas(self, wanted: str | None, figure: Figure | None) -> Canvas:
        """Return what makes the axes to draw on; None where nothing is to be drawn."""
        chosen = wanted or self.plotWith
        if chosen == NOT_DRAWN:
            return None
        if chosen != DRAWN:
            self._teller.tell("matplotlib-only", wanted=chosen)
        return lambda data: axes_for(None if figure is None else figure.gca(), data)


def _regions(plotvar: Any) -> tuple[Region, ...]:
    """Read one variable or two: [field, region] is one, [variable, variable] are two."""
    single = isinstance(plotvar, str) or len(plotvar) == 1 or not isinstance(plotvar[1], str | list | tuple)
    if single or (isinstance(plotvar[1], list | tuple) and not isinstance(plotvar[1][0], str)):
        return (read_region(plotvar),)
    if len(plotvar) > 2:
        raise SpecError(f"{len(plotvar)} variables: give one or two")
    return tuple(map(read_region, plotvar))
