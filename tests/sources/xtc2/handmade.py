"""xtc2 bytes made by hand, one trap at a time; on purpose nothing of this comes from the package."""

from __future__ import annotations

import struct
from collections.abc import Sequence

PARENT, SHAPES_DATA, SHAPES, DATA, NAMES = range(5)
CONFIGURE, UNCONFIGURE, BEGIN_RUN, END_RUN, BEGIN_STEP, END_STEP, ENABLE, DISABLE, SLOW_UPDATE = range(2, 11)
L1_ACCEPT = 12

U1, U2, U4, U8, I1, I2, I4, I8, F4, F8, TEXT, ENUM, LABEL = range(13)
FORMATS = "BHIQbhiqfdBii"

GARBAGE = b"\xc3garbage"
Field = tuple[str, int, int]
"""Name, type and rank."""


def xtc(kind: int, payload: bytes, *, src: int = 0, damage: int = 0, extent: int | None = None) -> bytes:
    size = 12 + len(payload) if extent is None else extent
    return struct.pack("<IHHI", src, damage, kind, size) + payload


def dgram(service: int, time: int, *parts: bytes, damage: int = 0, extent: int | None = None) -> bytes:
    """Make a datagram; `time` is packed (seconds << 32 | nanoseconds)."""
    head = struct.pack("<III", time & 0xFFFFFFFF, time >> 32, service << 24 | 1)
    return head + xtc(PARENT, b"".join(parts), damage=damage, extent=extent)


def string(text: str | bytes) -> bytes:
    """Make a string of 256 bytes with garbage behind its end, as real writers leave it."""
    raw = text.encode() if isinstance(text, str) else text
    return (raw + b"\0" + GARBAGE * 40)[:256]


def names(
    key: int,
    detector: str | bytes,
    fields: Sequence[Field],
    *,
    alg: str = "raw",
    segment: int = 0,
    kind: str = "kind",
    n_arrays: int | None = None,
    version: tuple[int, int, int] = (1, 2, 3),
) -> bytes:
    major, minor, micro = version
    n = sum(rank > 0 for _, _, rank in fields) if n_arrays is None else n_arrays
    payload = struct.pack("<I", n) + string(kind) + string(detector) + string("id_1") + string(alg)
    payload += struct.pack("<II", major << 16 | minor << 8 | micro, segment)
    for name, code, rank in fields:
        payload += string("") + struct.pack("<I", 0) + string(name) + struct.pack("<II", code, rank)
    return xtc(NAMES, payload, src=key)


def scalar(code: int, value: float) -> bytes:
    return struct.pack("<" + FORMATS[code], value)


def shape(*dims: int) -> bytes:
    """Make the five words of a shape, the unused ones full of garbage."""
    return struct.pack("<5I", *(*dims, *(0xDEADBEEF,) * (5 - len(dims))))


def values(
    key: int,
    data: bytes,
    shapes: Sequence[bytes] = (),
    *,
    damage: int = 0,
    data_first: bool = False,
    tail: bytes = b"",
    with_shapes: bool | None = None,
) -> bytes:
    """Make a ShapesData. Without array fields Shapes are left out unless asked for."""
    both = [xtc(SHAPES, b"".join(shapes) + tail), xtc(DATA, data)]
    if not (bool(shapes) if with_shapes is None else with_shapes):
        both = both[1:]
    return xtc(SHAPES_DATA, b"".join(reversed(both) if data_first else both), src=key, damage=damage)


# ---------------------------------------------------------------- files

RUNINFO = names(1, "runinfo", [("expt", TEXT, 1), ("runnum", U4, 0)], alg="runinfo")
CHUNKINFO = names(2, "chunkinfo", [("chunkid", U4, 0), ("filename", TEXT, 1)], alg="chunkinfo")
SMDINFO = names(0x20000, "smdinfo", [("intOffset", U8, 0), ("intDgramSize", U8, 0)], alg="offsetAlg")
COUNTER = names(9, "counter", [("value", U4, 0)])


def second(n: float) -> int:
    """Return the packed time of a number of seconds."""
    return int(n) << 32 | int(n % 1 * 10**9)


def begin_run(time: int, experiment: str = "xpptest", run: int = 7) -> bytes:
    text = experiment.encode() + b"\0"
    return dgram(BEGIN_RUN, time, values(1, text + scalar(U4, run), [shape(len(text))]))


def enable_chunk(time: int, name: str | bytes, number: int = 1) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    return dgram(ENABLE, time, values(2, scalar(U4, number) + raw, [shape(len(raw))]))


def event(time: int, value: int, **options: int) -> bytes:
    return dgram(L1_ACCEPT, time, values(9, scalar(U4, value)), **options)


def pointer(time: int, offset: int, size: int) -> bytes:
    """Make an event of an smd file: 76 bytes, with empty Shapes, as the field's writer makes them."""
    return dgram(L1_ACCEPT, time, values(0x20000, struct.pack("<QQ", offset, size), with_shapes=True))


def configure(*blocks: bytes, time: int = 0) -> bytes:
    return dgram(CONFIGURE, time, *blocks)


def data_file(n_events: int, *, first: int = 1, experiment: str = "xpptest", run: int = 7) -> bytes:
    """Make a whole small file: Configure, BeginRun, Enable, events with the values 0, 10, 20, ..."""
    head = configure(RUNINFO, CHUNKINFO, COUNTER) + begin_run(second(0.1), experiment, run)
    head += dgram(ENABLE, second(0.2))
    return head + b"".join(event(second(first + i), 10 * i) for i in range(n_events))


def index_of(*files: bytes) -> bytes:
    """Make the smd file of files of events, one after another."""
    out = []
    for data in files:
        at = 0
        while at < len(data):
            size = 12 + struct.unpack_from("<I", data, at + 20)[0]
            whole, service = data[at : at + size], struct.unpack_from("<I", data, at + 8)[0] >> 24 & 0xF
            low, high = struct.unpack_from("<II", data, at)
            if service == L1_ACCEPT:
                out.append(pointer(high << 32 | low, at, size))
            elif service == CONFIGURE:
                out.append(dgram(CONFIGURE, high << 32 | low, whole[24:], SMDINFO))
            else:
                out.append(whole)
            at += size
    return b"".join(out)
