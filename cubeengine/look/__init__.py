"""Look at a run: for each kind of picture, one function returns the data and one draws it.

All take a run, a session, or the path of a run; names of fields or expressions, and a selection; all go
through the events window by window, so that runs larger than the memory do. What is missing is counted, and
said in the picture.
"""

from typing import NoReturn

from cubeengine.look.correlations import correlation
from cubeengine.look.cubes import RatioOfRun
from cubeengine.look.cuts import cut_flow, cut_histograms
from cubeengine.look.draw_correlations import plot_correlation
from cubeengine.look.draw_cuts import plot_cut_flow, plot_cuts
from cubeengine.look.draw_histograms import plot_histogram, plot_histogram2d
from cubeengine.look.draw_images import plot_average_image
from cubeengine.look.draw_overviews import plot_overview
from cubeengine.look.draw_scans import plot_scan
from cubeengine.look.draw_traces import plot_trace
from cubeengine.look.histograms import histogram, histogram2d
from cubeengine.look.images import average_image
from cubeengine.look.overviews import Choices, choices, event_rate, missing_fractions, overview, shots
from cubeengine.look.scans import scan_curve
from cubeengine.look.traces import trace
from cubeengine.schema.calls import no_attribute

__all__ = [
    "Choices", "RatioOfRun", "average_image", "choices", "correlation", "cut_flow", "cut_histograms",
    "event_rate", "histogram", "histogram2d", "missing_fractions", "overview", "plot_average_image",
    "plot_correlation", "plot_cut_flow", "plot_cuts", "plot_histogram", "plot_histogram2d", "plot_overview",
    "plot_scan", "plot_trace", "scan_curve", "shots", "trace",
]  # fmt: skip


def __getattr__(name: str) -> NoReturn:
    if name.startswith("_"):
        raise AttributeError(name)
    no_attribute("ce.look", name, __all__)
