"""Writes runs with our writer, has psana read them, and compares: events, values, damage, steps, scan, EPICS.

    CUBEENGINE_PSANA_PYTHON=/path/to/python python -m tests.psana_check [CASE ...]

The variable names a Python that has psana (see `psana_read`). Prints what differs; status 0 if nothing does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine import demo, open_run
from cubeengine.sources.xtc2.writer import Service
from tests.makers import xtc2 as makers
from tests.waiting import PATIENCE

VARIABLE = "CUBEENGINE_PSANA_PYTHON"
READ = Path(__file__).with_name("psana_read.py")
Found = dict[str, Any]


def ask_psana(*arguments: str | Path) -> Any:
    """Return what psana reads."""
    command = [os.environ[VARIABLE], str(READ), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Yield every place where two values of JSON differ. NaN equals NaN."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            yield from differences(found.get(key, "nothing"), wanted.get(key, "nothing"), f"{where}/{key}")
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from differences(one, other, f"{where}[{i}]")
    elif found != wanted and not (found != found and wanted != wanted):
        yield f"{where}: psana has {found!r}, written was {wanted!r}"


def described(value: Any) -> Any:
    """Return a value as `psana_read` prints it."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": list(value.shape), "crc32": zlib.crc32(value.tobytes())}
    return value.item() if isinstance(value, np.generic) else value


# ---------------------------------------------------------------- what was written

STREAMS = (0, 1, 4)


def small_events(run: makers.SmallRun) -> list[Found]:
    """Return the events of the small run as psana is to see them, without what it adds."""
    epics = ("XPP:TEMP", "XPP:COUNT")
    return [
        {
            "timestamp": int(run.timestamps[i]),
            "step": int(run.step[i]),
            "streams": [small_stream(run, i, stream) for stream in STREAMS],
            "epics": {name: small_epics(run, i, name) for name in epics},
        }
        for i in range(len(run.timestamps))
    ]


def small_epics(run: makers.SmallRun, event: int, name: str) -> Any:
    there = run.valid[f"epics/{name}"][event]
    return described(run.columns[f"epics/{name}"][event]) if there else None


def small_stream(run: makers.SmallRun, event: int, stream: int) -> Found | None:
    """Return the datagram of one stream; what lies in a corrupted node cannot be seen."""
    fate = makers.FATES.get(event, makers.Fate())
    held = [
        name
        for name, (where, node) in makers.PLACES.items()
        if where == stream
        and run.present[name][event]
        and not (stream == 4 and fate.nodes.get(node, 0) & makers.CORRUPTED)
    ]
    present = any(run.present[name][event] for name, (where, _) in makers.PLACES.items() if where == stream)
    if not (present or stream in fate.datagrams):
        return None
    values = {}
    for name in held:
        values.update(small_values(run, event, name))
    return {
        "timestamp": int(run.timestamps[event]),
        "service": int(Service.EVENT),
        "env": (Service.EVENT << 24) | (1 << 22 | 0b101 if stream == 0 else 0),
        "damage": fate.datagrams.get(stream, 0),
        "damaged": {place(name): fate.contributions[name] for name in held if name in fate.contributions},
        "values": values,
    }


def place(name: str) -> str:
    detector, _, segment = name.partition("/")
    return f"{detector}/{segment or ('2' if detector == 'epix' else '0')}/raw"


def small_values(run: makers.SmallRun, event: int, name: str) -> Found:
    if name == "hsd":
        return {"hsd/0/raw/waveform": described(run.waveforms[event])}
    prefix = f"{name}/raw/"
    values = {
        f"{place(name)}/{field.removeprefix(prefix)}": described(column[event])
        for field, column in run.columns.items()
        if field.startswith(prefix)
    }
    if name == "ipm2":
        labels = {str(code): label.partition(":")[0] for label, code in makers.GAINS.items()}
        values["ipm2/0/raw/note"] = run.notes[event]
        values["ipm2/0/raw/gain"] = {"enum": values["ipm2/0/raw/gain"], "labels": labels}
    return values


# ---------------------------------------------------------------- cases


def check_small_run(folder: Path) -> list[str]:
    """Compare the small run with what psana's DataSource finds."""
    run = makers.write_small_run(folder)
    found = ask_psana(folder, makers.EXPERIMENT, makers.RUN)
    for event in found["events"]:
        del event["frames"]
        event["epics"] = {name: event["epics"].get(name) for name in ("XPP:TEMP", "XPP:COUNT")}
    wanted = {
        "expt": makers.EXPERIMENT,
        "runnum": makers.RUN,
        "steps": [{key: described(value) for key, value in step.items()} for step in run.steps],
        "events": small_events(run),
    }
    return list(differences(found, wanted))


def check_small_files(folder: Path) -> list[str]:
    """Compare every datagram of the small run, which is configured twice, file by file."""
    run = makers.write_small_run(folder, reconfigure=True)
    wanted, problems = small_events(run), []
    for i, stream in enumerate(STREAMS):
        files = ask_psana(*run.files[stream])
        dgrams = [dgram for file in files for dgram in file["dgrams"]]
        events = [dgram for dgram in dgrams if dgram["service"] == Service.EVENT]
        mine = [event["streams"][i] for event in wanted if event["streams"][i]]
        problems += differences(events, mine, f"stream {stream}: event")
        problems += _check_transitions(dgrams, run, stream)
        small = folder / "smalldata" / f"{run.files[stream][0].stem}.smd.xtc2"
        problems += _check_small_data(dgrams, files, ask_psana(small)[0], stream)
    return problems


