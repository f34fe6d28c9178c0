#!/usr/bin/env python
"""Write a detector's calibration constants and geometry into one local HDF5 file for cubeengine.

To be run where psana (LCLS-II) runs, with its data base of constants at hand:

    python export_constants.py EXPERIMENT RUN DETECTOR [-o FILE] [--dir FOLDER]
    python export_constants.py xppl1001 57 jungfrau -o jungfrau.h5

It needs psana, numpy and h5py, and nothing of cubeengine, so that one copied file is enough. The constants
are those that psana itself would use for this run: they are selected by the detector's unique id (type and
serial numbers of its segments) and by the run. The layout of the file is described in docs/constants.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import h5py
import numpy as np

ARRAYS = (
    "pedestals",
    "pixel_rms",
    "pixel_status",
    "status_extra",
    "pixel_gain",
    "pixel_offset",
    "pixel_mask",
    "common_mode",
)
FORMAT = "cubeengine-constants"

log = logging.getLogger("export_constants")


def main(arguments=None):
    """Read the command line, export, say what was written; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = read_arguments(arguments)
    detector = open_detector(options.experiment, options.run, options.detector, options.dir)
    constants = constants_of(detector, options.experiment, options.run)
    target = Path(options.output or f"{options.experiment}_r{options.run:04d}_{options.detector}.h5")
    if "pedestals" not in constants["arrays"]:
        log.error("no pedestals of %s for run %d: nothing is written", options.detector, options.run)
        return 1
    write_file(target, constants)
    for name, values in constants["arrays"].items():
        log.info("%-14s %s %s", name, values.shape, values.dtype)
    log.info("geometry       %d characters", len(constants["geometry"]))
    log.info("written to %s", target)
    return 0


def read_arguments(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("experiment")
    parser.add_argument("run", type=int)
    parser.add_argument("detector", help="the name that users give it, e.g. jungfrau")
    parser.add_argument("-o", "--output", help="default: EXPERIMENT_rRUN_DETECTOR.h5")
    parser.add_argument("--dir", help="folder of the xtc2 files, where psana does not find them")
    return parser.parse_args(arguments)


def open_detector(experiment, run, name, folder=None):
    """Open a run with psana and give the detector."""
    from psana import DataSource

    place = {"dir": folder} if folder else {}
    source = DataSource(exp=experiment, run=run, **place)
    return next(source.runs()).Detector(name)


def constants_of(detector, experiment, run):
    """Collect what is to be written.

    Parameters
    ----------
    detector : psana detector
        `calibconst` is a dictionary: type of constants -> (array or text, where it comes from).
    experiment, run : str, int
        For which they were selected.

    Returns
    -------
    dict
        arrays: name -> array; geometry: text; attributes: name -> text or number.
    """
    stored = detector.calibconst or {}
    arrays = {name: np.asarray(stored[name][0]) for name in ARRAYS if is_there(stored, name)}
    attributes = {
        "format": FORMAT,
        "version": 1,
        "kind": str(detector._dettype),
        "name": str(detector._det_name),
        "unique_id": str(getattr(interface_of(detector), "_uniqueid", "")),
        "source": f"psana constants for {experiment} run {run}",
    }
    attributes.update(validity(stored, arrays))
    texts = {name: text for name, text in attributes.items() if text != ""}
    return {"arrays": arrays, "geometry": geometry_of(detector, stored), "attributes": texts}


def is_there(stored, name):
    """Return whether constants of this type exist."""
    return stored.get(name) is not None and stored[name][0] is not None


def interface_of(detector):
    """Return the part of a psana detector that knows its segments: that of the raw data."""
    return getattr(detector, "raw", None) or getattr(detector, "fex", None)


def geometry_of(detector, stored):
    """Return the text of the geometry: that of the data base, else psana's default for the type, else ""."""
    if is_there(stored, "geometry"):
        return str(stored["geometry"][0])
    default = getattr(interface_of(detector), "_det_geotxt_default", None)
    try:
        return str(default()) if default else ""
    except (OSError, TypeError, AttributeError):  # no default for this type of detector
        return ""


def validity(stored, arrays):
    """Return the first and last run that all of the arrays are valid for, as far as that is known."""
    about = [stored[name][1] or {} for name in arrays]
    first = [int(one["run"]) for one in about if is_number(one.get("run"))]
    last = [int(one["run_end"]) for one in about if is_number(one.get("run_end"))]
    runs = {"valid_from_run": max(first)} if first else {}
    return {**runs, "valid_to_run": min(last)} if last else runs


def is_number(value):
    """Return whether a run is a number; an open end is the word "end"."""
    return value is not None and str(value).isdigit()


def write_file(path, constants):
    """Write the file; the layout is that of `cubeengine.detectors.constants.write_constants`."""
    with h5py.File(path, "w") as file:
        for name, value in constants["attributes"].items():
            file.attrs[name] = value
        for name, values in constants["arrays"].items():
            file.create_dataset(name, data=values)
        if constants["geometry"]:
            file.create_dataset("geometry", data=constants["geometry"], dtype=h5py.string_dtype())


if __name__ == "__main__":
    sys.exit(main())
