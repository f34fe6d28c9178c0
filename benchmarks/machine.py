"""The machine and the versions a figure belongs to."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import h5py

from benchmarks.processes import n_cores

_PACKAGES = ("numpy", "h5py", "numba", "dask", "distributed", "zarr", "xarray", "flox", "hdf5plugin")


def describe() -> str:
    """Write one paragraph: date, processor, memory, load, versions."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return (
        f"{now}; {_processor()}, {n_cores()} cores, {memory:.0f} GiB; "
        f"load {os.getloadavg()[0]:.1f} at the start; "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"HDF5 {h5py.version.hdf5_version}, {packages}"
    )


def _processor() -> str:
    facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    names = {key.strip(): value.strip() for key, value in facts.items()}
    family = f" (family {names['cpu family']}, model {names['model']})" if "cpu family" in names else ""
    return names.get("model name", platform.machine()) + family


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
