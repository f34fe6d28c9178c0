"""Pedestals and noise of a detector from dark events, with a status for every pixel.

Not `pedestal`: `cubeengine.pedestal` is the function.
"""

from cubeengine.pedestals.dark import NotDark
from cubeengine.pedestals.limits import Limits
from cubeengine.pedestals.measure import pedestal
from cubeengine.pedestals.result import Pedestal

__all__ = ["Limits", "NotDark", "Pedestal", "pedestal"]
