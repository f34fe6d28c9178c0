"""Run by a Python that has psana: texts of geometries in (JSON), psana's pixels and indices out (npz).

psana's own `__init__` needs more than is wanted here (MPI among it), so it is left out.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np


def main(texts: Path, target: Path) -> None:
    found = importlib.util.find_spec("psana")
    package = types.ModuleType("psana")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["psana"] = package
    from psana.pscalib.geometry.GeometryAccess import GeometryAccess

    arrays = {}
    for name, text in json.loads(texts.read_text()).items():
        geometry = GeometryAccess()
        geometry.load_pars_from_str(text)
        arrays |= dict(zip((f"{name}.{axis}" for axis in "xyz"), geometry.get_pixel_coords(), strict=True))
        rows, columns = geometry.get_pixel_coord_indexes()
        arrays |= {f"{name}.rows": rows, f"{name}.columns": columns}
    np.savez(target, **arrays)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
