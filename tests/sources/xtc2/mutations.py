"""Damaged runs by number, and what reading them may do: give an error of ours, or data; in bounds.

`python -m tests.sources.xtc2.mutations FUNCTION FIRST STOP` reads the runs FIRST to STOP - 1 with a function
"module:name" that takes a folder and reads everything in it. It prints one line of JSON, see `Report`.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cubeengine.errors import SourceFormatError
from tests.sources.xtc2 import handmade as hand

ROOT = Path(__file__).resolve().parents[3]
SPARE_NBYTES = 256 * 1024 * 1024
"""Memory that reading may take beyond the size of the files."""
SECONDS = 300
"""Time that reading one run may take, with much to spare: it takes some ms."""

Read = Callable[[Path], object]
Spots = dict[str, list[tuple[int, int]]]
"""Kind -> places and sizes of numbers of that kind."""


# ---------------------------------------------------------------- the runs that are damaged

_ENUM = [("gain:GainEnum", hand.ENUM, 0), ("High:GainEnum", hand.LABEL, 0), ("Low:GainEnum", hand.LABEL, 0)]
_CAMERA = [("n", hand.U1, 0), ("frame", hand.U2, 2), ("wave", hand.F4, 1)]
_COUNTER = [("value", hand.U4, 0)]
_CONFIG = [*_ENUM, ("label", hand.TEXT, 1)]
_SCAN = hand.names(12, "scan", [("motor", hand.F8, 0), ("text", hand.TEXT, 1)])
_EPICS = hand.names(13, "epics", [("A:B:C", hand.F8, 0), ("map", hand.I4, 2)])


def _camera(i: int) -> bytes:
    data = bytes([i]) + struct.pack("<6H", *range(i, i + 6)) + struct.pack("<2f", i, -i)
    return hand.values(10, data, [hand.shape(2, 3), hand.shape(2)], data_first=bool(i % 2), tail=b"\0" * 4)


def _slow(time: int, i: int) -> bytes:
    data = hand.scalar(hand.F8, i) + struct.pack("<4i", *range(4))
    return hand.dgram(hand.SLOW_UPDATE, time, hand.values(13, data, [hand.shape(2, 2)]))


def _step(time: int, i: int) -> bytes:
    text = f"step {i}".encode() + b"\0"
    part = hand.values(12, hand.scalar(hand.F8, i) + text, [hand.shape(len(text))])
    return hand.dgram(hand.BEGIN_STEP, time, part) + hand.dgram(hand.ENABLE, time + 1)


def _head(segment: int) -> bytes:
    names = (
        hand.names(9, "counter", _COUNTER, segment=segment),
        hand.names(10, "camera", _CAMERA, segment=segment),
        hand.names(11, "camera", _CONFIG, segment=segment, alg="config"),
    )
    config = hand.values(11, struct.pack("<3i", 5, 5, -2) + b"abc\0", [hand.shape(4)])
    blocks = (hand.RUNINFO, hand.CHUNKINFO, *names, _SCAN, _EPICS, config)
    return hand.configure(*blocks) + hand.begin_run(hand.second(0.5))


def _events(first: int, n: int, *, nested: bool = False) -> bytes:
    out = []
    for i in range(first, first + n):
        parts = (hand.values(9, hand.scalar(hand.U4, i)), _camera(i))
        inner = [hand.xtc(hand.PARENT, b"".join(parts))] if nested else parts
        out.append(hand.dgram(hand.L1_ACCEPT, hand.second(10 + i), *inner))
    return b"".join(out)


def whole_run() -> dict[str, bytes]:
    """Return the files of a small run: two streams, one of them in two chunks, with and without smd file."""
    first = _head(0) + _step(hand.second(1), 0) + _slow(hand.second(2), 0) + _events(0, 3)
    first += hand.enable_chunk(hand.second(15), "xpptest-r0007-s000-c001.xtc2")
    second = _events(6, 2) + _slow(hand.second(19), 1) + hand.dgram(hand.END_RUN, hand.second(30))
    names = hand.names(9, "counter", _COUNTER, segment=3)
    again = hand.dgram(hand.UNCONFIGURE, hand.second(15)) + hand.configure(names, time=hand.second(15.5))
    other = _head(3) + _step(hand.second(1), 0) + _events(0, 3, nested=True) + again
    other += hand.event(hand.second(16), 6) + hand.event(hand.second(17), 7)
    return {
        "xpptest-r0007-s000-c000.xtc2": first,
        "xpptest-r0007-s000-c001.xtc2": second,
        "xpptest-r0007-s003-c000.xtc2": other,
        "smalldata/xpptest-r0007-s000-c000.smd.xtc2": hand.index_of(first, second),
    }


# ---------------------------------------------------------------- where a file can be damaged


def spots(data: bytes) -> Spots:
    """Find the numbers of a whole file, by kind."""
    found: Spots = {}
    at = 0
    while at < len(data):
        size = 12 + struct.unpack_from("<I", data, at + 20)[0]
        for kind, place, width in (("time", 0, 4), ("time", 4, 4), ("env", 8, 4), ("service", 11, 1)):
            found.setdefault(kind, []).append((at + place, width))
        _spots_in(data, at + 12, at + size, found)
        at += size
    return found


def _spots_in(data: bytes, start: int, stop: int, found: Spots) -> None:
    """Note what is in the Xtcs that fill a range."""
    while start < stop:
        kind, extent = struct.unpack_from("<HI", data, start + 6)
        for name, place, width in (("src", 0, 4), ("damage", 4, 2), ("type", 6, 2), ("extent", 8, 4)):
            found.setdefault(name, []).append((start + place, width))
        inside, end = start + 12, start + extent
        if kind in (hand.PARENT, hand.SHAPES_DATA):
            _spots_in(data, inside, end, found)
        elif kind == hand.NAMES:
            _spots_of_names(inside, end, found)
        else:
            width = 4 if kind == hand.SHAPES else 8 if extent == 28 else 1
            known = found.setdefault("shape" if width == 4 else "pointer" if width == 8 else "data", [])
            known += [(place, width) for place in range(inside, end - width + 1, width)]
        start = end


def _spots_of_names(start: int, stop: int, found: Spots) -> None:
    found.setdefault("names", []).extend([(start, 4), (start + 1028, 4), (start + 1032, 4)])
    found.setdefault("string", []).extend((start + 4 + 256 * i + j, 1) for i in range(4) for j in range(9))
    for entry in range(start + 1036, stop, 524):
        found.setdefault("field", []).extend([(entry + 516, 4), (entry + 520, 4)])
        found.setdefault("string", []).extend((entry + 260 + j, 1) for j in range(14))


# ---------------------------------------------------------------- damage


def damaged(number: int, run: dict[str, bytes], known: dict[str, Spots]) -> dict[str, bytes]:
    """Return the files that are other in damaged run `number`: always the same for the same number."""
    rng = random.Random(f"xtc2 {number}")
    name = rng.choice(sorted(run))
    content = bytearray(run[name])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if rng.random() < 0.9:
            kinds = known[name]
            place, width = rng.choice(kinds[rng.choice(sorted(kinds))])
            _change(content, place, width, rng)
        else:
            _move(content, rng)
    return {name: bytes(content)}


def _change(content: bytearray, place: int, width: int, rng: random.Random) -> None:
    """Put another number into a place, one that is likely to do harm."""
    if place + width > len(content):
        return
    old, most = int.from_bytes(content[place : place + width], "little"), 256**width - 1
    near = old + rng.choice((-12, -8, -4, -1, 1, 4, 8, 12, 24))
    round_number = rng.choice(
        (0, 1, 2, 3, 11, 12, 13, 24, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, most)
    )
    value = rng.choice((near, round_number, old ^ 1 << rng.randrange(8 * width), rng.randrange(most + 1)))
    content[place : place + width] = (value & most).to_bytes(width, "little")


def _move(content: bytearray, rng: random.Random) -> None:
    """Cut off, take out, repeat, or overwrite some bytes."""
    start, size = rng.randrange(len(content) + 1), rng.choice((1, 4, 12, 24, 76, 500))
    piece = content[start : start + size]
    match rng.randrange(4):
        case 0:
            del content[start:]
        case 1:
            del content[start : start + size]
        case 2:
            content[start:start] = piece
        case 3:
            place = rng.randrange(len(content) + 1)
            content[place : place + len(piece)] = piece


# ---------------------------------------------------------------- reading, with limits


@dataclass
class Report:
    """How many runs gave errors of ours, how many gave data; and what should not have been."""

    errors: int = 0
    read: int = 0
    faults: list[str] = field(default_factory=list)


def read_damaged(read: Read, numbers: Iterator[int] | range, folder: Path, report: Report) -> None:
    """Read damaged runs one after another in a folder of their own."""
    run = whole_run()
    known = {name: spots(content) for name, content in run.items()}
    _write(folder, run)
    for number in numbers:
        (folder.parent / "number").write_text(str(number))
        changed = damaged(number, run, known)
        _write(folder, changed)
        read_once(read, folder, f"run {number}", report)
        _write(folder, {name: run[name] for name in changed})


def read_once(read: Read, folder: Path, what: str, report: Report) -> None:
    """Read one run, and note what came of it."""
    signal.alarm(SECONDS)  # kills: compiled code would not notice an exception
    try:
        read(folder)
    except SourceFormatError as err:
        report.errors += 1
        if not str(err).startswith(str(folder)) and str(folder) not in str(err):
            report.faults.append(f"{what}: the error names no file: {err}")
    except Exception as err:
        report.faults.append(f"{what}: {type(err).__name__}: {err}")
    else:
        report.read += 1
    finally:
        signal.alarm(0)


def limit_memory(folder: Path) -> None:
    """Let this process take no more beyond what it has than the size of the files and some to spare."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    most = pages * os.sysconf("SC_PAGE_SIZE") + files + SPARE_NBYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def write_run(folder: Path) -> None:
    """Write the whole run into a folder."""
    _write(folder, whole_run())


