"""Reading fields out of datagrams made by hand, one trap at a time."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.sources.xtc2 import survey
from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from tests.makers.xtc2 import SmallRun, write_small_run
from tests.sources.xtc2 import handmade as h
from tests.suites.sources import read_blocks

CAMERA = h.names(5, "cam", [("count", h.U1, 0), ("raw", h.U2, 2), ("gain", h.F4, 0)])
OTHER = h.names(6, "other", [("raw", h.U2, 2)])


def frame(value: int, *, shape: tuple[int, int] = (2, 3), key: int = 5, **options: object) -> bytes:
    pixels = np.arange(shape[0] * shape[1], dtype="<u2") + value
    data = pixels.tobytes()
    if key == 5:
        data = h.scalar(h.U1, value % 256) + data + h.scalar(h.F4, value / 2)
    return h.values(key, data, [h.shape(*shape)], **options)  # type: ignore[arg-type]


def opened(folder: Path, events: Sequence[bytes], blocks: Sequence[bytes] = (CAMERA, OTHER)) -> Xtc2Source:
    """Write a file of these events, at 1 s, 2 s, ..., and open it."""
    path = folder / "xpptest-r0007-s000-c000.xtc2"
    start = [h.configure(h.RUNINFO, *blocks), h.begin_run(1)]
    path.write_bytes(b"".join([*start, *events]))
    return open_xtc2(path)


def accept(number: int, *parts: bytes, damage: int = 0) -> bytes:
    return h.dgram(h.L1_ACCEPT, h.second(number + 1), *parts, damage=damage)


def nested(depth: int, content: bytes) -> bytes:
    for _ in range(depth):
        content = h.xtc(h.PARENT, content)
    return content


def pixels(value: int) -> list[list[int]]:
    return (np.arange(6).reshape(2, 3) + value).tolist()


@pytest.mark.parametrize("data_first", [False, True])
def test_values_may_come_before_or_after_their_shapes(tmp_path: Path, data_first: bool) -> None:
    source = opened(tmp_path, [accept(i, frame(i, data_first=data_first)) for i in range(4)])
    assert source.read("cam/raw/raw").data.tolist() == [pixels(i) for i in range(4)]
    assert source.read("cam/raw/gain").data.tolist() == [0, 0.5, 1, 1.5]
    assert source.read("cam/raw/count").data.tolist() == [0, 1, 2, 3]


def test_datagrams_of_one_size_with_other_content_are_not_mixed_up(tmp_path: Path) -> None:
    inside_out = [h.xtc(h.PARENT, frame(9, key=6) + frame(20)), h.xtc(h.PARENT, frame(21) + frame(8, key=6))]
    source = opened(tmp_path, [accept(i, content) for i, content in enumerate(inside_out)])
    assert source.read("cam/raw/raw").data.tolist() == [pixels(20), pixels(21)]
    assert source.read("other/raw/raw").data.tolist() == [pixels(9), pixels(8)]


def test_spare_bytes_after_shapes_mean_nothing(tmp_path: Path) -> None:
    source = opened(tmp_path, [accept(0, frame(3, tail=b"\1\2\3\4", data_first=True), frame(5, key=6))])
    assert source.read("cam/raw/raw").data.tolist() == [pixels(3)]
    assert source.read("other/raw/raw").data.tolist() == [pixels(5)]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (accept(1, frame(1), damage=1 << 4), "whole"),
        (accept(1, damage=1 << 4), "missing"),
        (accept(1, frame(1), damage=1 << 1), "damaged"),
        (accept(1, frame(1, damage=1 << 12)), "damaged"),
        (accept(1, h.xtc(h.PARENT, frame(1), damage=1 << 4)), "whole"),
        (accept(1, h.xtc(h.PARENT, frame(1), damage=1 << 5)), "damaged"),
        (accept(1, h.xtc(h.PARENT, b"not a tree", damage=1 << 3)), "damaged"),
        (accept(1, b"not a tree at all", damage=1 << 3), "damaged"),
        (accept(1, b"not a tree at all", damage=1 << 0), "damaged"),
        (accept(1, frame(1, key=6)), "missing"),
        (accept(1, frame(1)[:-9] + bytes(9), damage=1), "damaged"),
    ],
)
def test_damage_leaves_out_what_it_concerns(tmp_path: Path, events: bytes, status: str) -> None:
    source = opened(tmp_path, [accept(0, frame(0)), events, accept(2, frame(2))])
    whole, gain = source.read("cam/raw/raw"), source.read("cam/raw/gain")
    assert (whole.valid is None or bool(whole.valid[1])) == (status == "whole")
    assert (whole.damaged is not None and bool(whole.damaged[1])) == (status == "damaged")
    assert np.isnan(gain.data[1]) == (status != "whole")
    assert whole.data[[0, 2]].tolist() == [pixels(0), pixels(2)]


def look_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have only the first event looked at when a run is opened."""
    monkeypatch.setattr(survey, "LOOK_ALL", 1)
    monkeypatch.setattr(survey, "LOOK_FIRST", 1)


