"""Seeded xtc2 runs written by our own writer, with what is in them as arrays.

`write_small_run` is small and full of traps, `write_frame_run` has frames of any size and number from a pool,
`write_scalar_run` has very many small events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service
from tests.makers.xtc2_frames import FrameRun, ScalarRun, write_frame_run, write_scalar_run
from tests.makers.xtc2_times import (
    EPICS_START,
    EXPERIMENT,
    LASER_OFF,
    LASER_ON,
    RUN,
    XRAY,
    Arrays,
    Clock,
    event_codes,
    packed_times,
)

__all__ = [
    "CORRUPTED", "DROPPED", "EPICS_START", "EXPERIMENT", "FATES", "GAINS", "LASER_OFF", "LASER_ON", "PLACES",
    "RUN", "XRAY", "Fate", "FrameRun", "ScalarRun", "SmallRun", "event_codes", "packed_times",
    "write_frame_run", "write_scalar_run", "write_small_run",
]  # fmt: skip

DROPPED, OUT_OF_ORDER, MISSING_DATA, CORRUPTED = 1 << 4, 1 << 1, 1 << 5, 1 << 3
"""Damage bits. Dropped says of a datagram that a contribution is absent: the others are whole."""

JUNGFRAU, EPIX, WAVE = (1, 12, 16), (10, 14), 5
DELAYS_PS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
GAINS = {"low:gainEnum": 3, "high:gainEnum": 7}

TIMING = OutNames(
    "timing",
    (OutField("ebeamPresent", "u1"), OutField("pulseId", "u8"), OutField("sequenceValues", "u2", 1)),
    kind="ts", unique_id="ts_0",
)  # fmt: skip
IPM = OutNames(
    "ipm2",
    (OutField("quality", "i1"), OutField("sum", "f8"), OutField("channels", "f4", 1),
     OutField("note", "text"), OutField("gain:gainEnum", "enum"), OutField("low:gainEnum", "label"),
     OutField("high:gainEnum", "label")),
    kind="bmmon", version=(1, 0, 0), data_first=True,
)  # fmt: skip
SCAN = OutNames(
    "scan", (OutField("lxt_ps", "f8"), OutField("step_value", "f8"), OutField("step_docstring", "text"))
)
EPICS = OutNames(
    "epics", (OutField("XPP:TEMP", "f8"), OutField("XPP:STATE", "text"), OutField("wave.x", "f4", 1))
)
EPICS_COUNT = OutNames("epics", (OutField("XPP:COUNT", "i4"),), segment=1)
RAW = (OutField("raw", "u2", 3), OutField("frame_cnt", "u8"))
FIELDS_SWAPPED = RAW[::-1]


def jungfrau_names(segment: int, fields: tuple[OutField, ...] = RAW) -> OutNames:
    return OutNames(
        "jungfrau", fields, version=(0, 1, 0), kind="jungfrau", unique_id=f"jf_{segment}", segment=segment,
        data_first=segment == 0, node=segment and 2, spare_nbytes=4 * segment,
    )  # fmt: skip


JUNGFRAU_CONFIG = OutNames(
    "jungfrau", (OutField("exposure", "f8"), OutField("mode:modeEnum", "enum"),
                 OutField("fixed:modeEnum", "label"), OutField("trbit", "u1", 1)),
    alg="config", kind="jungfrau", unique_id="jf_0-serial",
)  # fmt: skip
EPIX_NAMES = OutNames("epix", (OutField("raw", "u2", 2),), kind="epix100", segment=2, node=1)
HSD = OutNames("hsd", (OutField("waveform", "u1", 1),), kind="hsd", version=(1, 2, 3), node=1)


@dataclass(frozen=True, slots=True)
class SmallRun:
    """The small run, and what a right reader finds in it.

    Attributes
    ----------
    folder : Path
        Holds the data files; the small data lie in `smalldata` in it.
    files : mapping of stream to paths
        Chunks in order.
    timestamps : (n_events,) uint64
        Rising.
    step : (n_events,) int64
        Number of the step.
    steps : tuple of mapping
        Scan values of every step.
    columns : mapping of field to (n_events, ...) array
        As put in; where a value is missing or damaged it is not to be read. Fields of detectors with several
        segments are there stacked ("jungfrau/raw/raw") and for each segment ("jungfrau/1/raw/raw").
    valid, damaged : mapping of field to (n_events,) bool
        Where the value is there and whole; where it is there but damaged.
    present : mapping of contribution to (n_events,) bool
        Where a contribution ("ipm2", "jungfrau/1") is there, damaged or not.
    waveforms : tuple of uint8 arrays
        `hsd/raw/waveform` of every event: lengths vary.
    notes : tuple of str
        `ipm2/raw/note` of every event.
    """

    folder: Path
    files: dict[int, tuple[Path, ...]]
    timestamps: NDArray[np.uint64]
    step: NDArray[np.int64]
    steps: tuple[Mapping[str, Any], ...]
    columns: Arrays
    valid: dict[str, NDArray[np.bool_]]
    damaged: dict[str, NDArray[np.bool_]]
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    waveforms: tuple[NDArray[np.uint8], ...] = ()
    notes: tuple[str, ...] = ()


def write_small_run(
    folder: Path,
    *,
    per_step: int = 10,
    seed: int = 1,
    small_data: bool = True,
    chunks: bool = True,
    reconfigure: bool = False,
    ends: bool = True,
    experiment: str = EXPERIMENT,
    run: int = RUN,
) -> SmallRun:
    """Write a delay scan with six steps, in streams 0, 1 and 4.

    Parameters
    ----------
    per_step : int
        Events of each step.
    chunks : bool
        Whether stream 1 goes on in new files before steps 2 and 4, one of them with an unrelated name.
    reconfigure : bool
        Whether there is an Unconfigure and a Configure before step 3: the jungfrau's fields change places.
    ends : bool
        Whether the last Disable, EndStep and EndRun are there.

    Notes
    -----
    Stream 0: timing, ipm2 (enumeration, text, an odd address), scan, epics. Stream 1: jungfrau segment 0
    and its configuration, with the values before the shapes. Stream 4, nested: jungfrau segment 1 in node 2;
    epix segment 2 and hsd in node 1. Stream 4 lacks every 7th event.
    """
    content = _SmallContent(per_step, np.random.default_rng(seed))
    garbage = np.random.default_rng(seed + 1)
    with RunWriter(folder, experiment, run, streams=(0, 1, 4), small_data=small_data, garbage=garbage) as out:
        clock = Clock()
        blocks = _configure(out, clock.now(), RAW)
        out.begin_run(clock.now())
        for step in range(len(DELAYS_PS)):
            if reconfigure and step == 3:
                out.transition(Service.UNCONFIGURE, clock.now())
                blocks = _configure(out, clock.now(), FIELDS_SWAPPED)
            _write_step(out, content, step, clock, blocks, chunks=chunks, ends=ends)
        if ends:
            out.transition(Service.END_RUN, clock.now(), [_scan_data(99)])
        return content.truth(folder, out.paths)


def _configure(out: RunWriter, now: int, fields: tuple[OutField, ...]) -> tuple[OutNames, OutNames]:
    blocks = (jungfrau_names(0, fields), jungfrau_names(1, fields))
    out.configure(
        now,
        [
            OutStream(0, (TIMING, IPM, SCAN, EPICS), env=1 << 22 | 0b101),
            OutStream(1, (blocks[0], JUNGFRAU_CONFIG, EPICS_COUNT)),
            OutStream(4, (EPIX_NAMES, HSD, blocks[1]), nested=True),
        ],
        [
            OutData(
                JUNGFRAU_CONFIG,
                {
                    "exposure": 1e-5,
                    "mode:modeEnum": 4,
                    "fixed:modeEnum": 4,
                    "trbit": np.arange(4, dtype=np.uint8),
                },
            )
        ],
    )
    return blocks


def _scan_data(step: int) -> OutData:
    delay = DELAYS_PS[step] if step < len(DELAYS_PS) else 0.0
    text = f'{{"detname": "scan", "step": {step}}}'
    return OutData(SCAN, {"lxt_ps": delay, "step_value": step, "step_docstring": text})


def _write_step(
    out: RunWriter,
    content: _SmallContent,
    step: int,
    clock: Clock,
    blocks: tuple[OutNames, OutNames],
    *,
    chunks: bool,
    ends: bool,
) -> None:
    out.transition(Service.BEGIN_STEP, clock.now(), [_scan_data(step)])
    if chunks and step in (2, 4):
        out.roll_over(clock.now(), {1: None if step == 2 else "unrelated-r0001-s009-c007.xtc2"})
    else:
        out.transition(Service.ENABLE, clock.now())
    for i in range(content.per_step):
        if i == content.per_step // 2:
            out.transition(Service.SLOW_UPDATE, clock.now(), content.epics(step))
        content.write_event(out, step * content.per_step + i, clock.now(), blocks)
    if ends or step < len(DELAYS_PS) - 1:
        out.transition(Service.DISABLE, clock.now())
        out.transition(Service.END_STEP, clock.now())


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one event: damage of its datagrams and contributions, and what is left out."""

    datagrams: Mapping[int, int] = field(default_factory=dict)
    contributions: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[int, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


FATES = {
    5: Fate({1: DROPPED}, dropped=("jungfrau/0",)),  # the datagram of stream 1 holds nothing else
    12: Fate({4: DROPPED}, dropped=("jungfrau/1",)),  # the others of stream 4 are whole
    17: Fate({1: MISSING_DATA | 3 << 12}),
    23: Fate(contributions={"jungfrau/0": 1}),
    26: Fate({4: OUT_OF_ORDER}),
    31: Fate(nodes={1: CORRUPTED}),
    33: Fate(dropped=("ipm2", "timing")),  # no damage tells
    38: Fate(nodes={2: OUT_OF_ORDER}),
    44: Fate({0: DROPPED}, {"ipm2": 1 << 12}),
}
"""By number of event."""

PLACES = {
    "timing": (0, 0), "ipm2": (0, 0), "jungfrau/0": (1, 0), "jungfrau/1": (4, 2), "epix": (4, 1),
    "hsd": (4, 1),
}  # fmt: skip
"""Contribution -> stream, node."""


class _SmallContent:
    """The values of the small run, and how they are written."""

    def __init__(self, per_step: int, rng: np.random.Generator) -> None:
        self.per_step, self.n = per_step, per_step * len(DELAYS_PS)
        self.times: list[int] = []
        n, laser = self.n, np.arange(self.n) % 5 != 4
        codes = event_codes(
            (LASER_ON, laser), (LASER_OFF, ~laser), (XRAY, np.ones(n, bool)), (272, rng.random(n) < 0.5)
        )
        self.values: dict[str, Arrays] = {
            "timing": {"ebeamPresent": rng.integers(0, 2, n, np.uint8), "sequenceValues": codes,
                       "pulseId": 2**55 + np.arange(n, dtype=np.uint64)},
            "ipm2": {"quality": rng.integers(-128, 128, n, np.int8), "sum": rng.gamma(9.0, 1 / 9.0, n),
                     "channels": rng.normal(0.25, 0.01, (n, 4)).astype(np.float32),
                     "gain": rng.choice(list(GAINS.values()), n).astype(np.int32)},
            "epix": {"raw": rng.integers(0, 2**16, (n, *EPIX), np.uint16)},
            **{f"jungfrau/{i}": self._frames(rng) for i in range(2)},
        }  # fmt: skip
        self.values["ipm2"]["channels"][7, 2] = np.nan
        self.waveforms = tuple(rng.integers(0, 256, i % 9, np.uint8) for i in range(n))
        self.notes = tuple(f"shot {i}" if i % 3 else "" for i in range(n))

    def _frames(self, rng: np.random.Generator) -> Arrays:
        frames = rng.integers(0, 2**16, (self.n, *JUNGFRAU), np.uint16)
        return {"raw": frames, "frame_cnt": np.arange(self.n, dtype=np.uint64) + 1000}

    def epics(self, step: int) -> list[OutData]:
        """Return what the SlowUpdate of a step sends; every other one has nothing from stream 1."""
        wave = np.arange(WAVE, dtype=np.float32) * (step + 1)
        plain = OutData(EPICS, {"XPP:TEMP": 20.0 + step, "XPP:STATE": f"state {step}", "wave.x": wave})
        return [plain] if step % 2 else [plain, OutData(EPICS_COUNT, {"XPP:COUNT": -step})]

    def write_event(self, out: RunWriter, event: int, now: int, blocks: tuple[OutNames, OutNames]) -> None:
        self.times.append(now)
        fate = FATES.get(event, Fate())
        names = {"timing": TIMING, "ipm2": IPM, "jungfrau/0": blocks[0], "jungfrau/1": blocks[1],
                 "epix": EPIX_NAMES, "hsd": HSD}  # fmt: skip
        present = [name for name in names if self._is_present(name, event)]
        data = [
            OutData(names[name], self._event_values(name, event), fate.contributions.get(name, 0))
            for name in present
        ]
        out.event(now, data, damage=fate.datagrams, node_damage=fate.nodes)

    def _event_values(self, name: str, event: int) -> dict[str, Any]:
        if name == "hsd":
            return {"waveform": self.waveforms[event]}
        values = {key: column[event] for key, column in self.values[name].items()}
        if name == "ipm2":
            values |= {"gain:gainEnum": values.pop("gain"), "note": self.notes[event], **GAINS}
        return values

    def _is_present(self, name: str, event: int) -> bool:
        absent = PLACES[name][0] == 4 and event % 7 == 6
        return not absent and name not in FATES.get(event, Fate()).dropped

    def _is_damaged(self, name: str, event: int) -> bool:
        fate, (stream, node) = FATES.get(event, Fate()), PLACES[name]
        above = fate.datagrams.get(stream, 0) & ~DROPPED | fate.nodes.get(node if stream == 4 else -1, 0)
        return self._is_present(name, event) and bool(above | fate.contributions.get(name, 0))

    def truth(self, folder: Path, files: dict[int, tuple[Path, ...]]) -> SmallRun:
        events = range(self.n)
        there = {name: np.array([self._is_present(name, i) for i in events]) for name in PLACES}
        hurt = {name: np.array([self._is_damaged(name, i) for i in events]) for name in PLACES}
        columns, valid, damaged = {}, {}, {}
        for name, values in self.values.items():
            detector, _, segment = name.partition("/")
            for key, column in values.items():
                field_name = f"{detector}/{segment}/raw/{key}" if segment else f"{detector}/raw/{key}"
                columns[field_name], damaged[field_name] = column, hurt[name]
                valid[field_name] = there[name] & ~hurt[name]
        for key in ("raw", "frame_cnt"):
            parts = [f"jungfrau/{i}/raw/{key}" for i in range(2)]
            join = np.concatenate if key == "raw" else np.stack
            columns[f"jungfrau/raw/{key}"] = join([columns[part] for part in parts], axis=1)
            valid[f"jungfrau/raw/{key}"] = valid[parts[0]] & valid[parts[1]]
            both = there["jungfrau/0"] & there["jungfrau/1"]
            damaged[f"jungfrau/raw/{key}"] = both & (damaged[parts[0]] | damaged[parts[1]])
        step = np.arange(self.n) // self.per_step
        steps = tuple(_scan_data(i).values for i in range(len(DELAYS_PS)))
        columns["scan/lxt_ps"], columns["scan/step_value"] = (
            np.array(DELAYS_PS)[step],
            step.astype(np.float64),
        )
        self._add_epics(columns, valid, step)
        times = np.array(self.times, np.uint64)
        return SmallRun(
            folder, files, times, step, steps, columns, valid, damaged, there, self.waveforms, self.notes
        )

    def _add_epics(
        self, columns: Arrays, valid: dict[str, NDArray[np.bool_]], step: NDArray[np.int64]
    ) -> None:
        last = (np.arange(self.n) + self.per_step - self.per_step // 2) // self.per_step - 1
        columns["epics/XPP:TEMP"] = np.where(last < 0, np.nan, 20.0 + last)
        wave = np.arange(WAVE, dtype=np.float32) * (last[:, None] + 1)
        columns["epics/wave.x"] = np.where(last[:, None] < 0, np.float32(np.nan), wave)
        columns["epics/XPP:COUNT"] = (-2 * (np.maximum(last, 0) // 2)).astype(np.int32)
        for name in ("TEMP", "COUNT"):
            valid[f"epics/XPP:{name}"] = last >= 0
        valid["epics/wave.x"] = last >= 0
