"""Variables made of those of neighbouring events, under the original's names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.compat.cuts import read_state
from cubeengine.compat.delay import Delays
from cubeengine.errors import SpecError
from cubeengine.spec.derived import Derived, Neighbours, Running


class Derivations(Delays):
    """Running medians and neighbouring events; see `Fields` for how a run is opened."""

    def addMedianVar(self, name: str, windowsize: int = 31) -> None:
        """Add the median of a variable over the last events, each event itself included.

        Parameters
        ----------
        name : str
            Variable with one number per event; the new one is `median_<name>`, with `_` for `/`.
        windowsize : int
            Events of the window. NaN and missing values in it are left out.
        """
        self._prepare(name)
        recipe = Running(field=name, window=windowsize, at="trailing")
        self._derive({f"median_{_flat(name)}": Derived(running=recipe)}, {})

    def getOffVar(
        self, varName: str, selName: str, nNbr: int = 3, mean: bool = True, returnMe: bool = False
    ) -> NDArray[np.generic] | None:
        """Add the mean of a variable over the laser-off events nearest in time to each event.

        Parameters
        ----------
        varName : str
            The variable; arrays are averaged element by element.
        selName : str
            Selection of good events; of these, those with the laser off are the neighbours.
        nNbr : int
            How many.
        mean : bool
            True: lists of the neighbours' values are not made.
        returnMe : bool
            Whether to give the values as well.

        Returns
        -------
        (n_events, ...) float64, or None
            With `returnMe` the new variable: `offNbrsAv_<variable>_<selection>_nNbr<n>`. NaN where there are
            no neighbours. An event is not its own neighbour.

        Raises
        ------
        SpecError
            If there is no such selection, or a list is asked for.
        """
        if not mean:
            raise SpecError(
                "getOffVar: lists of the neighbours' values are not supported; mean=True averages the values"
            )
        self._prepare(varName)
        base, _ = read_state(selName)
        recipe = Neighbours(field=varName, among=self._selected(base, "off"), n=nNbr)
        name = f"offNbrsAv_{_flat(varName)}_{_flat(selName)}_nNbr{nNbr:02d}"
        self._derive({name: Derived(neighbours=recipe)}, {})
        return self.getVar(name) if returnMe else None


def _flat(name: str) -> str:
    return name.replace("/", "_").replace("__", "_")
