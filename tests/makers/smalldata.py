"""Seeded smallData files in the real layouts: LCLS-I (three ages of it), LCLS-II, LCLS-II joined from parts.

Every maker returns a `Truth`: what a right reader must give, in time order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

MARK = -99999
"""What the LCLS-II writer puts for a missing integer."""

UNIX_START = 1_425_000_000
"""Seconds of the first event, LCLS-I (2015-02-27, Unix)."""

EPICS_START = 1_078_500_000
"""Seconds of the first event, LCLS-II (counted from 1990: 2024-03-05)."""

DELAYS_S = np.round(np.arange(-2.0, 8.1, 0.5), 3) * 1e-12
"""Settings of the delay scan, in seconds."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What was put into a file.

    Attributes
    ----------
    path : Path
        The file to open.
    timestamps : (n_events,) uint64
        Packed time, rising.
    columns : mapping of name to (n_events, ...) array
        Values in time order; NaN where a float is missing.
    missing : mapping of name to (n_events,) bool
        True where the value is missing, for fields that lack some.
    rows : (n_events,) int64
        Row in the file of every event in time order.
    unix_offset : int
        Seconds to add to the packed seconds to get Unix time.
    parts : tuple of Path
        Part files of a joined file.
    aligned : mapping of name to array
        Values of align groups, in time order, padded rows left out.
    """

    path: Path
    timestamps: NDArray[np.uint64]
    columns: Arrays
    missing: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    unix_offset: int = 0
    parts: tuple[Path, ...] = ()
    aligned: Arrays = field(default_factory=dict)


def write_lcls1(
    path: Path,
    *,
    n_events: int = 420,
    frame: tuple[int, int] = (12, 14),
    seed: int = 1,
    time_layout: str = "event_time",
    shuffled: bool = False,
    chunk_events: int | None = 100,
    compression: Mapping[str, Any] | None = None,
    laser_every: int = 6,
) -> Truth:
    """Write a stepped pump-probe delay scan in the LCLS-I layout.

    Parameters
    ----------
    time_layout : "event_time" or "EvtID"
        `event_time` + `fiducials`; `EvtID/time` (n, 2) + `EvtID/fid`.
    shuffled : bool
        Whether the file is out of time order.
    chunk_events : int or None
        Rows per chunk; None writes contiguous datasets.
    compression : mapping, optional
        Given to h5py for the frames, e.g. ``{"compression": "gzip", "shuffle": True}``.
    laser_every : int
        Every so many events, one is without laser.

    Notes
    -----
    ``diode2/channels[:, 3] = i0 * (1 + 0.3 * step(delay) * laser)``; ``delay = scan/lxt * 1e12 + tt/ttCorr``.
    """
    rng = np.random.default_rng(seed)
    packed = _packed_times(n_events, UNIX_START)
    columns = _lcls1_columns(rng, n_events, frame, laser_every)
    order = rng.permutation(n_events) if shuffled else np.arange(n_events)  # file row -> event
    chunked = _chunker(chunk_events)
    with h5py.File(path, "w") as file:
        _write_lcls1_time(file, packed[order], order, time_layout)
        for name, values in columns.items():
            extra = dict(compression or {}) if values.ndim == 3 else {}
            file.create_dataset(name, data=values[order], **chunked(values), **extra)
        _write_settings(file, frame, columns["epix/azav_azav"].shape[1])
    missing = {"ipm3/sum": np.isnan(columns["ipm3/sum"])}
    return Truth(path, packed.astype(np.uint64), columns, missing, np.argsort(order, kind="stable"))


def _packed_times(n_events: int, start: int) -> NDArray[np.int64]:
    """120 Hz from 0.4 s after `start`, so that second borders are crossed."""
    nanoseconds = 400_000_000 + np.arange(n_events, dtype=np.int64) * 8_333_333
    packed: NDArray[np.int64] = ((start + nanoseconds // 10**9) << 32) | (nanoseconds % 10**9)
    return packed


def _chunker(chunk_events: int | None) -> Any:
    def options(values: NDArray[Any]) -> dict[str, Any]:
        if chunk_events is None:
            return {}
        return {"chunks": (chunk_events, *values.shape[1:]), "maxshape": (None, *values.shape[1:])}

    return options


def _lcls1_columns(rng: np.random.Generator, n: int, frame: tuple[int, int], laser_every: int) -> Arrays:
    events = np.arange(n)
    step = events * len(DELAYS_S) // n
    laser = (events % laser_every != laser_every - 1).astype(np.int64)
    xray = (rng.random(n) > 0.02).astype(np.int64)
    i0 = np.where(xray == 1, rng.gamma(12.0, 1 / 12.0, n), 0.001)
    correction = rng.normal(0.0, 0.25, n)
    delay = DELAYS_S[step] * 1e12 + correction
    pumped = ((delay > 0) * laser).astype(np.float64)
    channels = rng.normal(0.0, 0.01, (n, 16)) + i0[:, None]
    channels[:, 3] = i0 * (1 + 0.3 * pumped) + rng.normal(0.0, 0.01, n)
    ipm3 = i0 + rng.normal(0.0, 0.02, n)
    ipm3[rng.random(n) < 0.01] = np.nan
    image = (i0[:, None, None] * (1 + 0.3 * pumped[:, None, None]) * _ring(frame)).astype(np.float32)
    image += rng.normal(0.0, 0.02, image.shape).astype(np.float32)
    return {
        "evr/code_137": xray.astype(np.uint8),
        "evr/code_162": (1 - xray).astype(np.uint8),
        "evr/code_90": laser.astype(np.uint8),
        "evr/code_91": (1 - laser).astype(np.uint8),
        "lightStatus/xray": xray,
        "lightStatus/laser": laser,
        "ipm2/sum": i0,
        "ipm2/channels": np.repeat(i0[:, None] / 4, 4, axis=1),
        "ipm3/sum": ipm3,
        "diode2/channels": channels.astype(np.float32),
        "scan/lxt": DELAYS_S[step],
        "scan/var0": DELAYS_S[step],
        "scan/varStep": step.astype(np.int64),
        "enc/lasDelay": DELAYS_S[step] * 1e12,
        "epics/lxt": DELAYS_S[step],
        "epics/att_T": np.full(n, 0.1),
        "tt/FLTPOS": 500.0 + 100 * correction,
        "tt/FLTPOS_PS": correction,
        "tt/AMPL": np.where(laser * xray == 1, rng.uniform(0.03, 0.1, n), 0.005),
        "tt/FLTPOSFWHM": rng.uniform(80.0, 120.0, n),
        "tt/ttCorr": correction,
        "epix/ROI_0_area": image,
        "epix/ROI_0_sum": image.sum(axis=(1, 2), dtype=np.float64),
        "epix/azav_azav": image.reshape(n, -1)[:, :10].copy(),
        "jungfrau/ROI_0_area": rng.poisson(30 * i0[:, None, None], image.shape).astype(np.uint16),
        "damage/epix": np.ones(n, np.int64),
    }


def _ring(frame: tuple[int, int]) -> NDArray[np.float64]:
    y, x = np.indices(frame, dtype=np.float64)
    radius = np.hypot(y - frame[0] / 2, x - frame[1] / 2)
    ring: NDArray[np.float64] = 0.3 + np.exp(-(((radius - min(frame) / 3) / 2.0) ** 2))
    return ring


def _write_lcls1_time(
    file: h5py.File, packed: NDArray[np.int64], events: NDArray[np.int64], time_layout: str
) -> None:
    fiducials = (events * 3 + 99_900) % 131_040
    if time_layout == "event_time":
        file["event_time"] = packed
        file["fiducials"] = fiducials
        return
    file["EvtID/time"] = np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1).astype(np.int32)
    file["EvtID/fid"] = fiducials.astype(np.int32)


def _write_settings(file: h5py.File, frame: tuple[int, int], n_q: int) -> None:
    height, width = frame
    file["UserDataCfg/epix/ROI_0_ROI"] = np.array([[0, 1], [4, 4 + height], [8, 8 + width]])
    file["UserDataCfg/epix/ped"] = np.full(frame, 20.0)
    file["UserDataCfg/epix/azav_q"] = np.linspace(0.1, 2.0, n_q)
    file["UserDataCfg/epix/common_mode"] = 6
    file["Sums/epix_calib"] = np.ones(frame)


def write_lcls2(
    path: Path,
    *,
    n_events: int = 240,
    frame: tuple[int, int] = (12, 14),
    seed: int = 2,
    batch: int = 50,
    late: int = 21,
) -> Truth:
    """Write a run in the LCLS-II layout, as one server writes it: chunks, no filters, missing marks.

    `late/*` appears at event `late`: zeros stand before it. `intg` is an align group (every tenth event).
    """
    packed, columns, missing = _lcls2_columns(np.random.default_rng(seed), n_events, frame, late)
    aligned = _aligned_columns("intg", packed, columns, np.arange(n_events) % 10 == 9)
    with h5py.File(path, "w", libver="latest") as file:
        _write_part(file, packed, columns, missing, aligned, batch)
        _write_lcls2_settings(file, frame)
    return _truth(path, packed, columns, missing, np.arange(n_events), aligned)


def _truth(
    path: Path,
    packed: NDArray[np.int64],
    columns: Arrays,
    missing: dict[str, NDArray[np.bool_]],
    rows: NDArray[np.int64],
    aligned: Arrays,
    parts: Sequence[Path] = (),
) -> Truth:
    return Truth(
        path,
        packed.astype(np.uint64),
        columns,
        missing,
        rows,
        unix_offset=631_152_000,
        parts=tuple(parts),
        aligned=aligned,
    )


def _lcls2_columns(
    rng: np.random.Generator, n: int, frame: tuple[int, int], late: int
) -> tuple[NDArray[np.int64], Arrays, dict[str, NDArray[np.bool_]]]:
    packed = _packed_times(n, EPICS_START)
    step = np.arange(n) * 6 // max(n, 1)
    laser = (np.arange(n) % 5 != 4).astype(np.int64)
    pulse = rng.gamma(8.0, 10.0, n)
    image = (pulse[:, None, None] * _ring(frame) + rng.normal(0, 1, (n, *frame))).astype(np.float32)
    no_image = rng.random(n) < 0.1
    image[no_image] = np.nan
    columns: Arrays = {
        "fim/pulse": pulse,
        "fim/wave": rng.integers(-500, 500, (n, 24)).astype(np.int16),
        "epx/ROI_0_area": image,
        "epx/ROI_0_sum": image.sum(axis=(1, 2), dtype=np.float64),
        "epx/npix": np.where(no_image, MARK, rng.integers(100, 168, n)),
        "epx/ROI_0_counts": np.where(
            no_image[:, None, None], MARK, rng.integers(0, 1000, (n, *frame))
        ).astype(np.int32),
        "late/afloat": np.arange(n) + 1.5,
        "late/anint": np.arange(n) + 1,
        "lightStatus/laser": laser,
        "lightStatus/xray": np.ones(n, np.int64),
        "timing/destination": np.full(n, 4),
        "scan/motor1": step * 0.5 - 1.0,
        "scan/step_value": step + 1.0,
    }
    before = np.arange(n) < late
    missing = {name: no_image for name in columns if name.startswith("epx/")}
    missing |= {"late/afloat": before, "late/anint": before}
    return packed, columns, missing


def _aligned_columns(
    group: str, packed: NDArray[np.int64], columns: Arrays, filled: NDArray[np.bool_]
) -> Arrays:
    return {
        f"{group}/timestamp": packed[filled],
        f"{group}/slow/temp": columns["fim/pulse"][filled] * 0.01 + 290.0,
        f"{group}/slow/frame": columns["epx/ROI_0_counts"][filled],
    }


def _write_part(
    file: h5py.File,
    packed: NDArray[np.int64],
    columns: Arrays,
    missing: Mapping[str, NDArray[np.bool_]],
    aligned: Arrays,
    batch: int,
) -> None:
    """Write events as one server does; lengths of the peaks follow from the pulse energy."""

    def write(name: str, values: NDArray[Any]) -> None:
        tail = values.shape[1:]
        file.create_dataset(name, data=values, chunks=(batch, *tail), maxshape=(None, *tail))

    write("timestamp", packed)
    for name, values in columns.items():
        lacking = missing.get(name) if name.startswith("late/") else None
        write(name, values if lacking is None else _zeroed(values, lacking))
    for name, values in aligned.items():
        write(name, values)
    lengths = peak_lengths(columns["fim/pulse"])
    write("fim/var_peaks_len", lengths)
    write("fim/var_peaks/height", np.arange(lengths.sum(), dtype=np.float32))
    write("fim/var_peaks/pos", np.arange(lengths.sum(), dtype=np.int32))


def _zeroed(values: NDArray[Any], lacking: NDArray[np.bool_]) -> NDArray[Any]:
    zeroed = values.copy()
    zeroed[lacking] = 0
    return zeroed


def peak_lengths(pulse: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of peaks of every event, 0 to 4."""
    lengths: NDArray[np.int64] = pulse.astype(np.int64) % 5
    return lengths