def _check_transitions(dgrams: list[Found], run: makers.SmallRun, stream: int) -> Iterator[str]:
    transitions = [dgram for dgram in dgrams if dgram["service"] != Service.EVENT]
    service = Service.SLOW_UPDATE
    n_steps = len(run.steps)
    names = [Service(dgram["service"]).name for dgram in transitions if dgram["service"] != service]
    step = ["BEGIN_STEP", "ENABLE", "DISABLE", "END_STEP"]
    order = [
        "CONFIGURE",
        "BEGIN_RUN",
        *step * 3,
        "UNCONFIGURE",
        "CONFIGURE",
        *step * (n_steps - 3),
        "END_RUN",
    ]
    yield from differences(names, order, f"stream {stream}: transition")
    if stream == 0:
        scan = [dgram["values"] for dgram in transitions if dgram["service"] == Service.BEGIN_STEP]
        steps = [{f"scan/0/raw/{key}": described(v) for key, v in step.items()} for step in run.steps]
        yield from differences(scan, steps, "scan")
        epics = [dgram["values"] for dgram in transitions if dgram["service"] == service]
        yield from differences([values["epics/0/raw/XPP:STATE"] for values in epics],
                               [f"state {i}" for i in range(n_steps)], "epics")  # fmt: skip


def _check_small_data(dgrams: list[Found], files: list[Found], small: Found, stream: int) -> Iterator[str]:
    """Compare the small-data file: the same datagrams, those of events without their content."""
    configs = [config for file in files for config in file["configs"]]
    for config in small["configs"]:
        pointer = config.pop("smdinfo/0/offsetAlg")
        yield from differences(pointer["fields"], ["intDgramSize", "intOffset"], "smdinfo")
    yield from differences(small["configs"], configs, f"small data {stream}: Configure")
    for one, other in zip(small["dgrams"], dgrams, strict=True):
        if one["service"] == Service.EVENT:
            one["values"], other = {}, other | {"values": {}, "damage": 0, "damaged": {}}
        if one["service"] == Service.END_RUN:
            other = other | {"values": {}}
        yield from differences(one, other, f"small data {stream}")


def check_frames(folder: Path) -> list[str]:
    """Compare frames of three segments in two streams."""
    run = makers.write_frame_run(
        folder, n_events=30, shape=(8, 6), dtype="f4", n_segments=3, n_streams=2, n_steps=3
    )
    found = ask_psana(folder, makers.EXPERIMENT, makers.RUN)
    segments = ((0, 2), (1,))
    frames = run.frames()
    wanted = []
    for i in range(30):
        streams = [{f"camera/{s}/raw/raw": described(frames[i, s]) for s in held} for held in segments]
        beam = {"x": run.x[i], "i0": run.i0[i], "codes": run.codes[i]}
        streams[0].update({f"beam/0/raw/{name}": described(value) for name, value in beam.items()})
        wanted.append(streams)
    values = [[stream["values"] for stream in event["streams"]] for event in found["events"]]
    stamps = [event["timestamp"] for event in found["events"]]
    return [*differences(values, wanted, "event"), *differences(stamps, run.timestamps.tolist(), "timestamp")]


def check_scalars(folder: Path) -> list[str]:
    """Compare many small events written at once, which streams lack now and then."""
    run = makers.write_scalar_run(folder, n_events=3000, n_streams=2, presence=0.9)
    found = ask_psana(folder, makers.EXPERIMENT, makers.RUN)
    kept = np.flatnonzero(run.present.any(axis=0))
    wanted = [
        [{f"scalar{s}/0/raw/value": run.values[s, i].item()} if run.present[s, i] else None for s in range(2)]
        for i in kept
    ]
    values = [[stream and stream["values"] for stream in event["streams"]] for event in found["events"]]
    stamps = [event["timestamp"] for event in found["events"]]
    return [
        *differences(values, wanted, "event"),
        *differences(stamps, run.timestamps[kept].tolist(), "time"),
    ]


def check_demo(folder: Path) -> list[str]:
    """Compare the frames of the demonstration run, as psana puts panels together and as our reader does."""
    demo.write_run(folder, n_events=400)
    raw = folder / demo.RAW_FOLDER
    found = ask_psana(raw, demo.EXPERIMENT, demo.RUN)
    run = open_run(raw)
    wanted = [{"timestamp": time} for time in run.timestamps.tolist()]
    for name in ("jungfrau", "epix"):
        column = run.column(f"{name}/raw/raw")
        for event, frame, whole in zip(wanted, column.data, column.valid, strict=True):
            event[name] = described(frame) if whole else None
    lost = {event["timestamp"] for event in wanted if event["jungfrau"] is None}
    events = [{"timestamp": event["timestamp"], **event["frames"]} for event in found["events"]]
    for event in events:
        if event["timestamp"] in lost:  # psana gives damaged panels too
            event["jungfrau"] = None
    return list(differences(events, wanted))


CASES: dict[str, Callable[[Path], list[str]]] = {
    "small-run": check_small_run,
    "small-files": check_small_files,
    "frames": check_frames,
    "scalars": check_scalars,
    "demo": check_demo,
}


def main(names: list[str]) -> int:
    """Run cases and print what differs."""
    if VARIABLE not in os.environ:
        print(f"set {VARIABLE} to a Python that has psana", file=sys.stderr)  # noqa: T201
        return 2
    bad = 0
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            problems = CASES[name](Path(folder))
        bad += len(problems)
        print(f"{name}: {'as written' if not problems else f'{len(problems)} differences'}")  # noqa: T201
        for problem in problems[:20]:
            print(f"  {problem}")  # noqa: T201
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
