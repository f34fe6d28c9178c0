"""Which fields a raw run has: event fields, scan and EPICS variables, and what is once per run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from cubeengine.sources.xtc2.events import build_events
from cubeengine.sources.xtc2.frames import stacked_shape
from cubeengine.sources.xtc2.slots import next_slots
from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from cubeengine.types import FieldKind
from tests.sources.xtc2 import handmade as h

CAMERA = h.names(5, "cam", [("x", h.U2, 0)], kind="camera")
CONFIG = h.names(6, "cam", [("gain", h.F4, 0), ("map", h.U1, 2)], alg="config", kind="camera")
SCAN = h.names(7, "scan", [("motor", h.F8, 0), ("why", h.TEXT, 1)])
EPICS = h.names(8, "epics", [("PV:A", h.I4, 0), ("wave", h.F4, 1)])
BLOCKS = (h.RUNINFO, CAMERA, CONFIG, SCAN, EPICS)


def camera(value: int) -> bytes:
    return h.values(5, h.scalar(h.U2, value))


def config(gain: float, *dims: int) -> bytes:
    return h.values(6, h.scalar(h.F4, gain) + bytes(range(dims[0] * dims[1])), [h.shape(*dims)])


def scan(value: float, why: str, **options: int) -> bytes:
    text = why.encode()
    return h.values(7, h.scalar(h.F8, value) + text, [h.shape(len(text))], **options)  # type: ignore[arg-type]


def epics(value: int, *wave: float) -> bytes:
    data = h.scalar(h.I4, value) + np.array(wave, "<f4").tobytes()
    return h.values(8, data, [h.shape(len(wave))])


def write(folder: Path, number: int, *dgrams: bytes, settings: bytes = b"") -> None:
    start = h.configure(*BLOCKS, settings) + h.begin_run(h.second(1))
    path = folder / f"xpptest-r0007-s{number:03}-c000.xtc2"
    path.write_bytes(start + b"".join(dgrams))


def event(time: float, value: int) -> bytes:
    return h.dgram(h.L1_ACCEPT, h.second(time), camera(value))


def step(time: float, *parts: bytes, damage: int = 0) -> bytes:
    return h.dgram(h.BEGIN_STEP, h.second(time), *parts, damage=damage)


def slow(time: float, *parts: bytes) -> bytes:
    return h.dgram(h.SLOW_UPDATE, h.second(time), *parts)


def events(*times: float) -> list[bytes]:
    return [event(time, int(time)) for time in times]


def opened(folder: Path, *dgrams: bytes, settings: bytes = b"") -> Xtc2Source:
    write(folder, 0, *dgrams, settings=settings)
    return open_xtc2(folder)


def test_scan_value_holds_from_its_step_on(tmp_path: Path) -> None:
    source = opened(
        tmp_path, *events(2), step(3, scan(1.5, "a")), *events(4, 5), step(6, scan(-2, "b")), *events(7)
    )
    assert source.read("scan/motor").data.tolist()[1:] == [1.5, 1.5, -2]
    assert np.isnan(source.read("scan/motor").data[0])


def test_value_of_the_same_time_as_an_event_is_its_own(tmp_path: Path) -> None:
    source = opened(tmp_path, *events(2), slow(3, epics(5, 1)))
    write(tmp_path, 1, *events(3, 4))
    source = open_xtc2(tmp_path)
    column = source.read("epics/PV:A")
    assert column.valid is not None
    assert column.valid.tolist() == [False, True, True]
    assert column.data[1:].tolist() == [5, 5]


def test_value_of_a_damaged_step_is_not_known_until_the_next(tmp_path: Path) -> None:
    source = opened(
        tmp_path,
        *(step(2, scan(1, "a")), *events(3), step(4, scan(2, "b"), damage=1), *events(5)),
        *(
            step(6, scan(3, "c", damage=1 << 12)),
            *events(7),
            step(8, scan(4, "d"), damage=1 << 4),
            *events(9),
        ),
    )
    column = source.read("scan/motor")
    assert column.damaged is not None
    assert column.damaged.tolist() == [False, True, True, False]
    assert column.data[[0, 3]].tolist() == [1, 4]
    assert np.isnan(column.data[1:3]).all()


def test_text_of_steps_is_listed_once_per_step(tmp_path: Path) -> None:
    steps = [step(2, scan(1, "first")), step(4, scan(2, "second"))]
    write(tmp_path, 3, steps[0], *events(3), steps[1], *events(5))
    source = opened(tmp_path, steps[0], *events(3), steps[1], *events(5))
    assert source.fields["scan/why"].kind is FieldKind.RUN
    assert source.read("scan/why").data.tolist() == ["first", "second"]


def test_array_of_epics_is_an_event_field_unless_its_length_varies(tmp_path: Path) -> None:
    source = opened(tmp_path, slow(2, epics(5, 1, 2)), *events(3), slow(4, epics(6, 3, 4)), *events(5))
    assert source.read("epics/wave").data.tolist() == [[1, 2], [3, 4]]
    source = opened(tmp_path, slow(2, epics(5, 1, 2)), *events(3), slow(4, epics(6, 3)), *events(5))
    assert source.fields["epics/wave"].kind is FieldKind.RAGGED
    assert source.read("epics/PV:A").data.tolist() == [5, 6]


def test_configuration_of_the_last_configure_is_given_and_that_it_changed(tmp_path: Path) -> None:
    again = h.dgram(h.UNCONFIGURE, h.second(3)) + h.configure(*BLOCKS, config(2.0, 2, 3), time=h.second(4))
    source = opened(tmp_path, *events(2), again, *events(5), settings=config(1.0, 2, 3))
    assert source.read("cam/config/gain").data == 2
    assert "changed during the run" in source.fields["cam/config/gain"].note
    assert source.fields["cam/config/map"].note == ""
    detector = source.detector("cam/raw/x")
    assert detector is not None
    assert (detector.kind, detector.unique_id) == ("camera", "camera_id_1")
    assert detector.settings["config/map"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert detector.settings["config/map"][0].flags.aligned


def test_update_of_the_configuration_leaves_it_as_it_was_configured(tmp_path: Path) -> None:
    source = opened(tmp_path, step(2, config(7.0, 2, 3)), *events(3), settings=config(1.0, 2, 3))
    assert source.read("cam/config/gain").data == 1
    assert "changed during the run" in source.fields["cam/config/gain"].note
    assert source.fields["cam/config/map"].note == ""


def test_segment_that_two_streams_send_is_taken_from_the_one_that_sends_more(tmp_path: Path) -> None:
    write(tmp_path, 0, *events(2))
    write(tmp_path, 1, *events(2, 3, 4))
    source = open_xtc2(tmp_path)
    assert source.read("cam/raw/x").data.tolist() == [2, 3, 4]
    assert "also sent by stream 0" in source.fields["cam/raw/x"].note


def test_source_can_be_copied_to_another_process(tmp_path: Path) -> None:
    source = opened(tmp_path, step(2, scan(1, "a")), *events(3, 4), settings=config(1.0, 2, 3))
    copy = pickle.loads(pickle.dumps(source))
    assert dict(copy.fields) == dict(source.fields)
    assert copy.read("cam/raw/x").data.tolist() == [3, 4]


def test_run_without_events_has_fields_and_no_rows(tmp_path: Path) -> None:
    source = opened(tmp_path, step(2, scan(1, "a")))
    assert source.n_events == 0
    assert source.read("scan/motor").data.shape == (0,)


@pytest.mark.parametrize(
    ("n_segments", "shape", "stacked"),
    [
        (1, (1, 4, 5), (1, 4, 5)),
        (3, (1, 4, 5), (3, 4, 5)),
        (3, (4, 5), (3, 4, 5)),
        (3, (2, 4, 5), (3, 2, 4, 5)),
        (3, (), (3,)),
    ],
)
def test_segments_are_stacked_as_their_panels_are(
    n_segments: int, shape: tuple[int, ...], stacked: tuple[int, ...]
) -> None:
    assert stacked_shape(n_segments, shape) == stacked


def test_events_are_those_of_any_stream() -> None:
    streams = [np.array(times, np.uint64) for times in ([1, 3, 5], [2, 3], [], [1, 2, 3, 5])]
    table = build_events(streams)
    assert table.timestamps.tolist() == [1, 2, 3, 5]
    found = [None if numbers is None else numbers.tolist() for numbers in table.datagrams]
    assert found == [[0, -1, 1, 2], [-1, 0, 1, -1], [-1, -1, -1, -1], None]


@pytest.mark.parametrize("capacity", [1, 2, 3, 100])
def test_blocks_hold_each_row_once_and_one_for_all_that_are_missing(capacity: int) -> None:
    rows = np.array([4, 4, 7, 9, 9, 1, 4, 8, 8])
    present = rows != 9
    start, served = 0, []
    while start < len(rows):
        slots = next_slots(rows[start:], present[start:], start, capacity)
        assert slots.n_slots <= capacity
        held = [*slots.read.tolist(), None]
        served += [held[slot] for slot in slots.take.tolist()]
        assert slots.stop - slots.start == len(slots.take) > 0
        start = slots.stop
    assert served == [
        row if there else None for row, there in zip(rows.tolist(), present.tolist(), strict=True)
    ]
