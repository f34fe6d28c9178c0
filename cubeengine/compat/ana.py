"""The facade as a whole."""

from __future__ import annotations

from cubeengine.compat.scans import Scans


class SmallDataAna(Scans):
    """The original's session over a run of smallData: the same names, without its faults.

    See `fields.Fields` for how a run is opened. Where a result differs from the original's, a
    `SmallDataAnaWarning` says so, once per object; `docs/smalldataana.md` lists all differences.

    Examples
    --------
    >>> ana = SmallDataAna("xpptut15", 252, "data")  # doctest: +SKIP
    >>> ana.addCut("ipm2/sum", 0.3, 2.0, "good")  # doctest: +SKIP
    >>> ana.addCube("delay", "delay", [-2.0, 8.0, 0.5], "good__on")  # doctest: +SKIP
    >>> ana.addToCube("delay", ["ipm2/sum", "epix/ROI_0_area"])  # doctest: +SKIP
    >>> cube = ana.makeCubeData("delay")  # doctest: +SKIP
    """
