"""Small cubes of known events, made by plain numpy, and the cube that all events together make."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tests.store.handmade import save

SELECTIONS = ("on", "off")
X_EDGES = np.array([-1.0, -0.25, 0.1, 0.3, 0.75, 1.5, 2.0])
Y_EDGES = np.array([0.0, 0.5, 1.0])


@dataclass(frozen=True)
class Events:
    """Events of a run, or of several."""

    x: np.ndarray
    y: np.ndarray
    on: np.ndarray
    diode: np.ndarray  # (n, 3) float64 with NaN, some far from zero
    frame: np.ndarray  # (n, 2, 4) uint16

    @classmethod
    def random(cls, n: int, seed: int) -> Events:
        rng = np.random.default_rng(seed)
        diode = rng.normal([0, 1000, -5], [1, 0.5, 3], (n, 3))
        diode[rng.random((n, 3)) < 0.1] = np.nan
        frame = rng.poisson(200, (n, 2, 4)).astype("u2")
        return cls(rng.uniform(-1.2, 1.4, n), rng.uniform(0, 1, n), rng.random(n) < 0.6, diode, frame)

    def __getitem__(self, index: Any) -> Events:
        return Events(*(getattr(self, field.name)[index] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.x)


def split(events: Events, n_parts: int, seed: int = 0) -> list[Events]:
    owner = np.random.default_rng(seed).integers(0, n_parts, len(events))
    return [events[owner == part] for part in range(n_parts)]


def bins_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    found = np.searchsorted(edges, values, "right") - 1
    found[values == edges[-1]] = len(edges) - 2
    return np.where(found < len(edges) - 1, found, -1)


def dataset_of(
    events: Events,
    *,
    run: int = 1,
    x_edges: np.ndarray = X_EDGES,
    y_edges: np.ndarray | None = Y_EDGES,
    dtype: str = "float64",
) -> xr.Dataset:
    """The cube of events: moments are taken in extended precision and rounded once."""
    axes = {"x": (x_edges, events.x)} | ({} if y_edges is None else {"y": (y_edges, events.y)})
    index = [bins_of(values, edges) for edges, values in axes.values()]
    shape = (2, *(len(edges) - 1 for edges, _ in axes.values()))
    dims = ("selection", *axes)
    members = [
        ((s, *bin_), (events.on == (s == 0)) & np.all([i == b for i, b in zip(index, bin_, strict=True)], 0))
        for s in range(2)
        for bin_ in np.ndindex(*shape[1:])
    ]
    n_events = np.zeros(shape, "i8")
    for place, member in members:
        n_events[place] = member.sum()
    coords: dict[str, Any] = {"selection": np.array(SELECTIONS, dtype=np.dtypes.StringDType())}
    for name, (edges, _) in axes.items():
        bounds = np.stack([edges[:-1], edges[1:]], 1)
        attrs = {"units": "ps", "long_name": name, "bounds": f"{name}_bnds"}
        coords[name] = (name, bounds.mean(1), attrs)
        coords[f"{name}_bnds"] = ((name, "bnds"), bounds, {"units": "ps"})
    coords["frame_dim1"] = ("frame_dim1", np.arange(100, 104), {"long_name": "col"})
    cube = xr.Dataset({"n_events": (dims, n_events)}, coords, attributes(events, run, n_events))
    values = {"x": events.x, "diode": events.diode, "frame": events.frame}
    for name, data in values.items():
        kept = dtype if name == "frame" else "float64"
        _add(cube, name, data, members, dims, shape, dtype=kept)
    return cube


def _add(
    cube: xr.Dataset, name: str, data: np.ndarray, members: Any, dims: Any, shape: Any, *, dtype: str
) -> None:
    elements = data.shape[1:]
    count = np.zeros((*shape, *elements), "i8")
    mean, std = np.full(count.shape, np.nan), np.full(count.shape, np.nan)
    for place, member in members:
        count[place], mean[place], std[place] = statistics(data[member])
    all_dims = (*dims, *(f"{name}_dim{number}" for number in range(len(elements))))
    attrs = {"field": f"det/{name}", "units": "ADU", "long_name": name}
    if data.dtype.kind == "f" and elements:
        cube[f"{name}_count"] = (all_dims, count, {"field": f"det/{name}"})
    else:
        first = count.reshape(*shape, -1)[..., 0]
        cube[f"{name}_count"] = (dims, first, {"field": f"det/{name}"})
    cube[f"{name}_mean"] = (all_dims, mean.astype(dtype), attrs)
    cube[f"{name}_std"] = (all_dims, std.astype(dtype), {**attrs, "ddof": 0})


def statistics(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and std over the first dimension, NaN left out, in extended precision."""
    wide = values.astype(np.longdouble)
    good = np.isfinite(wide)
    count = good.sum(0)
    whole = np.where(count > 0, count, 1).astype(np.longdouble)
    mean = np.where(good, wide, 0).sum(0) / whole
    std = np.sqrt((np.where(good, wide - mean, 0) ** 2).sum(0) / whole)
    return count, np.where(count > 0, mean, np.nan), np.where(count > 0, std, np.nan)


