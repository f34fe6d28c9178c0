"""Pictures of a cube for a page: drawn without a display, and put into the page as they are."""

from __future__ import annotations

import base64
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from cubeengine.errors import CubeEngineError, MissingExtra
from cubeengine.plots import plot_cube
from cubeengine.plots.values import Ratio, axes_of, element_dims, field_of
from cubeengine.report.html import Html, element, paragraph, plain
from cubeengine.store.read import cube_facts, signal_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOG = logging.getLogger(__name__)

DPI = 90
MOST_BYTES = 3_000_000
"""Of all pictures together, as they stand in the page; the page stays below 5 MB."""

MOST_PICTURES = 40
MOST_CELLS = 2_000_000
"""Bins times selections that are drawn; drawing more takes longer than anybody waits."""

_I0 = re.compile(
    r"(\w+/)*i0\w*|ipm\w*/sum|(dg|bmmon|xcs_ipm|mfx_dg)\w*/sum|gas_detector/\w+|x?gmd/\w+|fim\w*/\w*sum\w*",
    re.IGNORECASE,
)


class Album:
    """Makes pictures as long as there is room for them.

    Parameters
    ----------
    dataset : xarray.Dataset
        The cube.
    ratio : Ratio, optional
        Makes the ratios to the intensity; see `plot_cube`.
    """

    def __init__(self, dataset: xr.Dataset, ratio: Ratio | None = None) -> None:
        self._dataset, self._ratio = dataset, ratio
        self._nbytes = self._number = 0

    @property
    def refusal(self) -> str:
        """Why nothing more is drawn; nothing if there is room."""
        axes = len(axes_of(self._dataset))
        if axes > 2:
            return f"The cube has {axes} axes; pictures have two."
        if self._dataset["n_events"].size > MOST_CELLS:
            return f"The cube has {self._dataset['n_events'].size:,} bins, too many to draw here."
        if self._nbytes > MOST_BYTES or self._number >= MOST_PICTURES:
            return "More pictures would make this page too large; see: cubeengine show CUBE --plot FILE"
        return ""

    def occupancy(self) -> Html:
        """Draw the events in the bins."""
        if self.refusal:
            return paragraph(self.refusal)
        counts = self._dataset["n_events"]
        shown = counts.astype(np.float64).assign_attrs(label="events per bin", units="")
        own = {"events_count": counts, "events_mean": shown, "events_std": xr.zeros_like(shown)}
        edges = [name for axis in axes_of(self._dataset) if (name := f"{axis}_bnds") in self._dataset]
        return self._picture(self._dataset[["n_events", *edges]].assign(own), "events")

    def signals(self) -> Iterator[Html]:
        """Draw the scalar signals over the axes; also over the intensity, if the cube has that."""
        names = [name for name in signal_names(self._dataset) if not element_dims(self._dataset, name)]
        # An axis is what it is, and what is derived has been divided already where that was wanted.
        own = {*axes_of(self._dataset), *((cube_facts(self._dataset).get("spec") or {}).get("derive") or {})}
        i0 = next((name for name in names if _I0.fullmatch(field_of(self._dataset, name))), None)
        for name in names:
            yield from self._once(name)
            if i0 not in (None, name) and not {name, field_of(self._dataset, name)} & own:
                yield from self._once(name, over=i0)

    def _once(self, name: str, over: str | None = None) -> Iterator[Html]:
        if not self.refusal:
            # Read here, as a damaged cube is no reason to leave a picture out, but for an error.
            self._dataset[[f"{name}_{statistic}" for statistic in ("count", "mean", "std")]].load()
            yield self._picture(self._dataset, name, over)

    def _picture(self, dataset: xr.Dataset, name: str, over: str | None = None) -> Html:
        what = name if over is None else f"{name} over {over}"
        try:
            data = _png(plot_cube(dataset, name, over, ratio=self._ratio))
        except MissingExtra:
            raise
        except (CubeEngineError, ValueError, RuntimeError) as err:
            _LOG.warning("no picture of %s: %s", what, err)
            return paragraph(f"No picture of {what}: {err}")
        self._nbytes += len(data)
        self._number += 1
        return element("figure", element("img", src=f"data:image/png;base64,{data}", alt=what))


def _png(figure: Figure) -> str:
    from matplotlib.text import Text

    for label in figure.findobj(Text):
        label.set_parse_math(False)  # names are no formulae
        label.set_text(plain(label.get_text()))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font does not have is shown as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()
