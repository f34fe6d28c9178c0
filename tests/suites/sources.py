"""What every source must do, whatever it reads from."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cubeengine.errors import FieldNotFound
from cubeengine.sources.base import Reader, Source
from cubeengine.types import FieldKind


@dataclass(frozen=True)
class SourceCase:
    """A source, and what it holds: values in time order, and which of them are missing."""

    source: Source
    timestamps: NDArray[np.uint64]
    columns: Mapping[str, NDArray[Any]]
    missing: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def lacking(self, name: str) -> NDArray[np.bool_]:
        return self.missing.get(name, np.zeros(len(self.timestamps), bool))


def read_blocks(
    reader: Reader, rows: NDArray[np.int64], elements: slice, block_nbytes: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Put blocks together the plain way, checking that they serve the request without a gap."""
    width = len(range(*elements.indices(int(np.prod(reader.shape, dtype=np.int64)))))
    data, valid = np.empty((len(rows), width), reader.dtype), np.ones(len(rows), bool)
    served = 0
    for block in reader.blocks(rows, elements=elements, block_nbytes=block_nbytes):
        assert block.start == served < block.stop
        assert block.data.dtype == reader.dtype
        assert block.data.dtype.isnative
        assert block.data.flags.c_contiguous
        assert block.take.shape == (block.stop - block.start,)
        data[block.start : block.stop] = block.data[block.take]
        if block.valid is not None:
            assert reader.dtype.kind != "f"
            valid[block.start : block.stop] = block.valid
        served = block.stop
    assert served == len(rows)
    return data, valid


class SourceSuite:
    """Tests of a source; a subclass gives the fixture `case`, of class scope."""

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls) -> SourceCase:
        raise NotImplementedError

    def test_every_field_is_listed_with_its_shape_and_type(self, case: SourceCase) -> None:
        for name, values in case.columns.items():
            info = case.source.fields[name]
            assert (info.kind, info.shape) == (FieldKind.EVENT, values.shape[1:])
            assert info.n_rows >= case.source.n_events == len(values)
            assert info.dtype == values.dtype.newbyteorder("=")
            assert info.dtype.isnative

    def test_events_are_in_time_order(self, case: SourceCase) -> None:
        assert case.source.n_events == len(case.timestamps)
        assert case.source.timestamps.dtype == np.uint64
        np.testing.assert_array_equal(case.source.timestamps, case.timestamps)
        assert case.source.time.dtype == np.dtype("datetime64[ns]")
        assert (np.diff(case.source.time).astype(np.int64) >= 0).all()

    def test_columns_are_what_was_written(self, case: SourceCase) -> None:
        for name, values in case.columns.items():
            column, lacking = case.source.read(name), case.lacking(name)
            np.testing.assert_array_equal(column.data[~lacking], values[~lacking], err_msg=name)
            if values.dtype.kind == "f":
                assert column.valid is None
                assert np.isnan(column.data[lacking]).all()
            else:
                valid = np.ones(len(values), bool) if column.valid is None else column.valid
                np.testing.assert_array_equal(valid, ~lacking, err_msg=name)

    def test_events_can_be_asked_for_in_any_order(self, case: SourceCase) -> None:
        events = np.random.default_rng(0).integers(0, case.source.n_events, 50)
        for name in case.columns:
            whole, some = case.source.read(name), case.source.read(name, events)
            np.testing.assert_array_equal(some.data, whole.data[events])
            part = case.source.read(name, slice(3, 17))
            np.testing.assert_array_equal(part.data, whole.data[3:17])

    def test_unknown_field_names_the_nearest(self, case: SourceCase) -> None:
        name = next(iter(case.columns))
        with pytest.raises(FieldNotFound, match="nearest"):
            case.source.read(name + "x")
        with pytest.raises(FieldNotFound):
            case.source.reader(name + "x")

    @given(data=st.data())
    def test_blocks_agree_with_columns_for_any_rows_elements_and_block_size(
        self, case: SourceCase, data: st.DataObject
    ) -> None:
        name = data.draw(st.sampled_from(sorted(case.columns)))
        reader = case.source.reader(name)
        n, width = case.source.n_events, case.source.fields[name].n_elements
        positions = data.draw(_positions(n))
        low, high = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
        elements = data.draw(st.sampled_from([slice(None), slice(low, max(high, low + 1))]))
        block_nbytes = data.draw(st.sampled_from([1, 100, 3_000, 50_000, 10**7]))
        storage_rows, values, there = self._in_storage_order(case, name)
        found, valid = read_blocks(reader, storage_rows[positions], elements, block_nbytes)
        np.testing.assert_array_equal(found[valid], values[positions][:, elements][valid])
        np.testing.assert_array_equal(valid, there[positions])

    def test_no_rows_give_no_blocks(self, case: SourceCase) -> None:
        for name in case.columns:
            reader = case.source.reader(name)
            assert list(reader.blocks(np.zeros(0, np.int64), elements=slice(None), block_nbytes=1000)) == []

    def test_readers_travel_to_other_processes(self, case: SourceCase) -> None:
        rows = np.arange(0, case.source.n_events, 3)
        for name in case.columns:
            reader = case.source.reader(name)
            other = pickle.loads(pickle.dumps(reader))
            for mine, its in zip(
                read_blocks(reader, rows, slice(None), 5_000),
                read_blocks(other, rows, slice(None), 5_000),
                strict=True,
            ):
                np.testing.assert_array_equal(mine, its)

    @pytest.mark.parametrize("block_nbytes", [1_000, 200_000])
    def test_memory_is_within_what_was_promised(self, case: SourceCase, block_nbytes: int) -> None:
        for name, info in case.source.fields.items():
            if name not in case.columns:
                continue
            reader = case.source.reader(name)
            for elements in (slice(None), slice(0, max(info.n_elements // 2, 1))):
                width = len(range(*elements.indices(info.n_elements)))
                for rows in (np.arange(info.n_rows), np.arange(0, info.n_rows, 7)):
                    peak = _peak(reader, rows, elements, block_nbytes)
                    # Objects of the interpreter and of h5py, which do not grow with the data.
                    assert peak <= reader.memory_nbytes(width, block_nbytes) + 60_000, name

    @staticmethod
    def _in_storage_order(
        case: SourceCase, name: str
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]:
        """Return the events' rows, rising, with values and whether they are there."""
        column = case.source.read(name)
        valid = np.ones(len(column), bool) if column.valid is None else column.valid
        flat = column.data.reshape(len(column), -1)
        rows = np.arange(len(column)) if case.source.rows is None else case.source.rows
        order = np.argsort(rows)
        return rows[order], flat[order], valid[order]


def _positions(n: int) -> st.SearchStrategy[NDArray[np.int64]]:
    """Some events or a range of them, rising, repeats among them."""
    some = st.lists(st.integers(0, n - 1), min_size=1, max_size=20)
    ends = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).map(sorted)
    ranges = ends.map(lambda pair: list(range(pair[0], pair[1] + 1)))
    return (some | ranges).map(lambda chosen: np.sort(np.array(chosen, np.int64)))


def _peak(reader: Reader, rows: NDArray[np.int64], elements: slice, block_nbytes: int) -> int:
    def consume() -> None:
        for _ in reader.blocks(rows, elements=elements, block_nbytes=block_nbytes):
            pass

    consume()  # imports and compiled code are not the reader's
    tracemalloc.start()
    try:
        consume()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