def _write(folder: Path, run: dict[str, bytes]) -> None:
    for name, content in run.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _function(name: str) -> Read:
    module, _, function = name.partition(":")
    found: Read = getattr(importlib.import_module(module), function)
    return found


def main(function: str, first: int, stop: int) -> None:
    """Read damaged runs in this process, which is then of no further use, and print the report."""
    read, report = _function(function), Report()
    with tempfile.TemporaryDirectory() as scratch:
        whole, folder = Path(scratch) / "whole", Path(scratch) / "damaged"
        write_run(whole)
        read(whole)  # compiles, and imports, before memory is limited
        limit_memory(whole)
        read_damaged(read, range(first, stop), folder, report)
    sys.stdout.write(json.dumps(asdict(report)) + "\n")


def in_child(function: str, first: int, stop: int) -> Report:
    """Read damaged runs in a process of its own, so that limits, and crashes, are its own."""
    command = [sys.executable, "-m", "tests.sources.xtc2.mutations", function, str(first), str(stop)]
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"TMPDIR": scratch}
        done: subprocess.CompletedProcess[Any] = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            number = next((path.read_text() for path in Path(scratch).rglob("number")), "none")
            fault = f"run {number}: the process ended with {done.returncode}: {done.stderr[-2000:]}"
            shutil.rmtree(scratch, ignore_errors=True)
            Path(scratch).mkdir()
            return Report(faults=[fault])
    return Report(**json.loads(done.stdout))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
