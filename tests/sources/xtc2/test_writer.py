"""The bytes that the writer writes, taken apart by hand: nothing of the reader is used here."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service
from tests.makers import xtc2 as makers

CAMERA = OutNames("cam", (OutField("flag", "u1"), OutField("raw", "u2", 2)), segment=3)
FRONT = OutNames("front", (OutField("raw", "f4", 1), OutField("n", "u4")), data_first=True, node=1)
SCALAR = OutNames("scalar", (OutField("n", "u4"),), data_first=True)
TEXT = OutNames("note", (OutField("text", "text"),))
NANOSECONDS, EXPERIMENT = 7, "xppx"
FRAME = np.arange(6, dtype=np.uint16).reshape(2, 3)


def dgrams(path: Path) -> list[tuple[int, int, int, int, bytes]]:
    """Return (timestamp, service, damage, offset, payload) of every datagram."""
    content, position, found = path.read_bytes(), 0, []
    while position < len(content):
        ns, sec, env, _, damage, kind, extent = struct.unpack_from("<4I2HI", content, position)
        assert kind == 0
        payload = content[position + 24 : position + 12 + extent]
        assert len(payload) == extent - 12
        found.append((sec << 32 | ns, env >> 24, damage, position, payload))
        position += 12 + extent
    return found


def xtcs(payload: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (src, damage, type, payload) of what lies in a container, which it fills."""
    while payload:
        src, damage, kind, extent = struct.unpack_from("<I2HI", payload)
        assert 12 <= extent <= len(payload)
        yield src, damage, kind, payload[12:extent]
        payload = payload[extent:]


def write(folder: Path, streams: list[OutStream], **options: Any) -> RunWriter:
    out = RunWriter(folder, EXPERIMENT, 5, streams=[stream.number for stream in streams], **options)
    out.configure(1 << 32, streams)
    return out


def events_of(path: Path) -> list[bytes]:
    return [payload for _, service, _, _, payload in dgrams(path) if service == Service.EVENT]


def test_event_is_laid_out_as_the_format_says(tmp_path: Path) -> None:
    with write(tmp_path, [OutStream(2, (CAMERA,), env=5)]) as out:
        out.event(
            3 << 32 | NANOSECONDS, [OutData(CAMERA, {"flag": 9, "raw": FRAME}, damage=2)], damage={2: 32}
        )

    content = (tmp_path / "xppx-r0005-s002-c000.xtc2").read_bytes()
    key, shape, values = 33 << 8, (2, 3, 0, 0, 0), struct.pack("<B6H", 9, *range(6))
    event = struct.pack("<4I2HI", NANOSECONDS, 3, 0x0C000005, 0, 32, 0, 12 + 12 + 32 + 25)
    event += struct.pack("<I2HI", key, 2, 1, 12 + 32 + 25)
    event += struct.pack("<I2HI5I", 0, 0, 2, 32, *shape) + struct.pack("<I2HI", 0, 0, 3, 25) + values
    assert content.endswith(event)
    assert dgrams(tmp_path / "xppx-r0005-s002-c000.xtc2")[-1][3] == len(content) - len(event)


def test_names_describe_detector_and_fields(tmp_path: Path) -> None:
    with write(tmp_path, [OutStream(0, (CAMERA, TEXT))]):
        pass

    configure = dgrams(tmp_path / "xppx-r0005-s000-c000.xtc2")[0][4]
    found = [(src, kind, payload) for src, _, kind, payload in xtcs(configure)]
    assert [src for src, _, _ in found] == [0x100, 0x101, 0x1FF, 0x1FC]
    names = found[0][2]
    assert len(names) == 1036 + 2 * 524
    assert struct.unpack_from("<I", names) == (1,)  # fields that are arrays
    texts = [names[start : start + 256].split(b"\0")[0] for start in (4, 260, 516, 772)]
    assert texts == [b"cam", b"cam", b"", b"raw"]
    assert struct.unpack_from("<2I", names, 1028) == (2 << 16, 3)
    assert names[1036 + 524 + 260 :].startswith(b"raw\0")
    assert struct.unpack_from("<2I", names, 1036 + 524 + 516) == (1, 2)  # u2, rank 2
    assert struct.unpack_from("<2I", found[1][2], 1036 + 516) == (10, 1)  # text, rank 1


def test_values_come_first_where_a_front_end_writes(tmp_path: Path) -> None:
    with write(tmp_path, [OutStream(0, (FRONT, SCALAR))]) as out:
        values = np.array([1.5, 2.5], np.float32)
        out.event(2 << 32, [OutData(FRONT, {"raw": values, "n": 7}), OutData(SCALAR, {"n": 8})])

    (event,) = events_of(tmp_path / "xppx-r0005-s000-c000.xtc2")
    first, second = [list(xtcs(payload)) for _, _, _, payload in xtcs(event)]
    assert [kind for _, _, kind, _ in first] == [3, 2]
    assert first[0][3] == struct.pack("<2fI", 1.5, 2.5, 7)
    assert [(kind, payload) for _, _, kind, payload in second] == [(3, struct.pack("<I", 8))]  # no shapes


