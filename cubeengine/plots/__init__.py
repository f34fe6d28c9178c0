"""Pictures and summaries of cubes. Knows only what is in the cube; matplotlib loads when one is drawn."""

from cubeengine.plots.draw import plot_cube
from cubeengine.plots.summary import describe_cube
from cubeengine.plots.values import Drawable, drawable

__all__ = ["Drawable", "describe_cube", "drawable", "plot_cube"]
