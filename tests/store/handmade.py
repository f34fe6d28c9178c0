"""Cubes made by hand, in the layout users find on disk, for tests of the store and of the pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from cubeengine.store import write
from cubeengine.store.layout import STRING, ArrayLayout, CubeLayout, choose_chunks

SELECTIONS = ("on", "off")


def delay_cube(*, n_bins: int = 21, second_axis: bool = False, seed: int = 1) -> xr.Dataset:
    """A pump-probe cube: intensity, diode, an azimuthal average and small frames; the last bin is empty."""
    rng = np.random.default_rng(seed)
    axes = {"delay": np.linspace(-2.0, 8.0, n_bins)}
    units = {"delay": "ps", "ipm2__sum": ""}
    if second_axis:
        axes["ipm2__sum"] = np.array([0.5, 1.0, 1.5])
    shape = (len(SELECTIONS), *(len(centres) for centres in axes.values()))
    n_events = rng.poisson(400, shape).astype("i8")
    n_events[:, -1] = 0
    coordinates: dict[str, object] = {"selection": np.array(SELECTIONS, dtype=np.dtypes.StringDType())}
    for name, centres in axes.items():
        step = centres[1] - centres[0]
        edges = np.append(centres - step / 2, centres[-1] + step / 2)
        bounds = f"{name}_bnds"
        attrs = {"units": units[name], "long_name": name, "bounds": bounds, "field": name.replace("__", "/")}
        coordinates[name] = (name, centres, attrs)
        coordinates[bounds] = ((name, "bnds"), np.stack([edges[:-1], edges[1:]], 1))
    cube = xr.Dataset(
        {"n_events": (("selection", *axes), n_events)}, coords=coordinates, attrs=group_attrs(n_events)
    )
    signal = _response(axes["delay"], shape)
    _add(
        cube,
        "delay",
        np.broadcast_to(axes["delay"].reshape(-1, *[1] * (len(axes) - 1)), shape),
        0.1,
        rng,
        "ps",
    )
    _add(cube, "ipm2__sum", np.full(shape, 1.0), 0.3, rng, "V")
    _add(cube, "diode2", signal, 0.3, rng, "V", field="diode2/channels")
    q = np.linspace(0.5, 3.5, 60)
    ring = 1 + np.exp(-((q - 1.6) ** 2) / 0.05) * signal[..., None]
    _add(cube, "azav", ring, 0.2, rng, "photon", field="epix/azav_azav", per_element=True)
    cube.coords["azav_dim0"] = ("azav_dim0", q, {"units": "1/angstrom", "long_name": "q"})
    y, x = np.mgrid[:24, :32]
    spot = np.exp(-((x - 15) ** 2 + (y - 11) ** 2) / 40)
    _add(cube, "frame", 5 + 50 * spot * signal[..., None, None], 4.0, rng, "ADU", field="epix/ROI_0_area")
    return cube


def group_attrs(n_events: np.ndarray) -> dict[str, object]:
    """The attributes of the group, with numbers that add up."""
    kept = {name: int(counts.sum()) for name, counts in zip(SELECTIONS, n_events, strict=True)}
    total = 2 * sum(kept.values()) + 100
    fates = {
        name: {"binned": n, "cut": total - n - 60, "outside": 50, "nan": 10, "missing": 0}
        for name, n in kept.items()
    }
    flow = [
        ["ipm2/sum in [0.3, 2.0]", total - 100, total - 100],
        ["lightStatus/laser = 1", total // 2, total // 2],
    ]
    return {
        "cubeengine": {"format": 1, "version": "0.1.0"},
        "spec": {"cube": "delay", "run": {"experiment": "xpptut15", "run": 252}},
        "spec_yaml": "cube: delay\n",
        "plan": {"strategy": {"diode2": "stream", "frame": "by_bin"}, "leaves": 8},
        "cut_flow": dict.fromkeys(SELECTIONS, flow),
        "fates": fates,
        "n_events_total": total,
        "inputs": [
            {"path": "data/xpptut15_Run0252.h5", "size": 123456789, "mtime_ns": 1_700_000_000_000_000_000}
        ],
        "versions": {"cubeengine": "0.1.0", "numpy": "2.4.6"},
        "ddof": 0,
        "partial_run": None,
        "memory": {"projected": 900 * 2**20, "measured": 700 * 2**20},
    }


def layout_of(dataset: xr.Dataset) -> CubeLayout:
    """The layout that stores a dataset as it is."""
    names = [*dataset.coords, *dataset.data_vars]
    return CubeLayout(tuple(_array_layout(dataset, str(name)) for name in names), dict(dataset.attrs))


def save(dataset: xr.Dataset, target: Path, *, overwrite: bool = False) -> Path:
    """Store a dataset as a published cube."""
    arrays = {str(name): np.asarray(variable.values) for name, variable in dataset.variables.items()}
    temporary = write.create(target, layout_of(dataset), arrays, overwrite=overwrite)
    write.publish(temporary, target, overwrite=overwrite)
    return target


def _array_layout(dataset: xr.Dataset, name: str) -> ArrayLayout:
    array = dataset[name]
    dtype = STRING if array.dtype.kind in "TUO" else array.dtype.name
    is_coordinate = name in dataset.coords and name not in dataset.dims
    chunks = choose_chunks(array.shape, array.dtype.itemsize)
    dims = tuple(map(str, array.dims))
    return ArrayLayout(name, dims, array.shape, chunks, dtype, array.attrs, coordinate=is_coordinate)


def _response(delay: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """1 without the laser; with it a step at 0 ps which decays again."""
    pumped = 1 + 0.4 / (1 + np.exp(-delay / 0.2)) * np.exp(-np.clip(delay, 0, None) / 5)
    per_delay = np.stack([pumped, np.ones_like(delay)])
    return np.broadcast_to(per_delay.reshape(2, -1, *[1] * (len(shape) - 2)), shape)


def _add(
    cube: xr.Dataset,
    name: str,
    truth: np.ndarray,
    spread: float,
    rng: np.random.Generator,
    unit: str,
    *,
    field: str = "",
    per_element: bool = False,
) -> None:
    n_events = cube["n_events"]
    elements = truth.shape[n_events.ndim :]
    dims = (*n_events.dims, *(f"{name}_dim{i}" for i in range(len(elements))))
    counts = n_events.values.reshape(n_events.shape + (1,) * len(elements))
    error = spread / np.sqrt(np.maximum(counts, 1))
    attrs = {"units": unit, "field": field or name.replace("__", "/"), "long_name": name}
    mean = np.where(counts > 0, truth + rng.normal(0, 1, truth.shape) * error, np.nan)
    std = np.where(counts > 0, spread * (1 + 0.02 * rng.normal(0, 1, truth.shape)), np.nan)
    cube[f"{name}_count"] = (
        (dims, np.broadcast_to(counts, truth.shape).copy())
        if per_element
        else (n_events.dims, n_events.values.copy())
    )
    cube[f"{name}_mean"] = (dims, mean, attrs)
    cube[f"{name}_std"] = (dims, std, {**attrs, "ddof": 0})
