"""The facade as a whole."""

from __future__ import annotations

from cubeengine.compat.scans import Scans


class SmallDataAna(Scans):
    """The original's session over a run of smallData: the same names, without its faults.

    See `fields.Fields` for how a run is opened. Where a result differs from the original's, a
    `SmallDataAnaWarning` says so, once per object; `docs/smalldataana.md` lists all differences.

    Examples
    --------
    >>> ana = SmallDataAna("xppdemo20", 12, "cubeengine-demo")
    >>> ana.addCut("ipm2/sum", 0.3, 2.0, "good")
    >>> ana.addCube("delay", "delay", [-2.0, 8.0, 0.5], "good__on")
    >>> ana.addToCube("delay", ["ipm2/sum", "jungfrau/ROI_0_area"])
    >>> cube = ana.makeCubeData("delay")
    """
