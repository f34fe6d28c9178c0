"""Geometry files as detectors have them, made up."""

from __future__ import annotations

from collections.abc import Sequence

HEADER = """\
# TITLE      Geometry made for a test

# HDR PARENT IND     OBJECT IND     X0[um]   Y0[um]   Z0[um]   ROT-Z ROT-Y ROT-X     TILT-Z   TILT-Y   TILT-X
"""

Row = tuple[str, int, str, int, float, float, float, float, float, float, float, float, float]


def text_of(rows: Sequence[Row]) -> str:
    """Write the rows of a geometry."""
    return HEADER + "".join(" ".join(map(str, row)) + "\n" for row in rows)


def camera(sensor: str, panels: Sequence[tuple[float, ...]], top: tuple[float, ...] = (0.0,) * 9) -> str:
    """Place panels in one camera: (x, y, z, three rotations, three tilts) each; what is left out is 0."""
    rows = [("CAMERA:V1", 0, sensor, number, *_nine(panel)) for number, panel in enumerate(panels)]
    return text_of([*rows, ("IP", 0, "CAMERA:V1", 0, *_nine(top))])


def _nine(values: Sequence[float]) -> tuple[float, ...]:
    return (*values, *(0.0,) * (9 - len(values)))


JUNGFRAU_1M = camera(
    "JUNGFRAU:V2",
    [(85, 19700, 0, 0, 0, 180, 0.1, 0.02, 0.03), (120, -19600, 12, 180, 0, 0, -0.07, 0, 0)],
    (1000, -2000, -100_000, 90, 0, 0, 0.2, 0, 0.01),
)
JUNGFRAU_SQUARE = camera("JUNGFRAU:V2", [(0, 19650, 0, 180), (0, -19650, 0, 180)], (0, 0, 0, 90))
EPIX_QUAD = camera(
    "EPIX10KA:V1",
    [
        (-20000, 20000, 0, 90, 0, 0, 0.05),
        (20100, 20100, 0, 0, 0, 0, 0.2),
        (20200, -20300, 0, 270, 0, 0, -0.3),
        (-20100, -20200, 0, 180, 0, 0, 0.01),
    ],
    (0, 0, -1000, 90, 0, 0, 0.01, 0.02, 0.03),
)
EPIX100 = camera("EPIX100:V1", [(0, 0, 0, 90, 0, 0, 0.1)])
CSPAD = text_of(
    [
        *(
            (
                "QUAD:V1",
                quad,
                "SENS2X1:V1",
                n,
                1e3 * n,
                21e3 * n,
                5.0 * n,
                90 * n,
                0,
                0,
                0.1 * n,
                0.02,
                -0.01 * quad,
            )
            for quad in range(2)
            for n in range(3)
        ),
        *(
            ("CSPAD:V1", 0, "QUAD:V1", quad, 1000 * quad, 5e4 * quad, 0, 90 * quad, 0, 0, 0, 0, 0)
            for quad in range(2)
        ),
        ("IP", 0, "CSPAD:V1", 0, 0, 0, -500_000, 0, 0, 0, 0, 0, 0),
    ]
)
MATRIX = camera("MTRX:40:60:50:50", [(10, 20, 0, 90)])
MATRIX_V2 = camera("MTRX:V2:40:60:50:50", [(10, 20, 0, 90, 0, 180, 0.4)])

ALL = {
    "jungfrau_1m": JUNGFRAU_1M,
    "jungfrau_square": JUNGFRAU_SQUARE,
    "epix_quad": EPIX_QUAD,
    "epix100": EPIX100,
    "cspad": CSPAD,
    "matrix": MATRIX,
    "matrix_v2": MATRIX_V2,
}
