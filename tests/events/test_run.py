"""Runs: fields, arrays, lazy arrays, derived variables, and how they show themselves."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import pytest
import xarray as xr

from cubeengine.errors import FieldNotFound, SourceFormatError, SpecError
from cubeengine.events import states
from cubeengine.events.blocks import block_events
from cubeengine.events.expressions import Expression
from cubeengine.events.lazy import events_per_chunk, lazy_column
from cubeengine.events.opening import open_run
from cubeengine.events.run import Run
from cubeengine.events.selections import Combine, Cut, CutRow, Interval, OneOf
from cubeengine.planning.units import FieldIn
from cubeengine.sources.memory import ArrayReader, MemorySource
from cubeengine.types import Column, FieldInfo, FieldKind, RunId, Storage

N = 60


def source() -> MemorySource:
    """Events in no order of time, some without their integers."""
    rng = np.random.default_rng(7)
    return MemorySource(
        {
            "ipm2/sum": rng.random(N),
            "lightStatus/laser": rng.integers(0, 2, N),
            "epix/area": rng.integers(0, 1000, (N, 3, 4)).astype(np.uint16),
            "epix/azav": rng.random((N, 5)),
        },
        timestamps=(np.uint64(100) << np.uint64(32)) + rng.permutation(N).astype(np.uint64),
        valid={"lightStatus/laser": rng.random(N) > 0.2, "epix/area": rng.random(N) > 0.2},
        run_level={"UserDataCfg/epix/q": np.arange(5.0)},
        element_coordinates={"epix/azav": {0: ("q", np.arange(5.0))}},
    )


@pytest.fixture
def run() -> Run:
    return Run(source(), RunId("xpptut15", 252), units={"ipm2/sum": "V"})


def in_time_order(name: str) -> np.ndarray:
    memory = source()
    assert memory.rows is not None
    return memory.arrays[name][memory.rows]


# --- fields -------------------------------------------------------------------------------------------


def test_events_are_in_time_order(run: Run) -> None:
    assert (np.diff(run.timestamps.astype(np.int64)) == 1).all()
    np.testing.assert_array_equal(run["ipm2/sum"].read().values, in_time_order("ipm2/sum"))


def test_double_underscores_may_stand_for_slashes(run: Run) -> None:
    assert run["ipm2__sum"].name == "ipm2/sum"
    assert "ipm2__sum" in run.fields
    assert run.column("ipm2__sum") is run.column("ipm2/sum")


def test_an_unknown_field_gets_the_nearest_names(run: Run) -> None:
    with pytest.raises(FieldNotFound, match=r"'ipm2/summ' is not in run xpptut15:252; nearest: 'ipm2/sum'"):
        run["ipm2/summ"]
    with pytest.raises(FieldNotFound):
        run.column("nothing")


def test_arrays_have_their_own_dimensions_and_the_coordinates_of_events(run: Run) -> None:
    array = run["epix/azav"].read()
    assert array.dims == ("event", "epix__azav_dim0")
    assert array.time.dtype == np.dtype("datetime64[ns]")
    assert array.timestamp.dtype == np.uint64
    assert array.epix__azav_q.values.tolist() == [0, 1, 2, 3, 4]
    assert array.attrs == {"field": "epix/azav", "origin": "memory"}
    assert run["ipm2/sum"].read().attrs["units"] == "V"


def test_missing_integers_are_nan_or_masked(run: Run) -> None:
    memory = source()
    there = memory.valid["lightStatus/laser"][memory.rows]
    stored = memory.arrays["lightStatus/laser"][memory.rows]
    assert not there.all()
    array = run["lightStatus/laser"].read()
    assert (array.dtype, set(array.coords)) == (np.float64, {"time", "timestamp"})
    np.testing.assert_array_equal(array, np.where(there, stored, np.nan))
    masked = run["lightStatus/laser"].read(missing="mask")
    assert masked.dtype == stored.dtype
    np.testing.assert_array_equal(masked.valid, there)
    np.testing.assert_array_equal(masked.values[there], stored[there])
    with pytest.raises(SpecError, match="'nan' or 'mask', but is 'zero'"):
        run["lightStatus/laser"].read(missing="zero")  # type: ignore[arg-type]


BIG = 2**53 + 1
WIDE = {
    "bool": (np.array([True, False, True]), True),
    "u2 frames": (np.arange(12, dtype="u2").reshape(3, 2, 2), True),
    "i8": (np.array([-(2**53), 2**53, 7]), True),
    "i8 where the filler is large": (np.array([1, BIG, 2]), True),
    "i8 beyond": (np.array([-BIG, 0, 2]), False),
    "u8 beyond": (np.array([2**64 - 1, 0, 2], "u8"), False),
}


@pytest.mark.parametrize("name", WIDE)
def test_what_is_missing_is_never_a_number(name: str) -> None:
    values, fits = WIDE[name]
    there = np.array([True, False, True])
    run = Run(MemorySource({"x": values, "all": values}, valid={"x": there}))
    assert run["all"].read().dtype == values.dtype  # nothing is missing
    masked = run["x"].read(missing="mask")
    assert masked.dtype == values.dtype
    assert masked.valid.values.tolist() == there.tolist()
    lazy = run["x"].dask().compute()
    assert (lazy.dtype, lazy.valid.values.tolist()) == (values.dtype, there.tolist())
    if not fits:
        with pytest.raises(SpecError, match=r"'x' is missing in 1 of 3 events.*\.read\(missing='mask'\)"):
            run["x"].read()
        assert run.data.x.dtype == values.dtype
        assert run.data.x_valid.values.tolist() == there.tolist()
        return
    array = run["x"].read()
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array.values[there], values[there])
    assert np.isnan(array.values[~there]).all()
    np.testing.assert_array_equal(run.data.x, array)


def test_floats_without_a_finite_element_are_masked_as_well() -> None:
    frames = np.arange(12.0).reshape(4, 3)
    frames[1], frames[2, :2], frames[3] = np.nan, np.nan, [np.nan, np.inf, -np.inf]
    run = Run(MemorySource({"f": frames, "s": np.array([1.0, np.nan, np.inf, 2])}))
    for name, there in (("f", [True, False, True, False]), ("s", [True, False, False, True])):
        for array in (run[name].read(missing="mask"), run[name].dask().compute()):
            assert array.valid.values.tolist() == there
            np.testing.assert_array_equal(array, run[name].read())
        assert "valid" not in run[name].read().coords


def test_run_level_fields_come_without_events(run: Run) -> None:
    array = run["UserDataCfg/epix/q"].read()
    assert array.dims == ("UserDataCfg__epix__q_dim0",)
    with pytest.raises(SpecError, match="one value per run"):
        run.column("UserDataCfg/epix/q")
    with pytest.raises(SpecError, match="one value per run"):
        run["UserDataCfg/epix/q"].dask()


def test_columns_are_read_once_and_cannot_be_changed(run: Run) -> None:
    column = run.column("ipm2/sum")
    assert run.column("ipm2/sum") is column
    with pytest.raises(ValueError, match="read-only"):
        column.data[0] = 1.0  # type: ignore[index]


# --- lazy arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ipm2/sum", "lightStatus/laser", "epix/area", "epix/azav"])
def test_lazy_arrays_are_the_read_ones(run: Run, name: str) -> None:
    xr.testing.assert_identical(run[name].dask().compute(), run[name].read(missing="mask"))


class Counting(ArrayReader):
    """Counts what is read of it."""

    reads: list[int] = []  # noqa: RUF012 - shared on purpose, so that copies count as well

    def blocks(self, rows: Any, **options: Any) -> Any:
        Counting.reads.append(len(rows))
        return super().blocks(rows, **options)


@pytest.mark.parametrize("rows", [None, np.arange(10)[::-1]])
def test_nothing_is_read_before_it_is_computed_and_then_once(rows: np.ndarray | None) -> None:
    Counting.reads.clear()
    reader = Counting(np.arange(10), np.arange(10) % 3 > 0)
    lazy = lazy_column(reader, rows, 10, per_chunk=4, token="x")
    assert lazy.data.chunks == ((4, 4, 2),)
    assert Counting.reads == []
    data, valid = dask.compute(lazy.data, lazy.valid, scheduler="sync")
    order = np.arange(10) if rows is None else rows
    assert sorted(Counting.reads) == [2, 4, 4]
    np.testing.assert_array_equal(data, order)
    np.testing.assert_array_equal(valid, order % 3 > 0)


def test_equal_content_makes_equal_task_names() -> None:
    reader = ArrayReader(np.arange(10.0))
    names = [lazy_column(reader, None, 10, per_chunk=5, token=token).data.name for token in ("a", "a", "b")]
    assert names[0] == names[1] != names[2]


def test_lazy_arrays_can_be_sent_to_other_processes(run: Run) -> None:
    lazy = pickle.loads(pickle.dumps(run["epix/area"].dask()))
    xr.testing.assert_identical(lazy.compute(), run["epix/area"].read(missing="mask"))


def test_chunks_hold_whole_storage_chunks() -> None:
    info = FieldInfo("x", (1000,), np.dtype(np.float64), storage=Storage("chunked", 100, ("gzip",)))
    assert events_per_chunk(info, 64 * 2**20) == 8300
    assert events_per_chunk(info, 8000) == 100
    assert block_events([info]) == 8300


def test_a_run_without_events_has_empty_arrays() -> None:
    empty = Run(MemorySource({"a": np.empty(0), "b": np.empty((0, 3), np.int32)}))
    assert empty["a"].read().shape == (0,)
    assert empty["b"].dask().compute().shape == (0, 3)
    assert len(empty.data.event) == 0
    assert "0" in repr(empty)
    assert empty.evaluate(Expression.parse("sum(b) > a")).data.shape == (0,)


# --- the dataset --------------------------------------------------------------------------------------


def test_the_dataset_holds_what_is_in_memory(run: Run) -> None:
    data = run.data
    assert set(data.data_vars) == {"ipm2__sum", "lightStatus__laser", "epix__area", "epix__azav"}
    assert data.epix__area.dims == ("event", "epix__area_dim0", "epix__area_dim1")
    np.testing.assert_array_equal(data.lightStatus__laser, run["lightStatus/laser"].read())
    assert data is run.data


def test_arrays_on_disk_stay_there() -> None:
    class OnDisk(MemorySource):
        def __post_init__(self) -> None:
            super().__post_init__()
            disk = {
                n: FieldInfo(n, i.shape, i.dtype, i.kind, Storage("contiguous"), "f", i.n_rows)
                for n, i in self.fields.items()
            }
            object.__setattr__(self, "fields", disk)

    run = Run(OnDisk({"a": np.arange(3), "image": np.zeros((3, 2, 2))}))
    assert set(run.data.data_vars) == {"a"}


def test_a_field_that_cannot_be_read_is_named_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    original = MemorySource.read

    def broken(self: MemorySource, name: str, *rest: Any) -> Column:
        if name == "ipm2/sum":
            raise SourceFormatError("file.h5: ipm2/sum: encoding 32008 is not installed")
        return original(self, name, *rest)

    monkeypatch.setattr(MemorySource, "read", broken)
    assert run.data.attrs["left_out"] == ["ipm2/sum"]
    assert "lightStatus__laser" in run.data


def test_a_field_named_as_a_coordinate_does_not_replace_it() -> None:
    run = Run(MemorySource({"timestamp": np.arange(3), "a": np.arange(3)}))
    assert run.data.timestamp.dtype == np.uint64
    assert set(run.data.data_vars) == {"a"}
    assert run["timestamp"].read().values.tolist() == [0, 1, 2]


# --- selections and derived variables -----------------------------------------------------------------


def test_selections_and_cut_flows_of_a_run(run: Run) -> None:
    bright, laser = Cut("bright", Interval("ipm2/sum", 0.5)), Cut("laser", OneOf("lightStatus/laser", (1,)))
    both = Combine("all", (bright, laser))
    kept = run.states(both) == states.TRUE
    column, is_bright = run.column("lightStatus/laser"), run.column("ipm2/sum").data >= 0.5
    expected = is_bright & (column.data == 1) & column.valid
    np.testing.assert_array_equal(kept, expected)
    assert run.cut_flow(both)[0] == CutRow("bright", is_bright.sum(), is_bright.sum())
    assert run.cut_flow(both)[-1].after == expected.sum()
    assert run.states(both) is run.states(both)


def test_arrays_are_read_in_blocks_where_one_value_per_event_is_kept(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr("cubeengine.events.blocks.BLOCK_NBYTES", 240)
    asked: list[Any] = []
    original = MemorySource.read
    monkeypatch.setattr(
        MemorySource,
        "read",
        lambda self, name, events=None: asked.append(events) or original(self, name, events),
    )
    expression = Expression.parse("sum(epix__area) / ipm2__sum")
    area = run["epix/area"].read()
    expected = area.values.sum(axis=(1, 2)) / run.column("ipm2/sum").data
    asked.clear()
    np.testing.assert_array_equal(run.evaluate(expression).data, expected)
    assert [events for events in asked if events] == [slice(i, i + 10) for i in range(0, N, 10)]
    cut = Cut("", Expression.parse("max(epix__area) > 900"))
    assert (run.states(cut) == states.MISSING).sum() == np.isnan(area[:, 0, 0]).sum() > 0


def test_derived_variables_are_fields_like_others(run: Run) -> None:
    values = np.arange(N) * 1.0
    whole = Column(np.arange(N), np.arange(N) % 2 == 0)
    more = run.with_columns({"delay": Column(values), "whole": whole}, {"delay": "ps"})
    assert "delay" not in run.fields
    assert more.fields["delay"].origin == "derived"
    assert more["delay"].read().attrs["units"] == "ps"
    np.testing.assert_array_equal(more["delay"].dask().values, values)
    np.testing.assert_array_equal(more["whole"].dask().valid.values, whole.valid)
    np.testing.assert_array_equal(more.data["whole"], np.where(whole.valid, np.arange(N), np.nan))
    assert more.identity != run.identity
    deeper = more.with_columns({"twice": more.evaluate(Expression.parse("delay * 2"))})
    np.testing.assert_array_equal(deeper.column("twice").data, values * 2)


def test_readers_of_derived_variables_take_rows_of_storage(run: Run) -> None:
    values = np.arange(N) * 1.0
    reader = run.with_columns({"delay": Column(values)}).reader("delay")
    block = next(iter(reader.blocks(np.arange(N), elements=slice(None), block_nbytes=2**20)))
    np.testing.assert_array_equal(block.data[block.take, 0][run.rows], values)


def test_derived_variables_that_do_not_fit_are_refused(run: Run) -> None:
    with pytest.raises(SpecError, match="already has a field of that name"):
        run.with_columns({"ipm2/sum": Column(np.zeros(N))})
    with pytest.raises(SpecError, match="3 values for 60 events"):
        run.with_columns({"new": Column(np.zeros(3))})


def test_leading_zeros_can_be_declared_missing() -> None:
    run = Run(MemorySource({"n": np.array([0, 0, 3, 0])}))
    marked = run.with_missing({"n": "leading_zeros"})
    np.testing.assert_array_equal(marked["n"].read(), [np.nan, np.nan, 3, 0])
    assert marked.identity != run.identity
    with pytest.raises(SpecError, match="before deriving variables"):
        run.with_columns({"m": FieldIn("n", "s", "ps")}).with_missing({"n": "leading_zeros"})


def test_arrays_that_were_given_stay_when_leading_zeros_are_declared_missing() -> None:
    run = Run(MemorySource({"n": np.array([0, 0, 3, 0])})).with_columns({"m": Column(np.arange(4))})
    marked = run.with_missing({"n": "leading_zeros"})
    np.testing.assert_array_equal(marked["n"].read(), [np.nan, np.nan, 3, 0])
    np.testing.assert_array_equal(marked["m"].read(), np.arange(4))


def test_runs_can_be_sent_to_other_processes(run: Run) -> None:
    more = run.with_columns({"delay": Column(np.zeros(N))}, {"delay": "ps"})
    more.states(Cut("", Interval("delay", 0)))
    copy = pickle.loads(pickle.dumps(more))
    assert copy.run_id == run.run_id
    assert copy.identity == more.identity
    assert copy["delay"].unit == "ps"
    np.testing.assert_array_equal(copy.column("ipm2/sum").data, run.column("ipm2/sum").data)


# --- showing ------------------------------------------------------------------------------------------


def test_the_table_of_fields_names_them_all(run: Run) -> None:
    lines = repr(run.fields).splitlines()
    assert lines[0] == "5 fields of run xpptut15:252"
    assert lines[1].split() == ["name", "shape", "dtype", "unit", "kind", "size", "origin"]
    assert any(line.startswith("epix/area ") and "3x4" in line and "uint16" in line for line in lines)


def test_a_run_says_what_it_is_without_reading(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemorySource, "read", lambda *_: pytest.fail("read"))
    text = repr(run)
    assert "xpptut15:252" in text
    assert "60" in text
    assert "4 per event" in text
    assert "float64" in repr(run["ipm2/sum"])


def test_notebook_views_escape_what_files_say() -> None:
    name = "<script>alert(1)</script>"
    run = Run(MemorySource({name: np.zeros(2)}))
    for shown in (run.fields._repr_html_(), run._repr_html_(), run[name]._repr_html_()):
        assert "<script>" not in shown
    assert "&lt;script&gt;" in run.fields._repr_html_()


def test_terminal_views_pass_on_no_control_characters() -> None:
    assert "\x1b" not in repr(Run(MemorySource({"a\x1b[2J": np.zeros(2)})).fields)


# --- files --------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_a_scan_file_opens_with_its_scan(shared_data: Path) -> None:
    run = open_run(shared_data / "smalldata_lcls1" / "xpptest01_Run0012.h5")
    assert run.run_id == RunId("xpptest01", 12)
    assert run.scan.variables == ("scan/lxt",)
    assert run.scan.n_steps == 21
    assert run.scan.events_per_step.tolist() == [50] * 21
    assert "ipm2__sum" in run.data
    lazy = run["epix/azav_azav"].dask()
    np.testing.assert_array_equal(lazy.values, run["epix/azav_azav"].read().values)


@pytest.mark.realdata
def test_cuts_and_delays_of_a_file_are_those_of_plain_numpy(shared_data: Path) -> None:
    path = shared_data / "smalldata_lcls1" / "xpptest01_Run0012.h5"
    run = open_run(path)
    with h5py.File(path) as file:
        plain = {name: file[name][:] for name in ("ipm2/sum", "lightStatus/laser", "scan/lxt", "tt/ttCorr")}
    bright = (plain["ipm2/sum"] > 0.3) & (plain["ipm2/sum"] < 2.0) & (plain["lightStatus/laser"] == 1)
    cut = Cut("", Expression.parse("0.3 < ipm2__sum < 2.0 and lightStatus__laser == 1"))
    np.testing.assert_array_equal(run.states(cut) == states.TRUE, bright)
    delay = run.evaluate(Expression.parse("scan__lxt * 1e12 + tt__ttCorr"))
    np.testing.assert_array_equal(delay.data, plain["scan/lxt"] * 1e12 + plain["tt/ttCorr"])


@pytest.mark.realdata
def test_a_run_is_found_under_the_data_root(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIT_PSDM_DATA", str(shared_data / "smalldata_lcls1"))
    assert open_run("xpptest01:13").n_events == open_run("xpptest01", 13).n_events == 1200
    assert open_run("xpptest01", 13).scan.variables == ()


@pytest.mark.realdata
def test_an_unsorted_joined_file_comes_in_time_order(shared_data: Path) -> None:
    run = open_run(shared_data / "smalldata_lcls2" / "mpi_22.h5")
    assert run.rows is not None
    assert (np.diff(run.timestamps.astype(np.int64)) > 0).all()
    assert run.scan.variables == ("scan/motor1",)
    for name in ("epx/ROI_0_area", "epx/npix", "fim/wave"):
        lazy = run[name].dask()
        np.testing.assert_array_equal(lazy.values, run[name].read(missing="mask").values)
    with pytest.raises(SpecError, match="fim/var_peaks_len"):
        run["fim/var_peaks/height"].read()
    aligned = run["intg/slow/temp"].read()
    assert aligned.sizes["event"] == run.aligned("intg").n_events < run.n_events
    assert run.fields["intg/slow/temp"].kind is FieldKind.ALIGNED


@pytest.mark.realdata
def test_lazy_arrays_of_files_work_in_other_processes(shared_data: Path) -> None:
    run = open_run(shared_data / "smalldata_lcls2" / "mpi_22.h5")
    lazy = pickle.loads(pickle.dumps(run["epx/ROI_0_area"].dask()))
    np.testing.assert_array_equal(lazy.values, run["epx/ROI_0_area"].read().values)
    copy = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(copy.column("epx/npix").data, run.column("epx/npix").data)
