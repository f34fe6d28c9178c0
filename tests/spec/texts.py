"""Specs that several tests use."""

import numpy as np

from cubeengine.types import FieldInfo, FieldKind

DELAY = """\
cube: delay
run:
  experiment: xpptut15
  run: 252
  smalldata: data/xpptut15_Run{run:04d}.h5
units: {scan/lxt: s, tt/ttCorr: ps, ipm2/sum: arb}
derive:
  delay: {delay: {nominal: scan/lxt, timetool: tt/ttCorr, sign: +1, t0: 0 ps, valid: "tt__AMPL > 0.02"}}
  ratio: diode2__channels[3] / ipm2__sum
select:
  good:
    - {field: lightStatus/xray, equal: 1}
    - {field: ipm2/sum, min: 0.3, max: 2.0}
  pumped: [good, "`tt/AMPL` > 0.02"]
  on:  {all: [pumped], laser: on}
  off: {all: [pumped], laser: off, without: [tt/*]}
axes:
  - {field: delay, centers: {start: -2, stop: 8, step: 0.5}, unit: ps}
  - {field: ipm2/sum, edges: [0.3, 0.8, 1.3, 2.0]}
cubes: [on, off]
signals:
  - ipm2/sum
  - {field: epix/ROI_0_area, name: roi}
resources: {memory: 4 GiB}
"""

FIELDS = {
    name: FieldInfo(name, shape, np.dtype(dtype))
    for name, shape, dtype in [
        ("scan/lxt", (), "f8"),
        ("tt/ttCorr", (), "f8"),
        ("tt/AMPL", (), "f8"),
        ("ipm2/sum", (), "f8"),
        ("ipm3/sum", (), "f8"),
        ("ebeam/photon_energy", (), "f8"),
        ("diode2/channels", (16,), "f4"),
        ("lightStatus/xray", (), "i8"),
        ("lightStatus/laser", (), "i8"),
        ("epix/ROI_0_area", (20, 24), "f4"),
    ]
} | {
    "fim/var_peaks/height": FieldInfo("fim/var_peaks/height", (), np.dtype("f4"), FieldKind.RAGGED),
    "Sums/epix": FieldInfo("Sums/epix", (24,), np.dtype("f8"), FieldKind.RUN),
    "intg/slow/temp": FieldInfo("intg/slow/temp", (), np.dtype("f8"), FieldKind.ALIGNED, group="intg"),
}