def attributes(events: Events, run: int, n_events: np.ndarray) -> dict[str, Any]:
    fates, flow = {}, {}
    for number, name in enumerate(SELECTIONS):
        selected = int((events.on == (number == 0)).sum())
        binned = int(n_events[number].sum())
        fates[name] = {
            "binned": binned,
            "cut": len(events) - selected,
            "outside": selected - binned,
            "nan": 0,
            "missing": 0,
            "damaged": 0,
        }
        flow[name] = [["laser", selected, selected]]
    axes = [{"field": "x", "edges": X_EDGES.tolist(), "unit": "ps"}]
    run_part = {"experiment": "xpptest01", "run": run}
    return {
        "cubeengine": {"format": 1, "version": "0.1.0"},
        "title": "delay",
        "run": f"xpptest01:{run}",
        "spec": {"cube": "delay", "run": run_part, "axes": axes, "cubes": ["on", "off"]},
        "stages": {},
        "cut_flow": flow,
        "fates": fates,
        "delays": {"x": {"laser": "lightStatus/laser", "laser_on": len(events), "laser_off": 1}},
        "n_events_total": len(events),
        "partial_run": None,
        "join": None,
        "inputs": [{"path": f"data/Run{run:04d}.h5", "size": 1000 + run, "mtime_ns": run}],
        "left_out": {"frame": {"on": {"missing": run, "damaged": 0}}},
        "ddof": 0,
    }


def write_parts(
    folder: Path, events: Events, n_parts: int, *, drop: dict[int, list[str]] | None = None, **options: Any
) -> list[Path]:
    """One cube per part of the events; `drop`: part -> signals it lacks."""
    paths = []
    for number, part in enumerate(split(events, n_parts)):
        cube = dataset_of(part, run=number + 1, **options)
        lost = [f"{name}_{s}" for name in (drop or {}).get(number, []) for s in ("count", "mean", "std")]
        lost += ["frame_dim1"] if "frame_mean" in lost else []
        paths.append(save(cube.drop_vars(lost), folder / f"r{number + 1}.zarr"))
    return paths


def save_chunked(cube: xr.Dataset, target: Path) -> Path:
    """Store a cube as another program would, in many small chunks of different shapes."""
    sizes = {"mean": (1, 4, 1, 2, 3), "std": (2, 5, 2, 1, 4), "count": (1, 1, 1, 2)}
    encoding = {
        name: {"chunks": tuple(map(min, sizes[str(name).rpartition("_")[2]], array.shape))}
        for name, array in cube.data_vars.items()
        if name != "n_events"
    }
    cube.to_zarr(target, zarr_format=3, consolidated=False, encoding=encoding)
    return target


UNIT = 2.0**-53


def assert_same_cube(found: xr.Dataset, wanted: xr.Dataset, *, n_parts: int, unit: float = UNIT) -> None:
    """Counts equal; mean and std within the bounds that docs/combining.md states.

    `unit` is the rounding of what is stored: 2**-53, or 2**-24 for float32.
    """
    np.testing.assert_array_equal(found["n_events"], wanted["n_events"])
    names = [str(name)[:-5] for name in wanted.data_vars if str(name).endswith("_mean")]
    for name in names:
        np.testing.assert_array_equal(found[f"{name}_count"], wanted[f"{name}_count"])
        assert found[f"{name}_mean"].dtype == wanted[f"{name}_mean"].dtype
        assert found[f"{name}_mean"].dims == wanted[f"{name}_mean"].dims
        mean, std = wanted[f"{name}_mean"].values, wanted[f"{name}_std"].values
        size = np.abs(mean) + 8 * std * np.sqrt(len(names) + found["n_events"].values.max())
        assert_within(found[f"{name}_mean"].values, mean, 4 * unit * size + 8 * n_parts * UNIT * size)
        assert_within(found[f"{name}_std"].values, std, 4 * unit * (size + std) + 8 * n_parts * UNIT * std)


def assert_within(found: np.ndarray, wanted: np.ndarray, tolerance: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    filled = ~np.isnan(wanted)
    error = np.abs(found.astype("f8") - wanted.astype("f8"))[filled]
    assert (error <= tolerance[filled]).all(), (error / tolerance[filled]).max()