def test_text_ends_with_nul_in_a_multiple_of_four(tmp_path: Path) -> None:
    with write(tmp_path, [OutStream(0, (TEXT,))]) as out:
        for text in ("", "abc", "Größe"):
            out.event(2 << 32, [OutData(TEXT, {"text": text})])

    found = []
    for event in events_of(tmp_path / "xppx-r0005-s000-c000.xtc2"):
        ((_, _, _, payload),) = xtcs(event)
        shapes, data = [content for _, _, _, content in xtcs(payload)]
        assert struct.unpack_from("<I", shapes) == (len(data),)
        found.append(data)
    assert found == [b"\0" * 4, b"abc\0", "Größe".encode() + b"\0"]


def test_nodes_have_parents_of_their_own(tmp_path: Path) -> None:
    with write(tmp_path, [OutStream(0, (FRONT, CAMERA), nested=True)]) as out:
        data = [OutData(FRONT, {"raw": [1.0], "n": 1}), OutData(CAMERA, {"flag": 1, "raw": FRAME})]
        out.event(2 << 32, data, node_damage={1: 8})

    (event,) = events_of(tmp_path / "xppx-r0005-s000-c000.xtc2")
    parents = list(xtcs(event))
    assert [(src, damage, kind) for src, damage, kind, _ in parents] == [(0, 0, 0), (1, 8, 0)]
    assert [[src for src, _, _, _ in xtcs(payload)] for _, _, _, payload in parents] == [[0x101], [0x200]]


def test_small_data_point_to_every_event_and_repeat_the_rest(tmp_path: Path) -> None:
    run = makers.write_small_run(tmp_path)
    for stream, files in run.files.items():
        small = dgrams(tmp_path / "smalldata" / f"xpptest24-r0031-s{stream:03d}-c000.smd.xtc2")
        big = [dgram for file in files for dgram in dgrams(file)]
        assert [(time, service) for time, service, *_ in small] == [
            (time, service) for time, service, *_ in big
        ]
        for (_, service, damage, _, payload), whole in zip(small[1:], big[1:], strict=True):
            if service == Service.EVENT:
                assert (len(payload), damage) == (52, 0)
                assert struct.unpack("<2Q", payload[-16:]) == (whole[3], 24 + len(whole[4]))
            else:
                assert payload == (b"" if service == Service.END_RUN else whole[4])


def test_next_chunk_begins_with_events(tmp_path: Path) -> None:
    files = makers.write_small_run(tmp_path).files[1]

    assert [path.name for path in files] == [
        "xpptest24-r0031-s001-c000.xtc2",
        "xpptest24-r0031-s001-c001.xtc2",
        "unrelated-r0001-s009-c007.xtc2",
    ]
    for before, after in pairwise(files):
        last = dgrams(before)[-1]
        assert last[1] == Service.ENABLE
        assert after.name.encode() in last[4]
        assert dgrams(after)[0][1] == Service.EVENT
        assert Service.CONFIGURE not in {service for _, service, *_ in dgrams(after)}


def test_events_at_once_are_those_written_one_by_one(tmp_path: Path) -> None:
    n = 5000
    times, frames = makers.packed_times(n), np.arange(n * 6).reshape(n, 2, 3).astype(np.uint16)
    flags, damage = np.arange(n) % 200, np.arange(n) % 3
    streams = [OutStream(0, (CAMERA,)), OutStream(3, (SCALAR,))]
    with write(tmp_path / "many", streams) as out:
        out.events(times, [OutData(CAMERA, {"flag": flags, "raw": frames}, damage)], damage={0: damage * 2})
        out.events(times[::7], [OutData(SCALAR, {"n": flags[::7]})])
    with write(tmp_path / "single", streams) as out:
        for i in range(n):
            data = [OutData(CAMERA, {"flag": flags[i], "raw": frames[i]}, int(damage[i]))]
            data += [OutData(SCALAR, {"n": flags[i]})] if i % 7 == 0 else []
            out.event(int(times[i]), data, damage={0: int(damage[i] * 2)})

    for path in sorted((tmp_path / "many").rglob("*.xtc2")):
        other = tmp_path / "single" / path.relative_to(tmp_path / "many")
        assert path.read_bytes() == other.read_bytes()


def test_memory_does_not_grow_with_the_events(tmp_path: Path) -> None:
    times, values = makers.packed_times(400_000), np.zeros(400_000)
    block = OutNames("scalar", (OutField("value", "f8"),))
    with write(tmp_path, [OutStream(0, (block,))]) as out:
        tracemalloc.start()
        out.events(times, [OutData(block, {"value": values})])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert (tmp_path / "xppx-r0005-s000-c000.xtc2").stat().st_size > 25e6
    assert peak < 24e6  # the headers of all events, and a few blocks


