"""One trial: the cube that cubeengine makes of a case, beside what the oracle says of it."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dask
import xarray as xr

import cubeengine as ce
from cubeengine import api
from cubeengine.budget import parse_size
from cubeengine.errors import CubeEngineError
from cubeengine.events import window
from tests.differential import oracle
from tests.differential.case import Case, write_files
from tests.differential.compare import differences
from tests.makers.frames import forced_plan


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    differences : list of str
        Empty where cubeengine and the oracle agree.
    refused : bool
        Whether both refused the case.
    """

    differences: list[str]
    refused: bool = False


def trial(case: Case) -> Outcome:
    """Make the cube of a case in both ways and compare."""
    try:
        expected = expected_cube(case)
    except oracle.Refused as refusal:
        expected = refusal
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = make_cube(case)
        except CubeEngineError as err:
            if isinstance(expected, oracle.Refused):
                return Outcome([], refused=True)
            return Outcome([f"refused: {type(err).__name__}: {err}"])
        except Exception as err:
            return Outcome([f"failed: {type(err).__name__}: {err}"])
    if isinstance(expected, oracle.Refused):
        return Outcome([f"not refused: {expected}"])
    return Outcome(differences(expected, found))


def expected_cube(case: Case) -> oracle.Cube:
    """Return what the oracle says of a case; where bins are joined, of the cube that had them at once."""
    fine = oracle.cube(case.runs, case.spec, case.files, case.how.get("sample"))
    if "coarser" not in case.how:
        return fine
    ((field, kept),) = case.how["coarser"].items()
    number = [axis["field"] for axis in case.spec["axes"]].index(field)
    axis = fine.axes[number]
    edges = [axis.edges[place] for place in kept]
    wider = {"field": field, "unit": axis.unit, "edges": edges}
    axes = [*case.spec["axes"][:number], wider, *case.spec["axes"][number + 1 :]]
    coarse = oracle.cube(case.runs, {**case.spec, "axes": axes}, case.files)
    joined = zip(kept[:-1], kept[1:], coarse.axes[number].labels, strict=True)
    labels = [axis.labels[low] if high == low + 1 else middle for low, high, middle in joined]
    called = (*coarse.axes[:number], replace(coarse.axes[number], labels=labels), *coarse.axes[number + 1 :])
    return replace(coarse, axes=called, fates={name: _moved(fine, coarse, name) for name in fine.fates})


def _moved(fine: oracle.Cube, coarse: oracle.Cube, name: str) -> dict[str, int]:
    """Return what became of the events when bins are left out: what was in them counts as outside."""
    before, binned = fine.fates[name], coarse.fates[name]["binned"]
    return {**before, "binned": binned, "outside": before["outside"] + before["binned"] - binned}


def make_cube(case: Case) -> xr.Dataset:
    """Make the cube of a case with cubeengine; the merged cube, where it has two runs."""
    how = {"window": 2**20, "launcher": "lazy", "workers": 1, "memory": "2 GiB", "text": True, **case.how}
    with tempfile.TemporaryDirectory(prefix="case-", dir=_fast_folder()) as folder, _windows(how["window"]):
        paths = write_files(case, Path(folder))
        read = ce.CubeSpec.loads(json.dumps(case.spec)) if how["text"] else ce.CubeSpec.from_dict(case.spec)
        spec = read.at(folder)
        plans = [_plan(ce.open_run(path), spec, how) for path in paths]
        if "coarser" in how:
            return _rebinned(plans[0], how["coarser"], Path(folder))
        if len(plans) == 1 and how["launcher"] == "lazy":
            with dask.config.set(scheduler="synchronous"):
                return plans[0].lazy().compute()
        if len(plans) == 1:
            return plans[0].compute(launcher=how["launcher"], workers=how["workers"])
        cubes = [path.with_suffix(".zarr") for path in paths]
        for plan, cube in zip(plans, cubes, strict=True):
            plan.to_zarr(cube, workers=how["workers"])
        merged = Path(folder) / "merged.zarr"
        ce.merge_cubes(cubes, merged)
        return ce.open_cube(merged).load()


def _rebinned(plan: api.Plan, coarser: dict[str, list[int]], folder: Path) -> xr.Dataset:
    """Make a cube and join its bins: those between the edges of these numbers."""
    fine = ce.open_cube(plan.to_zarr(folder / "fine.zarr").path)
    ((field, kept),) = coarser.items()
    name = field.replace("/", "__")
    bounds = fine[f"{name}_bnds"].values
    edges = [*bounds[:, 0].tolist(), bounds[-1, 1].item()]
    ce.rebin_cube(
        folder / "fine.zarr", folder / "coarse.zarr", edges={name: [edges[place] for place in kept]}
    )
    return ce.open_cube(folder / "coarse.zarr").load()


def _fast_folder() -> str | None:
    """Return a folder in memory, if there is one: cubes are brought to the disk before they are published."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _plan(run: api.Run, spec: ce.CubeSpec, how: dict[str, object]) -> api.Plan:
    """Plan, with the strategy that the case names for everything but scalars."""
    largest = max(
        (signal.field for signal in spec.signals if signal.field in run.fields),
        key=lambda name: run.fields[name].nbytes,
        default=None,
    )
    sample = how.get("sample", {})
    if how.get("strategy") is None or largest is None:
        return ce.plan(run, spec, memory=str(how["memory"]), force=True, **sample)
    return forced_plan(
        run,
        str(how["strategy"]),
        leaves=int(str(how["leaves"])),
        memory=parse_size(str(how["memory"])),
        spec=spec,
        frames=largest,
        order=how["order"],
        block_nbytes=how["block_nbytes"],
        options={"force": True, **sample},
        tile_elements=how["tile_elements"],
    )


@contextmanager
def _windows(n_events: int) -> Iterator[None]:
    """Look at so few events at a time, as is done with runs that are far longer."""
    before = window.WINDOW_EVENTS
    window.WINDOW_EVENTS = n_events
    try:
        yield
    finally:
        window.WINDOW_EVENTS = before
