"""Pictures of a session's run: each method hands over to the function of `cubeengine.look` that draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from cubeengine import look
from cubeengine.events.opening import HasRun
from cubeengine.schema.calls import told_methods

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cubeengine.spec.axes import Axis


@told_methods("run")
class Looking:
    """What a session can draw. Every method returns the Axes, and takes a selection by name or as it stands.

    Selections: ``select="on"``, an expression, a cut as a dict. Further options are those of the function
    that is named; the data behind a picture are had from its partner, as ``look.histogram(run, ...)``.
    """

    def hist(self, name: str, *, select: object = None, **options: Any) -> Axes:
        """Draw the histogram of a field or expression; see `look.plot_histogram`."""
        return look.plot_histogram(self._itself, name, select=cast("Any", select), **options)

    def hist2d(self, x: str, y: str, *, select: object = None, **options: Any) -> Axes:
        """Draw the histogram of two quantities as a map; see `look.plot_histogram2d`."""
        return look.plot_histogram2d(self._itself, x, y, select=cast("Any", select), **options)

    def correlate(self, x: str, y: str, *, select: object = None, **options: Any) -> Axes:
        """Draw two quantities against one another, and how they go together; see `look.plot_correlation`."""
        return look.plot_correlation(self._itself, x, y, select=cast("Any", select), **options)

    def trace(self, name: str, *, select: object = None, **options: Any) -> Axes:
        """Draw a quantity along the run; see `look.plot_trace`."""
        return look.plot_trace(self._itself, name, select=cast("Any", select), **options)

    def overview(self, **options: Any) -> Mapping[str, Axes]:
        """Draw on one page what one looks at first; see `look.plot_overview`."""
        return look.plot_overview(self._itself, **options)

    def scan_plot(
        self,
        signal: str,
        i0: str | None = None,
        *,
        axis: str | Axis | None = None,
        select: object = None,
        **options: Any,
    ) -> Axes:
        """Draw a signal, over i0, along the scan: laser on, off and difference; see `look.plot_scan`."""
        return look.plot_scan(self._itself, signal, i0, axis=axis, select=cast("Any", select), **options)

    def plot_cut_flow(self, select: object, **options: Any) -> Axes:
        """Draw how many events each cut of a selection leaves; see `look.plot_cut_flow`."""
        return look.plot_cut_flow(self._itself, cast("Any", select), **options)

    def average_image(self, name: str, *, select: object = None, **options: Any) -> Axes:
        """Draw the mean image of a detector; see `look.plot_average_image`."""
        return look.plot_average_image(self._itself, name, select=cast("Any", select), **options)

    @property
    def _itself(self) -> HasRun:
        return cast("HasRun", self)
