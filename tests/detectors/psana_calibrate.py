"""Run by a Python that has psana: a folder of cases (raw frames, constants) in, what psana makes of them out.

psana's own `__init__` needs more than is wanted here, so it is left out, and where there is no MPI library a
stand-in for the little that is asked of it does.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np

META = {"experiment": "made", "run": 0}


def without_mpi() -> None:
    world = SimpleNamespace(Get_rank=lambda: 0, Get_size=lambda: 1)
    package, module = types.ModuleType("mpi4py"), types.ModuleType("mpi4py.MPI")
    module.COMM_WORLD = world
    package.MPI = module
    sys.modules |= {"mpi4py": package, "mpi4py.MPI": module}


def detector(kind: str, constants: dict[str, np.ndarray], settings: dict[str, np.ndarray], n: int):
    """Make psana's own object for raw data, with constants and configuration put in."""
    from psana.detector.epix10ka import epix10ka_raw_2_0_1
    from psana.detector.epix100 import epix100_raw_2_0_1
    from psana.detector.jungfrau import jungfrau_raw_0_1_0

    makers = {"jungfrau": jungfrau_raw_0_1_0, "epix10ka": epix10ka_raw_2_0_1, "epix100": epix100_raw_2_0_1}
    segments = {
        i: SimpleNamespace(config=SimpleNamespace(**{key: values[i] for key, values in settings.items()}))
        for i in range(n if settings else 0)
    }
    info = SimpleNamespace(
        configs=[SimpleNamespace(area=segments)],
        sorted_segment_ids=list(range(n)),
        uniqueid=f"{kind}_made",
        dettype=kind,
    )
    made = makers[kind]
    made._registry.clear()
    return made("area", "raw", info, {key: (values, META) for key, values in constants.items()})


def main(folder: Path) -> None:
    without_mpi()
    package = types.ModuleType("psana")
    package.__path__ = list(importlib.util.find_spec("psana").submodule_search_locations)
    sys.modules["psana"] = package
    for path in sorted(folder.glob("*.npz")):
        case = np.load(path)
        options = json.loads(str(case["options"]))
        constants = {key[2:]: case[key] for key in case.files if key.startswith("c.")}
        settings = {key[2:]: case[key] for key in case.files if key.startswith("s.")}
        frames = case["raw"]
        area = detector(str(case["kind"]), constants, settings, frames.shape[1])
        out = []
        for frame in frames:
            area.raw = lambda *_, frame=frame, **__: frame.copy()
            out.append(np.array(area.calib(None, **options)).reshape(frame.shape))
        np.save(path.with_suffix(".npy"), np.stack(out))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