def _write_lcls2_settings(file: h5py.File, frame: tuple[int, int]) -> None:
    height, width = frame
    file["Sums/epx_calib"] = np.ones(frame, np.int64)
    file["UserDataCfg/epx/ROI_0_ROI"] = np.array([[0, height], [0, width]])
    file["UserDataCfg/epx/ped"] = np.full(frame, 10.0)


def write_joined(
    folder: Path,
    *,
    name: str = "joined",
    n_events: int = 240,
    n_parts: int = 2,
    frame: tuple[int, int] = (12, 14),
    seed: int = 3,
    batch: int = 10,
    source_prefix: str = "",
) -> Truth:
    """Write a run as several LCLS-II servers do: parts, and a joined file of virtual datasets.

    Batches of events go to the parts in turn, so the joined file is not in time order. `rare/*` and the align
    group `rareintg` are in part 0 alone: padded elsewhere, the group with rows that are no events.

    Parameters
    ----------
    source_prefix : str
        Put before the part names in the joined file, e.g. "hdf5/" when it was written from elsewhere.
    """
    packed, columns, missing = _lcls2_columns(np.random.default_rng(seed), n_events, frame, late=0)
    columns["rare/aligned"] = columns["fim/pulse"] * 2.0
    columns["rare/iflag"] = np.arange(n_events) + 7
    columns["rare/counts"] = (np.arange(n_events) % 250).astype(np.uint8)
    owner = (np.arange(n_events) // batch) % n_parts
    intg, odd = np.arange(n_events) % 10 == 9, (np.arange(n_events) % 4 == 0) & (owner == 0)
    members = [np.flatnonzero(owner == part) for part in range(n_parts)]
    parts = [folder / f"{name}_part{part}.h5" for part in range(n_parts)]
    for part, events in enumerate(members):
        own = {key: values[events] for key, values in columns.items() if part == 0 or key[:5] != "rare/"}
        lacking = {key: values[events] for key, values in missing.items()}
        aligned = _aligned_columns("intg", packed[events], own, intg[events])
        if part == 0:
            aligned |= _aligned_columns("rareintg", packed[events], own, odd[events])
        with h5py.File(parts[part], "w", libver="latest") as file:
            _write_part(file, packed[events], own, lacking, aligned, batch)
    path = folder / f"{name}.h5"
    _join(path, parts, [len(events) for events in members], source_prefix)
    with h5py.File(path, "r+", libver="latest") as file:
        _write_lcls2_settings(file, frame)
    rows = np.argsort(np.concatenate(members), kind="stable")
    missing |= {f"rare/{leaf}": owner != 0 for leaf in ("aligned", "iflag", "counts")}
    columns["rare/aligned"] = np.where(owner == 0, columns["rare/aligned"], np.nan)
    aligned = _aligned_columns("intg", packed, columns, intg)
    aligned |= _aligned_columns("rareintg", packed, columns, odd)
    return _truth(path, packed, columns, missing, rows, aligned, parts)


def _join(path: Path, parts: Sequence[Path], n_events: Sequence[int], prefix: str) -> None:
    """Write the joined file: every dataset of any part, parts one after another."""
    shapes: dict[str, dict[int, tuple[int, ...]]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    for part, part_path in enumerate(parts):
        with h5py.File(part_path) as file:

            def note(name: str, item: Any, part: int = part) -> None:
                if isinstance(item, h5py.Dataset):
                    shapes.setdefault(name, {})[part] = item.shape
                    dtypes[name] = item.dtype

            file.visititems(note)
    with h5py.File(path, "w", libver="latest") as file:
        for name, by_part in shapes.items():
            _join_one(file, name, by_part, dtypes[name], [prefix + part.name for part in parts], n_events)


def _join_one(
    file: h5py.File,
    name: str,
    by_part: Mapping[int, tuple[int, ...]],
    dtype: np.dtype[Any],
    sources: Sequence[str],
    n_events: Sequence[int],
) -> None:
    tail = next(iter(by_part.values()))[1:]
    # The writer pads a part that lacks the dataset by its number of root events, whatever the dataset is.
    lengths = [by_part[part][0] if part in by_part else n_events[part] for part in range(len(sources))]
    layout = h5py.VirtualLayout((sum(lengths), *tail), dtype)
    first = 0
    for part, length in enumerate(lengths):
        if part in by_part:
            layout[first : first + length] = h5py.VirtualSource(sources[part], name, by_part[part])
        first += length
    file.create_virtual_dataset(name, layout, fillvalue=_fill(dtype))


def _fill(dtype: np.dtype[Any]) -> Any:
    """Return NaN, or the missing mark clipped to what the integer can hold, as the joined files have it."""
    if dtype.kind == "f":
        return np.nan
    limits = np.iinfo(dtype)
    return max(MARK, limits.min)