@pytest.mark.parametrize(
    ("broken", "wanted"),
    [
        (h.xtc(h.SHAPES_DATA, b"", src=5), "without values"),
        (h.xtc(h.SHAPES_DATA, b"", src=5, extent=4), "says 4 bytes, but needs 12"),
        (h.xtc(h.SHAPES_DATA, b"", src=5, extent=4000), "says 4,000 bytes.*12 at most"),
        (h.values(5, bytes(17)), "fewer than 1 shapes"),
        (h.values(5, bytes(17), [h.shape(2**31, 2)]), "says 2,147,483,648"),
        (h.values(5, bytes(9), [h.shape(2, 3)]), "values"),
        (h.values(5, bytes(16), [h.shape(2, 3)]), "17, but there are 16"),
        (b"\0\0\0", "at most"),
        (nested(40, b""), "more than 32 Parents"),
    ],
)
def test_contradictions_are_errors_that_name_the_place(
    tmp_path: Path, broken: bytes, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at_few(monkeypatch)
    source = opened(tmp_path, [accept(0, frame(0)), accept(1, broken), accept(2, frame(2))], [CAMERA])
    place = r"c000.xtc2, byte [\d,]+: field 'cam/raw/gain', event 1: "
    with pytest.raises(SourceFormatError, match=place + f".*{wanted}"):
        source.read("cam/raw/gain")
    assert source.read("cam/raw/raw", np.array([0, 2])).data.tolist() == [pixels(0), pixels(2)]


def test_shape_that_changes_later_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_at_few(monkeypatch)
    events = [accept(0, frame(0)), accept(1, frame(1, shape=(3, 2)))]
    source = opened(tmp_path, events, [CAMERA])
    with pytest.raises(SourceFormatError, match="field 'cam/raw/raw', event 1: a dimension of 3, but 2"):
        source.read("cam/raw/raw")


def test_broken_event_does_not_hide_the_others_when_a_run_is_opened(tmp_path: Path) -> None:
    source = opened(tmp_path, [accept(0, b"\0\0\0"), accept(1, frame(1), frame(7, key=6))])
    assert source.read("other/raw/raw", np.array([1])).data.tolist() == [pixels(7)]
    with pytest.raises(SourceFormatError, match="event 0"):
        source.read("other/raw/raw")


def test_run_whose_events_are_all_broken_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="event datagram 0 of the stream"):
        opened(tmp_path, [accept(0, b"\0\0\0"), accept(1, b"\0")])


def test_shape_that_varies_is_told_when_the_run_is_opened(tmp_path: Path) -> None:
    source = opened(tmp_path, [accept(0, frame(0)), accept(1, frame(1, shape=(3, 2)))])
    with pytest.raises(SpecError, match="shape varies"):
        source.reader("cam/raw/raw")
    assert source.read("cam/raw/gain").data.tolist() == [0, 0.5]  # behind the array, wherever it ends


def test_detector_that_never_sends_is_listed_and_refused(tmp_path: Path) -> None:
    source = opened(tmp_path, [accept(0, frame(0))])
    assert "sent nothing" in source.fields["other/raw/raw"].note
    with pytest.raises(SpecError, match="sent nothing"):
        source.read("other/raw/raw")


def test_detector_that_comes_late_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_at_few(monkeypatch)
    events = [accept(i, frame(i), *([frame(i, key=6)] if i > 9 else [])) for i in range(20)]
    source = opened(tmp_path, events)
    valid = source.read("other/raw/raw").valid
    assert valid is not None
    assert valid.tolist() == [False] * 10 + [True] * 10


def test_segments_of_other_shapes_are_fields_of_their_own(tmp_path: Path) -> None:
    fields = [("raw", h.U2, 2)]
    blocks = [h.names(key, "cam", fields, segment=key) for key in (3, 4)]
    parts = [h.values(3, bytes(12), [h.shape(2, 3)]), h.values(4, bytes(8), [h.shape(2, 2)])]
    source = opened(tmp_path, [accept(0, *parts)], blocks)
    assert "cam/raw/raw" not in source.fields
    assert (source.fields["cam/3/raw/raw"].shape, source.fields["cam/4/raw/raw"].shape) == ((2, 3), (2, 2))
    assert "differ in shape" in source.fields["cam/3/raw/raw"].note


