"""Writes the raw data of the demonstration run: four streams of xtc2 files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.camera import EPIX_SERIAL, JUNGFRAU_SERIALS, N_PANELS
from cubeengine.demo.physics import DELAYS_PS
from cubeengine.demo.shots import EPIX_EVERY, Shots
from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service

TIMING = OutNames("timing", (OutField("pulseId", "u8"), OutField("sequenceValues", "u2", 1)), kind="ts")
IPM = OutNames(
    "ipm2", (OutField("sum", "f8"), OutField("channels", "f8", 1)), kind="bmmon", version=(1, 0, 0)
)
SCAN = OutNames(
    "scan", (OutField("lxt", "f8"), OutField("step_value", "f8"), OutField("step_docstring", "text"))
)
EPICS = OutNames("epics", (OutField("XPP:LAS:TEMP", "f8"),))
JUNGFRAU = tuple(
    OutNames(
        "jungfrau", (OutField("raw", "u2", 3), OutField("frame_cnt", "u8")), version=(0, 1, 0),
        kind="jungfrau", unique_id=name, segment=segment, data_first=True,
    )
    for segment, name in enumerate(JUNGFRAU_SERIALS)
)  # fmt: skip
EPIX = OutNames("epix", (OutField("raw", "u2", 2),), kind="epix100", version=(2, 0, 1), unique_id=EPIX_SERIAL)

STREAMS = (
    OutStream(0, (TIMING, IPM, SCAN, EPICS)),
    *(OutStream(1 + i, (panel,)) for i, panel in enumerate(JUNGFRAU)),
    OutStream(1 + N_PANELS, (EPIX,)),
)
EVENT_CODES = {"evr/code_90": 90, "evr/code_91": 91, "evr/code_137": 137, "evr/code_162": 162}
N_WORDS = 18

DROPPED, TRUNCATED = 1 << 4, 1
"""Damage of a datagram that lacks a contribution; and of a contribution."""

TICK = 1_000_000
"""Nanoseconds that a transition is before the events it belongs to, or after them."""


class RawRun:
    """Writes the raw data, block after block of events.

    Parameters
    ----------
    out : RunWriter
        Of the streams of `STREAMS`.
    shots : Shots
        What happens.
    """

    def __init__(self, out: RunWriter, shots: Shots) -> None:
        self._out, self._shots, self._step = out, shots, -1
        self._times: NDArray[np.uint64] = shots.columns["timestamp"].astype(np.uint64)
        self._codes = event_words(shots)
        first = int(self._times[0])
        out.configure(first - 5 * TICK, STREAMS)
        out.begin_run(first - 4 * TICK)

    def write(self, step: int, block: slice, raw: NDArray[np.uint16]) -> None:
        """Write a block of events, with the frames of the jungfrau."""
        if step != self._step:
            self._begin_step(step, int(self._times[block.start]))
        line = self._shots.line(block)
        for i, event in enumerate(range(block.start, block.stop)):
            damage: dict[int, int] = {}
            data = [*self._scalars(event), *self._panels(event, raw[i], damage)]
            if event % EPIX_EVERY == 0:
                data.append(OutData(EPIX, {"raw": line[i]}))
            self._out.event(int(self._times[event]), data, damage=damage)

    def _begin_step(self, step: int, first: int) -> None:
        if step:
            self._end_step(int(self._times[self._last_before(first)]))
        self._step = step
        text = json.dumps({"detname": "scan", "step": step})
        values = {"lxt": DELAYS_PS[step] * 1e-12, "step_value": float(step), "step_docstring": text}
        self._out.transition(Service.BEGIN_STEP, first - 3 * TICK, [OutData(SCAN, values)])
        if step == len(DELAYS_PS) // 2:
            self._out.roll_over(first - 2 * TICK, {1: None})  # the files of one panel pass the limit
        else:
            self._out.transition(Service.ENABLE, first - 2 * TICK)
        temperature = OutData(EPICS, {"XPP:LAS:TEMP": 21.0 + 0.05 * step})
        self._out.transition(Service.SLOW_UPDATE, first - TICK, [temperature])

    def _last_before(self, time: int) -> int:
        return int(np.searchsorted(self._times, np.uint64(time))) - 1

    def _end_step(self, last: int) -> None:
        self._out.transition(Service.DISABLE, last + TICK)
        self._out.transition(Service.END_STEP, last + 2 * TICK)

    def end(self) -> None:
        """End the run."""
        self._end_step(int(self._times[-1]))
        self._out.transition(Service.END_RUN, int(self._times[-1]) + 3 * TICK)

    def _scalars(self, event: int) -> tuple[OutData, OutData]:
        columns = self._shots.columns
        timing = {"pulseId": 10**9 + 7583 * event, "sequenceValues": self._codes[event]}
        beam = {"sum": columns["ipm2/sum"][event], "channels": columns["ipm2/channels"][event]}
        return OutData(TIMING, timing), OutData(IPM, beam)

    def _panels(self, event: int, raw: NDArray[np.uint16], damage: dict[int, int]) -> list[OutData]:
        """Return the panels that are there, and note the datagrams that lack theirs."""
        there, damaged = (flags[event] for flags in self._shots.panels)
        damage.update({1 + i: DROPPED for i in range(N_PANELS) if not there[i]})
        return [
            OutData(panel, {"raw": raw[i][None], "frame_cnt": event}, TRUNCATED if damaged[i] else 0)
            for i, panel in enumerate(JUNGFRAU)
            if there[i]
        ]


def event_words(shots: Shots) -> NDArray[np.uint16]:
    """Return (n_events, N_WORDS) words: bit n % 16 of word n // 16 is event code n."""
    words = np.zeros((shots.n_events, N_WORDS), np.uint16)
    for name, code in EVENT_CODES.items():
        words[:, code // 16] |= shots.columns[name].astype(np.uint16) << np.uint16(code % 16)
    return words


def open_raw_run(folder: Path, experiment: str, run: int) -> RunWriter:
    """Open the files for writing."""
    return RunWriter(folder, experiment, run, streams=[stream.number for stream in STREAMS])