def test_same_seed_writes_the_same_bytes_and_garbage_changes_no_size(tmp_path: Path) -> None:
    for name in ("a", "b"):
        makers.write_small_run(tmp_path / name)
    makers.write_small_run(tmp_path / "other", seed=9)

    for path in sorted((tmp_path / "a").rglob("*.xtc2")):
        same, other = (tmp_path / name / path.relative_to(tmp_path / "a") for name in ("b", "other"))
        assert path.read_bytes() == same.read_bytes() != other.read_bytes()
        assert path.stat().st_size == other.stat().st_size


def test_files_get_their_names_when_the_run_is_complete(tmp_path: Path) -> None:
    with write(tmp_path, [OutStream(0, (SCALAR,))]) as out:
        out.event(2 << 32, [OutData(SCALAR, {"n": 1})])
        assert {path.suffix for path in tmp_path.rglob("*.xtc2*")} == {".inprogress"}

    assert {path.suffix for path in tmp_path.rglob("*.xtc2*")} == {".xtc2"}


def test_run_that_fails_leaves_no_file(tmp_path: Path) -> None:
    out = write(tmp_path, [OutStream(0, (SCALAR,))])
    out.event(2 << 32, [OutData(SCALAR, {"n": 1})])
    out.roll_over(3 << 32, {0: None})
    with pytest.raises(KeyboardInterrupt), out:
        raise KeyboardInterrupt

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cubeengine.sources.xtc2.writer_files import GrowingFile

    def full(self: GrowingFile) -> None:
        self._file.close()
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(GrowingFile, "close", full)
    with pytest.raises(KeyboardInterrupt), write(tmp_path, [OutStream(0, (SCALAR,))]):
        raise KeyboardInterrupt
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (OutData(CAMERA, {"raw": FRAME}), r"cam/raw has fields \['flag', 'raw'\], got \['raw'\]"),
        (OutData(CAMERA, {"flag": 1, "raw": FRAME[0]}), r"rank 2 and 1 events declared, got shape \(1, 3\)"),
        (OutData(CAMERA, {"flag": 300, "raw": FRAME}), "int64 values do not fit u1"),
        (OutData(CAMERA, {"flag": 1, "raw": FRAME + 0.5}), "float64 values do not fit u2"),
        (OutData(TEXT, {"text": "a"}), "note/raw is not in a configured stream"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, data: OutData, message: str) -> None:
    with (
        pytest.raises(SourceFormatError, match=message),
        write(tmp_path, [OutStream(0, (CAMERA,))]) as out,
    ):
        out.event(2 << 32, [data])


def test_descriptions_that_the_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="type 'c8' is not one of"):
        OutField("x", "c8")
    with pytest.raises(SourceFormatError, match="no 'u2' of rank 6"):
        OutField("x", "u2", 6)
    with RunWriter(tmp_path, EXPERIMENT, 5, streams=[0]) as out:
        with pytest.raises(SourceFormatError, match="names end before 256"):
            out.configure(0, [OutStream(0, (OutNames("d" * 256, ()),))])
        with pytest.raises(SourceFormatError, match=r"streams \[0\] must all be described"):
            out.configure(0, [OutStream(1)])


def test_truth_of_the_small_run_adds_up(tmp_path: Path) -> None:
    run = makers.write_small_run(tmp_path)

    assert run.timestamps.dtype == np.uint64
    assert (np.diff(run.timestamps.astype(np.int64)) > 0).all()
    jungfrau = "jungfrau/raw/raw"
    assert run.columns[jungfrau].shape == (60, 2, 12, 16)
    assert not (run.valid[jungfrau] & run.damaged[jungfrau]).any()
    assert np.flatnonzero(run.damaged[jungfrau]).tolist() == [17, 23, 26, 38]
    assert np.flatnonzero(~run.valid["epix/raw/raw"]).tolist() == [6, 13, 20, 26, 27, 31, 34, 41, 48, 55]
    assert run.columns["epics/XPP:TEMP"][[5, 14, 15]].tolist() == [20.0, 20.0, 21.0]


def test_moments_of_a_pool_are_those_of_its_frames(tmp_path: Path) -> None:
    run = makers.write_frame_run(tmp_path, n_events=40, shape=(3, 4), n_segments=2)
    groups = np.floor(run.x / 5).astype(np.int64)
    groups[::7] = -1
    mean, spread = run.moments(groups, 2)

    for i in range(2):
        frames = run.frames(np.flatnonzero(groups == i)).astype(np.float64)
        np.testing.assert_allclose(mean[i], frames.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(spread[i], frames.std(axis=0), rtol=1e-11)
