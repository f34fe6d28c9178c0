"""Signals, their stages, and the files these need."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.differential.making.chance import Chance
from tests.differential.making.fields import Field, Names


class Signals:
    """Makes the signals of a spec.

    Attributes
    ----------
    files : dict
        Masks and constants: see `Case`.
    """

    def __init__(self, chance: Chance, names: Names) -> None:
        self._chance, self._names = chance, names
        self.files: dict[str, Any] = {}

    def signals(self) -> list[Any]:
        """Return fields, derived variables, and frames after stages."""
        chance, names = self._chance, self._names
        frames = [field for field in names.fields if field.name.startswith("det")]
        chosen = chance.some([field.name for field in names.fields], chance.between(1, 4))
        chosen += [field.name for field in frames if chance.happens(0.7)]
        chosen += [name for name in names.derived if chance.happens(0.5)]
        signals: list[Any] = list(dict.fromkeys(chosen))
        for number, name in enumerate(signals):
            if chance.happens(0.1):
                signals[number] = {"field": name, "dtype": "float32"}
        derived = [Field(name, "f8", shape) for name, shape in names.derived.items() if len(shape) > 1]
        for number, field in enumerate([*frames, *derived]):
            if len(field.shape) > 1 and chance.happens(0.6):
                stages = self._stages(field, number, raw=field in frames)
                signals.append({"field": field.name, "name": f"staged{number}", "stages": stages})
        return signals

    def _stages(self, field: Field, number: int, *, raw: bool) -> list[Any]:
        chance, shape, stages = self._chance, field.shape, list[Any]()
        if chance.happens(0.3) and raw and field.itemsize < 8:
            stages.append({"calibrate": self._constants(shape, number, kind=True)})
        if chance.happens(0.3):
            stages.append({"threshold": self._threshold(shape, number, calibrated=bool(stages))})
        if chance.happens(0.4):
            stages.append({"mask": self._mask(shape, number)})
        if len(shape) == 2 and chance.happens(0.06):
            return [*stages, {"azav": self._azav(shape)}]
        if chance.happens(0.4):
            roi, shape = self._roi(shape)
            stages.append({"roi": roi})
        how = chance.pick("sum", "mean")
        last = chance.pick("rebin", "project", "sum", None, None)
        if last == "rebin":
            factor = [chance.pick(*[f for f in range(1, size + 1) if size % f == 0]) for size in shape[-2:]]
            stages.append({"rebin": chance.pick({"factor": factor, "how": how}, factor)})
        elif last == "project":
            axis = chance.between(0, len(shape) - 1)
            onto = chance.pick({"onto": "rows"}, {"onto": "columns"}, {"axis": axis})
            stages.append({"project": {**onto, "how": how}})
        elif last == "sum":
            stages.append(chance.pick("sum", {"sum": {"how": how}}))
        return stages or ["sum"]

    def _constants(self, shape: tuple[int, ...], number: int, *, kind: bool = False) -> Any:
        """Return the options that name a file of constants, of which some pixels are bad or not known."""
        name = f"constants{number}.npz"
        if name not in self.files:
            self.files[name] = self._new_constants(shape)
        return {"constants": name, "kind": "single"} if kind else {"constants": name}

    def _new_constants(self, shape: tuple[int, ...]) -> dict[str, Any]:
        chance, random = self._chance, self._chance.numpy
        bad = [np.nan] if chance.happens(0.3) else []
        found: dict[str, Any] = {
            "pedestals": random.choice([*np.arange(0, 5, 0.125), *bad, *bad], shape),
            "pixel_rms": random.choice([0.25, 0.5, 1.0, *bad], shape),
            "kind": "single",
        }
        if chance.happens(0.5):
            found["pixel_gain"] = random.choice([0.0, 0.5, 2.0, 4.0, 3.0, *bad], shape)
        if chance.happens(0.5):
            found["pixel_status"] = (random.random(shape) < 0.1).astype(np.uint32)
        if chance.happens(0.5):
            found["pixel_mask"] = random.choice([1.0, 1.0, 1.0, 0.0, *bad], shape)
        return found

    def _mask(self, shape: tuple[int, ...], number: int) -> Any:
        chance = self._chance
        edges = {"edges": 1} if min(shape[-2:]) > 2 and chance.happens(0.4) else {}
        if chance.happens(0.3):
            return {**self._constants(shape, number), **edges}
        name, dtype = f"mask{number}.npy", chance.pick("u1", "f8", "f4", "i4")
        mask = (chance.numpy.random(shape) < 0.8).astype(dtype)
        if dtype.startswith("f"):
            mask[chance.numpy.random(shape) < 0.1] = np.nan
        self.files[name] = mask
        return chance.pick(name, {"file": name, "invert": True}, {"file": name, **edges})

    def _threshold(self, shape: tuple[int, ...], number: int, *, calibrated: bool) -> Any:
        chance = self._chance
        if calibrated and chance.happens(0.5):
            below = chance.pick("zero", "missing")
            return {"min": "2.1 sigma", **self._constants(shape, number), "below": below}
        low, high = chance.pick(0.5, 0, 1), chance.pick(2, 2.5)
        return chance.pick(
            {"min": low},
            {"max": high},
            {"min": low, "max": high, "above": "missing"},
            {"min": low, "below": "missing"},
            low,
        )

    def _roi(self, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        chance = self._chance
        ranges = [sorted(chance.some(range(size + 1), 2)) for size in shape[-2:]]
        sizes = tuple(last - first for first, last in ranges)
        if len(shape) == 3 and chance.happens(0.3):
            return {"ranges": ranges, "segment": chance.between(0, shape[0] - 1)}, sizes
        cut = (*shape[:-2], *sizes)
        if chance.happens(0.2):
            return {"regions": {"here": {"ranges": ranges}, "there": {"ranges": ranges}}}, (2, *cut)
        return ranges, cut

    def _azav(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Average over rings; no pixel lies at the border of a ring or a sector."""
        chance = self._chance
        center = [shape[0] * chance.pick(0.31, 0.52) - 0.217, shape[1] * chance.pick(0.43, 0.71) - 0.391]
        options = {"distance": "90 mm", "pixel_size": "750 um", "center": center, "unit": "r_mm"}
        options |= {"bins": chance.between(1, 4), "range": [0.0123, chance.pick(1.5, 3.0)]}
        options |= {"split": "none", "solid_angle": False}
        if chance.happens(0.7):
            options["azimuth"] = chance.pick([-180, 180], [30.2, 60.1], [150.3, 210.4], [-20.1, 100.2])
        if not self._has_pixel(shape, options):  # such an average is refused
            options.pop("azimuth", None)
            options["range"] = [0.0123, 0.75 * sum(shape) + 1]
        return options

    def _has_pixel(self, shape: tuple[int, ...], options: dict[str, Any]) -> bool:
        """Return whether the middle of a pixel lies in the range and in the sector."""
        y, x = (np.indices(shape).T - np.array(options["center"])).T * 0.75
        start, stop = options.get("azimuth", (-180, 180))
        inside = ((np.degrees(np.arctan2(y, x)) - start) % 360 <= stop - start) | (stop - start == 360)
        low, high = options["range"]
        return bool((inside & (low < np.hypot(y, x)) & (np.hypot(y, x) < high)).any())
