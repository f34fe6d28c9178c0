"""The spec of the demonstration, as a user would write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cubeengine.errors import SpecError

EXPERIMENT, RUN = "xppdemo20", 12
SPEC_NAME = "delay.yaml"
DATA_NAME, RAW_FOLDER, CONSTANTS_FOLDER = "xppdemo20_Run0012.h5", "xtc", "constants"
DARK_FOLDER, DARK_RUN = "dark", 13
CUBE_NAME = "xppdemo20_r0012_delay.zarr"
PICTURE_NAME = "delay.png"

SPEC = """\
# Diode and detector frames over the pump-probe delay, with the laser on and off:
# scalars from smallData, frames from the raw data, joined by time.
# cubeengine check delay.yaml     reports every mistake in it
# cubeengine plan delay.yaml      shows what a run would do
# cubeengine run delay.yaml       makes the cube
cube: delay
run:
  experiment: xppdemo20
  run: 12
  smalldata: xppdemo20_Run{run:04d}.h5       # relative to this file
  xtc: xtc                                   # raw data: a folder, or files
  xray: "eventcode(`timing/raw/sequenceValues`, 137)"   # what `xray: on` means

units: {scan/lxt: s, tt/ttCorr: ps}          # files carry no units: declare what is used

derive:
  delay:                                     # lxt + time tool with the laser on, lxt with it off
    delay: {nominal: scan/lxt, timetool: tt/ttCorr, sign: +1}
  diode_ratio: diode2__channels[3] / ipm2__sum    # normalised shot by shot; __ stands for /

select:
  good:
    all: [{field: ipm2/sum, min: 0.4, max: 2.0}]   # drops the weak shots
    xray: on
  timed: [good, "`tt/AMPL` > 0.02"]          # below that the time tool saw nothing
  on: {all: [timed], laser: on}
  off: {all: [timed], laser: off, without: [tt/*]}   # no laser, no time tool to ask

axes:
  - {field: delay, centers: {start: -2, stop: 8, step: 0.5}, unit: ps}

cubes: [on, off]

signals:
  - ipm2/sum
  - diode_ratio
  - {field: diode2/channels, name: diode}
  - {field: jungfrau/azav_azav, name: azav}
  - field: jungfrau/raw/raw                  # two panels; pedestals, gains and bad pixels are in the file
    name: frame
    stages: [{calibrate: constants/jungfrau.h5}]
  - field: epix/raw/raw                      # in every fifth event only: a missing frame is never 0
    name: line
    stages: [{calibrate: constants/epix.h5}, {project: columns}]
"""


def write_spec(folder: Path) -> Path:
    """Write the spec into a folder.

    Raises
    ------
    SpecError
        If another spec of that name is there: somebody's work is not overwritten.
    """
    path = folder / SPEC_NAME
    if path.exists() and path.read_text() != SPEC:
        raise SpecError(
            f"{path} exists and differs from the demo's file; choose another folder, or remove the file"
        )
    path.write_text(SPEC)
    return path


def check_folder(folder: Path) -> None:
    """Raise SpecError where a folder without the demo's spec holds files that the demo would replace."""
    theirs = [] if (folder / SPEC_NAME).exists() else [place for place in _places(folder) if place.exists()]
    if theirs:
        raise SpecError(f"{theirs[0]} exists and is not part of the demo; choose another folder")


def _places(folder: Path) -> Iterator[Path]:
    """Yield what the demo writes beside its spec."""
    yield from (folder / name for name in (DATA_NAME, RAW_FOLDER, DARK_FOLDER, CUBE_NAME, PICTURE_NAME))
    yield from (folder / CONSTANTS_FOLDER / name for name in ("jungfrau.h5", "epix.h5"))
