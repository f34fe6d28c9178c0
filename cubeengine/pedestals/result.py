"""What came out: pedestals, noise and status of every pixel in every gain range, and how they were found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.constants import write_constants
from cubeengine.detectors.kinds import Kind
from cubeengine.errors import StoreMismatch
from cubeengine.events.table import text_table
from cubeengine.pedestals.limits import STATUS_BITS, RangeLimits
from cubeengine.pedestals.merging import Others
from cubeengine.store.files import writing
from cubeengine.types import BoolArray, DetectorInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROVENANCE = "provenance"
"""Name of the text in the file, JSON, that tells how the constants were found."""

HEADER = ("range", "from", "pixels", "bad", "pedestal", "noise", "values per pixel", "rejected")


@dataclass(frozen=True, slots=True, eq=False)
class Pedestal:
    """Constants of a detector from dark events.

    Attributes
    ----------
    kind : Kind
        Kind of detector.
    detector : DetectorInfo, or None
        The detector, where the data describe it.
    pedestals, noise : (n_ranges, panels, rows, columns) float32
        ADU; NaN where a pixel has too few values in a range.
    status : (n_ranges, panels, rows, columns) uint32
        0 is good; bits as in `STATUS_BITS`.
    used, rejected : (n_ranges, panels, rows, columns) int32
        Values that the estimates rest on, and those that were too far off; 0 where none were measured.
    limits : mapping of range name to RangeLimits
        What a good pixel is, for each range measured.
    origins : mapping of range name to str
        Where the constants of each range come from: "these data", the file of others, or "" for none.
    frame_shape : tuple of int
        Shape of a raw frame: without the axis of panels where it has none.
    facts : mapping
        How they were found, as plain data.
    others : Others
        What comes from another file.
    """

    kind: Kind
    detector: DetectorInfo | None
    pedestals: NDArray[np.float32]
    noise: NDArray[np.float32]
    status: NDArray[np.uint32]
    used: NDArray[np.int32]
    rejected: NDArray[np.int32]
    limits: Mapping[str, RangeLimits]
    origins: Mapping[str, str]
    frame_shape: tuple[int, ...]
    facts: Mapping[str, Any]
    others: Others

    @property
    def range_names(self) -> tuple[str, ...]:
        """Names of the gain ranges, in the order of the first axis."""
        return self.kind.range_names

    @property
    def bad(self) -> BoolArray:
        """(panels, rows, columns) whether a pixel is bad in a range that has constants and counts."""
        known = [
            number
            for number, name in enumerate(self.range_names)
            if self.origins[name] and number in self.kind.status_ranges
        ]
        found: BoolArray = (self.status[known] != 0).any(axis=0)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must know of these constants."""
        absent = [name for name, origin in self.origins.items() if not origin]
        notes = list(self.facts.get("notes", ()))
        if absent and len(self.origins) > 1:
            one = len(absent) == 1
            notes.append(
                f"no constants for {', '.join(absent)}: too few values, or none. Pixels in "
                f"{'this range' if one else 'these ranges'} will be missing from calibrated frames; --merge "
                "FILE adds them from another file, e.g. of a run in another gain mode"
            )
        return tuple(notes)

    def summary(self) -> str:
        """Tell what came out, gain range by gain range, and what must be known of it."""
        rows = [self._row(number, name) for number, name in enumerate(self.range_names) if self.origins[name]]
        flags = [f"  {count:,} {STATUS_BITS[bit]}" for bit, count in self.status_counts().items() if count]
        total = f"{np.count_nonzero(self.bad):,} of {self.bad.size:,} pixels are bad"
        lines = [text_table(HEADER, rows), "", total + (":" if flags else ""), *flags]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def status_counts(self) -> dict[int, int]:
        """Count the pixels that have each bit set in a range measured here; bit -> count."""
        own = [number for number, name in enumerate(self.range_names) if name in self.limits]
        return {bit: int(np.count_nonzero((self.status[own] & bit).any(axis=0))) for bit in STATUS_BITS}

    def _row(self, number: int, name: str) -> tuple[str, ...]:
        known, bad = np.isfinite(self.pedestals[number]), self.status[number] != 0
        used, rejected = (int(values[number].sum(dtype=np.int64)) for values in (self.used, self.rejected))
        share = f"{rejected / (used + rejected):.2g}" if used else ""
        values = f"{used / np.count_nonzero(known):,.0f}" if used else ""
        pedestal, noise = (_median(item[number][known & ~bad]) for item in (self.pedestals, self.noise))
        counts = f"{np.count_nonzero(known):,}", f"{np.count_nonzero(bad):,}"
        return (name, self.origins[name], *counts, pedestal, noise, values, share)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the file of constants that `calibrate` reads, in one step; gives its path.

        Parameters
        ----------
        path : str or Path
            The file: npz if that is its suffix, else HDF5.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        StoreMismatch
            If a file is there that may not be replaced.
        StoreWriteError
            If it cannot be written; one that was there is then as it was.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise StoreMismatch(f"{path} already exists; choose another name, or replace it with --overwrite")
        arrays = {
            "pedestals": self.pedestals, "pixel_rms": self.noise, "pixel_status": self.status,
            **self.others.arrays,
        }  # fmt: skip
        counts = {"values_used": self.used, "values_rejected": self.rejected}
        with writing(path, "writing the constants"):
            write_constants(
                path,
                {name: self._in_file(values) for name, values in arrays.items()},
                **self._about(),
                geometry=self.others.geometry,
                further={name: self._in_file(values) for name, values in counts.items()},
                texts={PROVENANCE: json.dumps(dict(self.facts), indent=1)},
            )
        return path

    def _in_file(self, values: NDArray[Any]) -> NDArray[Any]:
        """Leave out the axis of ranges where there is one, and that of panels where frames have none."""
        if self.kind.ranges > 1 or values.ndim < 3:
            return values
        return values.reshape(self.frame_shape)

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = {"kind": self.kind.name, "source": self.facts["source"]}
        if self.facts.get("run"):
            about["valid_from_run"] = int(self.facts["run"].rpartition(":")[2])
        if self.detector is not None:
            about |= {"name": self.detector.name, "unique_id": self.detector.unique_id}
            about["segments"] = self.detector.segments if len(self.frame_shape) == 3 else None
        return about

    def plot(self) -> Figure:
        """Draw pedestals and noise of every gain range, as map and histogram, with bad pixels marked."""
        from cubeengine.pedestals.picture import draw

        return draw(self)

    def __repr__(self) -> str:
        name = self.detector.name if self.detector else self.facts["field"]
        return f"Pedestals of {name} ({self.kind.name}) from {self.facts['source']}\n{self.summary()}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def _median(values: NDArray[np.float32]) -> str:
    return f"{np.median(values):.5g}" if values.size else ""
