"""The oracle: what a cube must hold, restated from the contract in plain Python and numpy.

Nothing here knows cubeengine. Events are walked through one by one, integers are Python's, sums are those
of `math.fsum`: slow, and short enough to be believed.
"""

from tests.differential.oracle.cube import Cube, Signal, cube
from tests.differential.oracle.selections import Refused

__all__ = ["Cube", "Refused", "Signal", "cube"]
