"""Where the events of a stream lie, by smd file or by hopping; and which files make which streams."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import Place, Service, read_exactly
from cubeengine.sources.xtc2.hop import hop_file
from cubeengine.sources.xtc2.run_files import StreamFiles, find_run
from cubeengine.sources.xtc2.stream import Stream, open_stream
from cubeengine.sources.xtc2.values import decode
from cubeengine.types import RunId
from tests.sources.xtc2 import handmade as hand

COLUMNS = ("timestamp", "file", "offset", "size", "schema")


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_stream(
    folder: Path, *contents: bytes, index: bytes | None = None, growing: str = ""
) -> StreamFiles:
    """Write a stream of chunks called first.xtc2, c1.xtc2, c2.xtc2, ..., and its smd file."""
    names = ["first.xtc2", *(f"c{number}.xtc2" for number in range(1, len(contents)))]
    for name, content in zip(names, contents, strict=True):
        write(folder / (name + growing), content)
    smd = write(folder / "smalldata" / "first.smd.xtc2", hand.index_of(*contents) if index is None else index)
    return StreamFiles(0, folder / (names[0] + growing), smd)


def both(files: StreamFiles) -> list[Stream]:
    """Open a stream by its smd file and by hopping; both must say the same."""
    streams = [open_stream(files), open_stream(StreamFiles(files.number, files.data))]
    for name in COLUMNS:
        one, other = (getattr(stream.events, name) for stream in streams)
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert one.dtype == other.dtype
    return streams


def values_of(stream: Stream) -> list[dict[str, Any]]:
    """Read all events, as the index says."""
    events, found = stream.events, []
    for row in range(len(events)):
        file, offset = stream.files[events.file[row]], int(events.offset[row])
        data = file.path.read_bytes()[offset : offset + int(events.size[row])]
        parts = decode(data, stream.schemas[events.schema[row]], Place(file.path, offset))
        found.append({name: value for part in parts for name, value in part.values.items()})
    return found


# ---------------------------------------------------------------- one file


def test_the_index_is_the_same_from_smd_files_and_by_hopping(tmp_path: Path) -> None:
    for stream in both(write_stream(tmp_path, hand.data_file(5))):
        assert [item["value"] for item in values_of(stream)] == [0, 10, 20, 30, 40]
        assert stream.events.timestamp.tolist() == [hand.second(1 + i) for i in range(5)]
        assert [item.service for item in stream.transitions] == [2, 4, 8]
        assert stream.notes == ()


def test_transitions_have_their_values(tmp_path: Path) -> None:
    for stream in both(write_stream(tmp_path, hand.data_file(1))):
        begin = stream.transitions[1]
        assert begin.service is Service.BEGIN_RUN
        assert begin.contributions[0].values == {"expt": "xpptest", "runnum": 7}
        assert begin.schema == 0


def test_the_service_11_is_an_event(tmp_path: Path) -> None:
    last = hand.dgram(11, hand.second(9), hand.values(9, hand.scalar(hand.U4, 5)))

    stream = open_stream(StreamFiles(0, write(tmp_path / "a.xtc2", hand.data_file(2) + last)))

    assert [item["value"] for item in values_of(stream)] == [0, 10, 5]


def test_events_use_the_configure_before_them(tmp_path: Path) -> None:
    other = hand.names(9, "counter", [("extra", hand.U1, 0), ("value", hand.U2, 0)])
    again = hand.dgram(hand.UNCONFIGURE, hand.second(20)) + hand.configure(other, time=hand.second(21))
    late = hand.dgram(hand.L1_ACCEPT, hand.second(30), hand.values(9, b"\x01\x07\x00"))

    for stream in both(write_stream(tmp_path, hand.data_file(2) + again + late)):
        assert stream.events.schema.tolist() == [0, 0, 1]
        assert values_of(stream) == [{"value": 0}, {"value": 10}, {"extra": 1, "value": 7}]
        assert [item.schema for item in stream.transitions] == [0, 0, 0, 0, 1]


def test_a_file_without_events_is_a_stream_without_events(tmp_path: Path) -> None:
    for stream in both(write_stream(tmp_path, hand.data_file(0))):
        assert len(stream.events) == 0
        assert len(stream.transitions) == 3


@pytest.mark.parametrize("content", [b"", hand.data_file(1)[:1000], hand.dgram(hand.ENABLE, 1)])
def test_a_stream_without_a_whole_configure_is_an_error(tmp_path: Path, content: bytes) -> None:
    files = write_stream(tmp_path, hand.data_file(1), index=content)
    with pytest.raises(SourceFormatError, match=r"first.smd.xtc2: has no complete Configure"):
        open_stream(files)

    write(files.data, content)
    with pytest.raises(SourceFormatError, match=r"first.xtc2: has no complete Configure"):
        open_stream(StreamFiles(0, files.data))


def test_large_datagrams_between_small_ones_are_hopped_over(tmp_path: Path) -> None:
    frames = hand.names(20, "camera", [("frame", hand.U1, 1)])
    parts = [hand.configure(frames)]
    for i in range(200):
        size = (10, 50_000, 3000, 9)[i % 4]
        part = hand.values(20, bytes([i]) * size, [hand.shape(size)])
        parts.append(hand.dgram(hand.L1_ACCEPT, hand.second(i + 1), part))

    for stream in both(write_stream(tmp_path, b"".join(parts))):
        assert stream.events.size.tolist() == [len(part) for part in parts[1:]]
        assert [item["frame"][-1] for item in values_of(stream)] == list(range(200))


def many(first: int, n: int, offset: int | None = None) -> bytes:
    """Make n events of rising time: of a file of events, or pointers to those of one from `offset` on."""
    one = hand.event(0, 0) if offset is None else hand.pointer(0, 0, len(hand.event(0, 0)))
    rows = np.tile(np.frombuffer(one, np.uint8), (n, 1))
    rows[:, 4:8] = np.arange(first, first + n, dtype="<u4").view(np.uint8).reshape(n, 4)
    if offset is not None:
        offsets = offset + len(hand.event(0, 0)) * np.arange(n, dtype="<u8")
        rows[:, 60:68] = offsets.view(np.uint8).reshape(n, 8)
    return rows.tobytes()


def test_long_files_are_indexed_piece_by_piece(tmp_path: Path) -> None:
    n, other = 150_000, hand.configure(hand.COUNTER, hand.SMDINFO, time=hand.second(6))
    head, go_on = hand.data_file(0), hand.enable_chunk(hand.second(5), "c1.xtc2")
    contents = [head + many(10, n) + go_on, other + many(10 + n, n)]
    index = hand.index_of(head) + many(10, n, len(head)) + go_on + other + many(10 + n, n, len(other))

    for stream in both(write_stream(tmp_path, *contents, index=index)):
        assert np.bincount(stream.events.file).tolist() == [n, n]
        assert np.bincount(stream.events.schema).tolist() == [n, n]
        assert (np.diff(stream.events.timestamp >> np.uint64(32)) == 1).all()
        assert [item.service for item in stream.transitions] == [2, 4, 8, 8, 2]


@pytest.mark.parametrize("missing", [1, 23, 24, 40, 51])
def test_a_last_datagram_that_is_not_whole_is_left_off_and_noted(tmp_path: Path, missing: int) -> None:
    content = hand.data_file(3)
    files = write_stream(tmp_path, content[:-missing], index=hand.index_of(content))

    for stream in both(files):
        assert len(stream.events) == 2
        assert len(stream.notes) == 1
        assert "first.xtc2" in stream.notes[0]


def test_a_cut_smd_file_gives_the_events_it_has(tmp_path: Path) -> None:
    content = hand.data_file(3)

    stream = open_stream(write_stream(tmp_path, content, index=hand.index_of(content)[:-1]))

    assert len(stream.events) == 2
    assert "are left out" in stream.notes[0]


def test_an_event_that_its_file_ends_before_is_an_error_if_later_ones_are_there(tmp_path: Path) -> None:
    content = hand.data_file(3)
    index = bytearray(hand.index_of(content))
    struct.pack_into("<Q", index, len(index) - 2 * 76 + 60, 10**6)

    with pytest.raises(SourceFormatError, match=r"first.xtc2, byte 1,000,000: .*later events"):
        open_stream(write_stream(tmp_path, content, index=bytes(index)))


@pytest.mark.parametrize(("offset", "size"), [(2**63, 56), (100, 23), (100, 2**64 - 1), (2**62, 2**61)])
def test_pointers_that_no_file_can_have_are_errors(tmp_path: Path, offset: int, size: int) -> None:
    content = hand.data_file(3)
    index = bytearray(hand.index_of(content))
    struct.pack_into("<QQ", index, len(index) - 2 * 76 + 60, offset, size)

    with pytest.raises(SourceFormatError, match="smd"):
        open_stream(write_stream(tmp_path, content, index=bytes(index)))


@pytest.mark.parametrize("second", [1.0, 0.5])
def test_times_that_repeat_or_fall_are_errors(tmp_path: Path, second: float) -> None:
    content = hand.data_file(1) + hand.event(hand.second(second), 5)

    with pytest.raises(SourceFormatError, match=r"a.xtc2, byte [\d,]+: event 1 of the stream has the time"):
        open_stream(StreamFiles(0, write(tmp_path / "a.xtc2", content)))


def test_transitions_may_be_behind_events_of_later_times(tmp_path: Path) -> None:
    content = hand.data_file(1) + hand.dgram(hand.DISABLE, hand.second(5)) + hand.event(hand.second(4), 5)

    assert len(open_stream(StreamFiles(0, write(tmp_path / "a.xtc2", content))).events) == 2


def resized(content: bytes, more: int) -> bytes:
    """Let a datagram say another size."""
    return content[:20] + struct.pack("<I", len(content) - 12 + more) + content[24:]


def broken_files() -> list[Any]:
    whole = hand.data_file(2)
    odd = hand.event(hand.second(9), 1)
    return [
        pytest.param(whole + odd[:18] + b"\x01" + odd[19:], "type 1", id="type"),
        pytest.param(whole + odd[:20] + bytes(4), "says 12 bytes", id="extent-0"),
        pytest.param(whole + resized(odd, 5) + odd, "do not fit that", id="larger"),
        pytest.param(whole + resized(odd, len(odd)) + odd, "do not fit that", id="two-in-one"),
        pytest.param(whole + resized(odd, -12) + odd, "do not fit that", id="smaller"),
        pytest.param(whole + bytes(100), "says 12 bytes", id="zeros"),
        pytest.param(b"no xtc2 file at all, but text " * 9, "not an xtc2 file", id="text"),
        pytest.param(odd + whole, "before the first Configure", id="continuation"),
    ]


@pytest.mark.parametrize(("content", "message"), broken_files())
def test_files_that_are_no_datagrams_are_errors(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SourceFormatError, match=rf"a.xtc2, byte [\d,]+: .*{message}"):
        open_stream(StreamFiles(0, write(tmp_path / "a.xtc2", content)))


@pytest.mark.parametrize("part", [1, 24, 60])
def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(tmp_path: Path, part: int) -> None:
    path = write(tmp_path / "a.xtc2", hand.data_file(3)[:-part])
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(SourceFormatError, match=r"a.xtc2, byte [\d,]+: .*cut off meanwhile"):
            list(hop_file(descriptor, path, path.stat().st_size + part + 24))
        with pytest.raises(SourceFormatError, match=r"a.xtc2, byte [\d,]+: .*cut off meanwhile"):
            read_exactly(descriptor, 0, path.stat().st_size + 1, path)
    finally:
        os.close(descriptor)


def test_what_is_no_plain_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xtc2")
    for path, message in [
        ("pipe.xtc2", "not a regular file"),
        ("none.xtc2", "cannot be opened"),
        (".", "plain"),
    ]:
        with pytest.raises(SourceFormatError, match=message):
            open_stream(StreamFiles(0, tmp_path / path))


# ---------------------------------------------------------------- smd files of other forms


def odd_pointer(time: int, offset: int, size: int, form: str) -> bytes:
    whole = hand.pointer(time, offset, size)
    if form == "nested":
        return hand.dgram(hand.L1_ACCEPT, time, hand.xtc(hand.PARENT, whole[24:]))
    if form == "data first":
        data = struct.pack("<QQ", offset, size)
        part = hand.values(0x20000, data, with_shapes=True, data_first=True)
        return hand.dgram(hand.L1_ACCEPT, time, part)
    if form == "more":
        return hand.dgram(hand.L1_ACCEPT, time, hand.values(9, hand.scalar(hand.U4, offset)), whole[24:])
    return whole


@pytest.mark.parametrize("form", ["nested", "data first", "more", "mixed"])
def test_pointers_are_found_wherever_they_are(tmp_path: Path, form: str) -> None:
    content = hand.data_file(0)
    index, pointers = hand.index_of(content), b""
    for i in range(12):
        made = hand.event(hand.second(i + 1), i)
        kind = ("plain", "nested", "more", "data first")[i // 2 % 4] if form == "mixed" else form
        pointers += odd_pointer(hand.second(i + 1), len(content), len(made), kind)
        content += made

    for stream in both(write_stream(tmp_path, content, index=index + pointers)):
        assert [item["value"] for item in values_of(stream)] == list(range(12))


@pytest.mark.parametrize(
    "fields",
    [
        [("intDgramSize", hand.U8, 0), ("intOffset", hand.U8, 0)],
        [("a", hand.U1, 0), ("intOffset", hand.U8, 0), ("b", hand.U4, 0), ("intDgramSize", hand.U8, 0)],
        [("intOffset", hand.I8, 0), ("intDgramSize", hand.U4, 0)],
        [("n", hand.U1, 1), ("intOffset", hand.U8, 0), ("intDgramSize", hand.U8, 0)],
    ],
)
def test_pointers_may_be_declared_otherwise(tmp_path: Path, fields: list[hand.Field]) -> None:
    content = hand.data_file(0)
    info, pointers = hand.names(0x20001, "smdinfo", fields), b""
    for i in range(5):
        made = hand.event(hand.second(i + 1), i)
        known = {"intOffset": len(content), "intDgramSize": len(made)}
        data = b"".join(
            b"xy" if rank else hand.scalar(code, known.get(name, 1)) for name, code, rank in fields
        )
        shapes = [hand.shape(2) for _, _, rank in fields if rank]
        pointers += hand.dgram(hand.L1_ACCEPT, hand.second(i + 1), hand.values(0x20001, data, shapes))
        content += made
    index = hand.configure(hand.RUNINFO, hand.COUNTER, info) + pointers

    stream = open_stream(write_stream(tmp_path, content, index=index))

    assert [item["value"] for item in values_of(stream)] == list(range(5))


def test_an_smd_file_without_pointers_is_an_error(tmp_path: Path) -> None:
    content = hand.data_file(2)
    with pytest.raises(SourceFormatError, match="not an smd file"):
        open_stream(write_stream(tmp_path, content, index=content))

    index = hand.index_of(content) + hand.event(hand.second(9), 4)
    with pytest.raises(SourceFormatError, match="an event without 'smdinfo'"):
        open_stream(write_stream(tmp_path, content, index=index))


# ---------------------------------------------------------------- chunks


def chunked(*names: str | bytes) -> list[bytes]:
    """Make files that continue one another under these names: two events each, no Configure but the first."""
    contents = [hand.data_file(2)]
    for number, name in enumerate(names, 1):
        contents[-1] += hand.enable_chunk(hand.second(10 * number), name, number)
        contents.append(
            b"".join(hand.event(hand.second(10 * number + i), 100 * number + i) for i in (1, 2))
            + hand.dgram(hand.SLOW_UPDATE, hand.second(10 * number + 3))
        )
    return contents


def test_chunks_are_followed_by_the_names_inside(tmp_path: Path) -> None:
    for stream in both(write_stream(tmp_path, *chunked("c1.xtc2", b"c2.xtc2\0\0"))):
        assert [file.path.name for file in stream.files] == ["first.xtc2", "c1.xtc2", "c2.xtc2"]
        assert stream.events.file.tolist() == [0, 0, 1, 1, 2, 2]
        assert [item["value"] for item in values_of(stream)] == [0, 10, 101, 102, 201, 202]
        assert [item.service for item in stream.transitions] == [2, 4, 8, 8, 10, 8, 10]


def test_chunks_that_are_being_written_are_found(tmp_path: Path) -> None:
    for stream in both(write_stream(tmp_path, *chunked("c1.xtc2"), growing=".inprogress")):
        assert stream.files[1].path.name == "c1.xtc2.inprogress"
        assert len(stream.events) == 4


def test_chunks_are_found_beside_what_a_link_leads_to(tmp_path: Path) -> None:
    files = write_stream(tmp_path / "there", *chunked("c1.xtc2"))
    (tmp_path / "here.xtc2").symlink_to(files.data)

    assert len(open_stream(StreamFiles(0, tmp_path / "here.xtc2")).events) == 4


@pytest.mark.parametrize("with_index", [True, False])
def test_a_chunk_that_is_missing_is_named(tmp_path: Path, with_index: bool) -> None:
    files = write_stream(tmp_path, *chunked("c1.xtc2"))
    (tmp_path / "c1.xtc2").unlink()

    with pytest.raises(SourceFormatError, match=r"c1.xtc2: this file continues first.xtc2 but was not found"):
        open_stream(files if with_index else StreamFiles(0, files.data))


def test_a_chunk_without_events_yet_need_not_be_there(tmp_path: Path) -> None:
    content = hand.data_file(2) + hand.enable_chunk(hand.second(10), "c1.xtc2")

    stream = open_stream(write_stream(tmp_path, content))

    assert len(stream.events) == 2
    assert [file.path.name for file in stream.files] == ["first.xtc2"]


@pytest.mark.parametrize(
    "name", ["../c1.xtc2", "/etc/passwd", "a/c1.xtc2", "..", ".", "", "a\\c1.xtc2", "c" * 255]
)
@pytest.mark.parametrize("with_index", [True, False])
def test_a_chunk_is_a_name_without_a_folder(tmp_path: Path, name: str, with_index: bool) -> None:
    contents = chunked("c1.xtc2")
    contents[0] = hand.data_file(2) + hand.enable_chunk(hand.second(10), name)
    files = write_stream(tmp_path / "run", *contents)
    write(tmp_path / "c1.xtc2", contents[1])

    with pytest.raises(SourceFormatError, match="it should be a name without a folder"):
        open_stream(files if with_index else StreamFiles(0, files.data))


@pytest.mark.parametrize("with_index", [True, False])
def test_a_file_that_continues_itself_is_an_error(tmp_path: Path, with_index: bool) -> None:
    files = write_stream(tmp_path, *chunked("c1.xtc2", "first.xtc2"))

    with pytest.raises(SourceFormatError, match="continues itself"):
        open_stream(files if with_index else StreamFiles(0, files.data))


# ---------------------------------------------------------------- files of a run


def write_run(
    folder: Path, name: str = "xpptest-r{run:04d}-s{stream:03d}-c{chunk:03d}", **named: int
) -> Path:
    """Write one stream of a run in the usual folders; gives the file of events."""
    stem = name.format(**{"run": 7, "stream": 0, "chunk": 0} | named)
    content = hand.data_file(2, run=named.get("said", named.get("run", 7)))
    write(folder / "smalldata" / f"{stem}.smd.xtc2", hand.index_of(content))
    return write(folder / f"{stem}.xtc2", content)


def found_in(paths: Path | list[Path], run: RunId | None = None) -> list[tuple[int, str, str]]:
    streams = find_run(paths, run).streams
    return [(item.number, item.data.name, item.index.name if item.index else "") for item in streams]


def test_a_folder_gives_the_streams_of_its_run_by_number(tmp_path: Path) -> None:
    for stream in (12, 0, 3):
        write_run(tmp_path, stream=stream)
    names = [f"xpptest-r0007-s{stream:03d}-c000" for stream in (0, 3, 12)]
    wanted = list(
        zip((0, 3, 12), (f"{n}.xtc2" for n in names), (f"{n}.smd.xtc2" for n in names), strict=True)
    )

    assert find_run(tmp_path).run_id == RunId("xpptest", 7)
    assert found_in(tmp_path) == wanted
    assert found_in(tmp_path / "smalldata") == wanted
    assert found_in(sorted(tmp_path.glob("*.xtc2"))) == wanted
    assert found_in([tmp_path, tmp_path / "smalldata", *tmp_path.glob("*.xtc2")]) == wanted
    assert found_in(tmp_path / "smalldata" / f"{names[1]}.smd.xtc2") == wanted[1:2]


def test_names_with_two_digits_are_known(tmp_path: Path) -> None:
    write_run(tmp_path, "xpptest-r0007-s{stream:02d}-c{chunk:02d}", stream=5)

    assert found_in(tmp_path) == [(5, "xpptest-r0007-s05-c00.xtc2", "xpptest-r0007-s05-c00.smd.xtc2")]


def test_files_that_are_being_written_are_found_and_finished_ones_preferred(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    growing = path.with_name(path.name + ".inprogress")
    growing.write_bytes(path.read_bytes())
    assert found_in(tmp_path)[0][1] == path.name

    path.unlink()
    smd = next((tmp_path / "smalldata").iterdir())
    smd.rename(smd.with_name(smd.name + ".inprogress"))
    assert found_in(tmp_path) == [(0, growing.name, smd.name + ".inprogress")]
    assert found_in(tmp_path / "smalldata") == [(0, growing.name, smd.name + ".inprogress")]


def test_continuations_are_not_streams_of_their_own(tmp_path: Path) -> None:
    first = write_run(tmp_path)
    chunk = write(tmp_path / "xpptest-r0007-s000-c001.xtc2", hand.event(5, 5))
    write(tmp_path / "other-r0001-s000-c001.xtc2", hand.event(5, 5))

    assert [item[1] for item in found_in(tmp_path)] == [first.name]
    assert [item[1] for item in found_in(chunk)] == [first.name]
    first.unlink()
    with pytest.raises(SourceFormatError, match="no xtc2 file that starts a stream"):
        find_run(chunk)


def test_without_smd_file_there_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "xpptest-r0007-s000-c000.xtc2", hand.data_file(1))

    assert found_in(path) == [(0, path.name, "")]


def test_files_of_other_names_are_runs_of_their_own(tmp_path: Path) -> None:
    one = write(tmp_path / "one.xtc2", hand.data_file(1, run=3))
    assert find_run(tmp_path).run_id == RunId("xpptest", 3)

    write(tmp_path / "two.xtc2", hand.configure(hand.COUNTER) + hand.event(5, 5))
    assert find_run(tmp_path / "two.xtc2").run_id is None
    assert found_in(tmp_path, RunId("xpptest", 3)) == [(0, one.name, "")]
    with pytest.raises(SourceFormatError, match=r"files of 2 runs; choose one of one.xtc2, two.xtc2"):
        find_run(tmp_path)


def test_of_several_runs_one_must_be_chosen(tmp_path: Path) -> None:
    for run in (7, 8):
        write_run(tmp_path, run=run)

    assert found_in(tmp_path, RunId("xpptest", 8))[0][1] == "xpptest-r0008-s000-c000.xtc2"
    with pytest.raises(SourceFormatError, match="2 runs; choose one of xpptest:7, xpptest:8"):
        find_run(tmp_path)
    with pytest.raises(SourceFormatError, match="no run xpptest:9; it has xpptest:7, xpptest:8"):
        find_run(tmp_path, RunId("xpptest", 9))


def test_the_run_is_what_the_files_say(tmp_path: Path) -> None:
    write_run(tmp_path, run=14, said=1)
    write_run(tmp_path, run=15, said=2)

    assert find_run(tmp_path, RunId("xpptest", 14)).run_id == RunId("xpptest", 1)
    assert find_run(tmp_path, RunId("xpptest", 2)).run_id == RunId("xpptest", 2)


def test_the_name_says_the_run_where_the_file_does_not(tmp_path: Path) -> None:
    content = hand.configure(hand.COUNTER) + hand.event(5, 5)

    path = write(tmp_path / "xpptest-r0014-s000-c000.xtc2", content)

    assert find_run(path).run_id == RunId("xpptest", 14)


def test_files_that_say_different_runs_do_not_go_together(tmp_path: Path) -> None:
    write_run(tmp_path, stream=0, said=1)
    write_run(tmp_path, stream=1, said=2)

    with pytest.raises(SourceFormatError, match=r"says xpptest:1, .*says xpptest:2"):
        find_run(tmp_path)


def test_files_of_equal_names_or_numbers_do_not_go_together(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    with pytest.raises(SourceFormatError, match="two files have this name"):
        find_run([tmp_path / "a", tmp_path / "b"])

    write_run(tmp_path / "a", "xpptest-r0007-s{stream:02d}-c{chunk:02d}")
    with pytest.raises(SourceFormatError, match="both are stream 0 of xpptest:7"):
        find_run(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "message"), [("none", "is not there"), ("empty", "no xtc2 file"), ("x.smd.xtc2", "x.xtc2")]
)
def test_what_is_not_there_is_an_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "x.smd.xtc2", hand.index_of(hand.data_file(1)))

    with pytest.raises(SourceFormatError, match=message):
        find_run(tmp_path / name)


# ---------------------------------------------------------------- real files


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["chunking", "delayscan", "intg_det", "multi-seg-epics", "x21", "x22"])
def test_real_smd_files_say_what_hopping_finds(shared_data: Path, name: str) -> None:
    for files in find_run(shared_data / "xtc2" / name).streams:
        assert files.index is not None
        by_index, by_hopping = both(files)
        assert [item.service for item in by_index.transitions] == [
            item.service for item in by_hopping.transitions
        ]
        assert [item.path for item in by_index.files] == [item.path for item in by_hopping.files]