def test_segment_that_never_sends_is_left_out_of_the_stack(tmp_path: Path) -> None:
    blocks = [h.names(key, "cam", [("x", h.U2, 0)], segment=key - 10) for key in (11, 12, 13)]
    parts = [h.values(key, h.scalar(h.U2, key)) for key in (11, 13)]
    source = opened(tmp_path, [accept(0, *parts), accept(1, *parts)], blocks)
    assert source.read("cam/raw/x").data.tolist() == [[11, 13], [11, 13]]
    assert "segments 2 send no data" in source.fields["cam/raw/x"].note
    detector = source.detector("cam/raw/x")
    assert detector is not None
    assert detector.segments == (1, 3)


def test_index_of_another_run_is_told_apart_by_its_times(tmp_path: Path) -> None:
    events = [accept(i, frame(i)) for i in range(3)]
    start = h.configure(h.RUNINFO, CAMERA) + h.begin_run(1)
    (tmp_path / "xpptest-r0007-s000-c000.xtc2").write_bytes(start + b"".join(events))
    (tmp_path / "smalldata").mkdir()
    places = len(start) + np.cumsum([0, *map(len, events[:-1])])
    pointers = [h.pointer(h.second(i + 90), place, len(events[0])) for i, place in enumerate(places.tolist())]
    index = h.configure(h.RUNINFO, CAMERA, h.SMDINFO) + h.begin_run(1) + b"".join(pointers)
    (tmp_path / "smalldata" / "xpptest-r0007-s000-c000.smd.xtc2").write_bytes(index)
    with pytest.raises(SourceFormatError, match="are both files of one run"):
        open_xtc2(tmp_path)


def test_file_that_is_cut_off_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    source = opened(tmp_path, [accept(i, frame(i)) for i in range(40)])
    blocks = source.reader("cam/raw/raw").blocks(np.arange(40), elements=slice(None), block_nbytes=100)
    next(blocks)
    os.truncate(source.files[0].path, source.files[0].size - 300)
    with pytest.raises(SourceFormatError, match="cut off"):
        list(blocks)


def test_array_without_elements_is_a_field(tmp_path: Path) -> None:
    empty = h.values(6, b"", [h.shape(0, 4)])
    source = opened(tmp_path, [accept(0, empty), accept(1)])
    column = source.read("other/raw/raw")
    assert column.data.shape == (2, 0, 4)
    assert column.valid is not None
    assert column.valid.tolist() == [True, False]


def test_integers_of_64_bits_keep_every_bit(tmp_path: Path) -> None:
    block = h.names(5, "t", [("a", h.U1, 0), ("id", h.U8, 0), ("z", h.I8, 0)])
    parts = [struct.pack("<BQq", 7, 2**64 - 1 - i, -(2**63) + i) for i in range(3)]
    source = opened(tmp_path, [accept(i, h.values(5, part)) for i, part in enumerate(parts)], [block])
    assert source.read("t/raw/id").data.tolist() == [2**64 - 1 - i for i in range(3)]
    assert source.read("t/raw/z").data.tolist() == [-(2**63) + i for i in range(3)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallRun, Xtc2Source]:
    made = write_small_run(tmp_path_factory.mktemp("order"), reconfigure=True)
    return made, open_xtc2(made.folder)


@given(
    rows=st.lists(st.integers(0, 59), min_size=1, max_size=60),
    ends=st.tuples(st.integers(0, 384), st.integers(0, 384)).map(sorted),
    block_nbytes=st.sampled_from([1, 400, 5_000, 10**6]),
)
def test_rows_in_any_order_and_any_tile(
    run: tuple[SmallRun, Xtc2Source], rows: list[int], ends: list[int], block_nbytes: int
) -> None:
    made, source = run
    name, tile, wanted = "jungfrau/raw/raw", slice(ends[0], ends[1] + 1), np.array(rows)
    found, valid = read_blocks(source.reader(name), wanted, tile, block_nbytes)
    np.testing.assert_array_equal(valid, made.valid[name][wanted])
    np.testing.assert_array_equal(found[valid], made.columns[name].reshape(60, -1)[wanted][:, tile][valid])
