"""A field as an array: what numpy and xarray do with it, and what is read for that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.run import Run
from cubeengine.sources.memory import ArrayReader, MemorySource
from cubeengine.types import Column

N = 40
RNG = np.random.default_rng(5)
ORDER = RNG.permutation(N)  # of the rows of storage
ARRAYS = {
    "ipm2/sum": np.where(np.arange(N) % 9 == 4, np.nan, RNG.normal(1, 0.4, N)),
    "ipm2/channels": RNG.normal(size=(N, 4)),
    "code": RNG.integers(0, 2, N).astype(np.uint8),
    "small": RNG.integers(0, 256, N).astype(np.uint8),
    "cam/frame": RNG.integers(0, 1000, (N, 3, 5)).astype(np.uint16),
}
THERE = {"code": np.arange(N) % 7 != 3}
TIMES = np.uint64(100 << 32) + np.arange(N, dtype=np.uint64)
VALUES = {name: array[np.argsort(ORDER)] for name, array in ARRAYS.items()}  # in time order
CODE_THERE = THERE["code"][np.argsort(ORDER)]


class CountingReader(ArrayReader):
    """Notes how many rows, and elements of each, are read."""

    read: list[tuple[int, int]] = []  # noqa: RUF012 - shared by all readers on purpose

    def blocks(self, rows: Any, *, elements: slice, block_nbytes: int) -> Any:
        n_elements = int(np.prod(self.shape))
        self.read.append((len(rows), len(range(*elements.indices(n_elements)))))
        return super().blocks(rows, elements=elements, block_nbytes=block_nbytes)


class CountingSource(MemorySource):
    def reader(self, name: str) -> CountingReader:
        plain = super().reader(name)
        assert isinstance(plain, ArrayReader)
        return CountingReader(plain.array, plain.valid)


@pytest.fixture
def run() -> Run:
    CountingReader.read.clear()
    settings = {"UserDataCfg/cam/q": np.arange(5.0)}
    places = {"cam/frame": {1: ("q", np.arange(5) * 0.1)}}
    source = CountingSource(ARRAYS, TIMES[ORDER], valid=THERE, run_level=settings, element_coordinates=places)
    return Run(source, units={"ipm2/sum": "V"})


# What it looks like


def test_shape_type_and_length_are_those_of_all_events_and_nothing_is_read(run: Run) -> None:
    frame = run["cam/frame"]

    assert (frame.shape, frame.ndim, frame.size, len(frame)) == ((N, 3, 5), 3, N * 15, N)
    assert frame.dtype == np.uint16
    assert frame.info.shape == (3, 5)
    assert run["UserDataCfg/cam/q"].shape == (5,)
    assert CountingReader.read == []


def test_numpy_takes_it_for_an_array(run: Run) -> None:
    i0, values = run["ipm2/sum"], VALUES["ipm2/sum"]

    np.testing.assert_array_equal(np.asarray(i0), values)
    np.testing.assert_array_equal(np.asarray(i0, np.float32), values.astype(np.float32))
    np.testing.assert_array_equal(i0.values, values)
    np.testing.assert_array_equal(list(i0), values)
    assert np.nanmean(i0) == np.nanmean(values)
    assert np.histogram(i0, bins=3, range=(0, 2))[0].tolist() == np.histogram(values, 3, (0, 2))[0].tolist()


def test_it_is_neither_true_nor_false(run: Run) -> None:
    with pytest.raises(ValueError, match="'code' has many values"):
        bool(run["code"])


# Slices


@pytest.mark.parametrize(
    ("key", "read"),
    [
        (slice(10), (10, 1)),
        (slice(None, None, 10), (4, 1)),
        (slice(-3, None), (3, 1)),
        (slice(None, None, -4), (10, 1)),
        (7, (1, 1)),
        (-1, (1, 1)),
        ([3, 1, 1, -2], (4, 1)),
        (np.arange(N) % 5 == 0, (8, 1)),
        ((np.arange(N) % 5 == 0).tolist(), (8, 1)),
        (Ellipsis, (N, 1)),
    ],
)
def test_slices_read_the_events_that_are_asked_for(run: Run, key: Any, read: tuple[int, int]) -> None:
    found = run["ipm2/sum"][key]

    assert isinstance(found, xr.DataArray)
    np.testing.assert_array_equal(found, VALUES["ipm2/sum"][key])
    np.testing.assert_array_equal(found.timestamp, TIMES[key])
    assert found.attrs["units"] == "V"
    assert CountingReader.read == [read]


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ((slice(4), 1), (4, 5)),
        ((slice(4), slice(None), 2), (4, 11)),
        ((3, 2, 4), (1, 1)),
        ((slice(None, None, 20), [2, 0], slice(1, 3)), (2, 12)),
        ((Ellipsis, 0), (N, 11)),
        ((slice(2), np.array([True, False, True])), (2, 15)),
    ],
)
def test_slices_read_the_elements_that_are_asked_for(run: Run, key: Any, read: tuple[int, int]) -> None:
    found = run["cam/frame"][key]

    assert CountingReader.read == [read]
    xr.testing.assert_identical(found, run["cam/frame"].read()[key])


elements = st.one_of(
    st.integers(-3, 2),
    st.builds(slice, st.none() | st.integers(-4, 4), st.none() | st.integers(-4, 4)),
    st.lists(st.integers(-3, 2), max_size=4),
)
events = st.one_of(
    st.integers(-N, N - 1),
    st.builds(
        slice,
        st.none() | st.integers(-N, N),
        st.none() | st.integers(-N, N),
        st.none() | st.integers(1, 9) | st.integers(-9, -1),
    ),
    st.lists(st.integers(-N, N - 1), max_size=6),
)


@given(
    key=st.tuples(events, elements) | st.tuples(events) | st.tuples(events, elements, st.just(slice(1, 4)))
)
def test_any_slice_is_that_of_the_whole_array(key: Any) -> None:
    field = Run(MemorySource(ARRAYS, TIMES[ORDER], valid=THERE))["cam/frame"]

    xr.testing.assert_identical(field[key], field.read()[key])


def test_events_that_lack_the_value_say_so_in_a_slice(run: Run) -> None:
    whole = run["code"].read()

    xr.testing.assert_identical(run["code"][2:30], whole[2:30])
    assert not CODE_THERE[2:30].all()


def test_what_is_computed_is_so_for_the_events_asked_for() -> None:
    computed: list[slice] = []

    class Twice:
        shape, dtype = (), np.dtype(float)

        def compute(self, window: Any) -> Any:
            from cubeengine.events.window import Computed

            computed.append(window.events)
            return Computed(Column(2 * window.column("x").data))

    n = 3 * 2**20 + 5
    run = Run(MemorySource({"x": np.arange(n)})).with_columns({"twice": Twice()})

    assert run["twice"][[n - 1, 2, n - 2, 2]].values.tolist() == [2 * n - 2, 4, 2 * n - 4, 4]
    assert [(part.start, part.stop) for part in computed] == [(0, 2**20), (3 * 2**20, n)]


def test_mask_with_times_is_aligned(run: Run) -> None:
    i0 = run["ipm2/sum"]
    mask = (i0 > 1)[::-1]

    np.testing.assert_array_equal(i0[mask], VALUES["ipm2/sum"][VALUES["ipm2/sum"] > 1])
    np.testing.assert_array_equal(i0[mask[5:]].timestamp, np.sort(mask[5:].timestamp[mask[5:].values]))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (N, "out of bounds"),
        ("a", "only integers, slices"),
        (1.5, "only integers, slices"),
        ((0, 0), "2 indices for 1 dimensions"),
        (None, "choose events with one index"),
    ],
)
def test_wrong_index_is_told(run: Run, key: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        run["ipm2/sum"][key]


def test_mask_of_another_length_is_refused(run: Run) -> None:
    with pytest.raises(SpecError, match=r"the mask has 39 rows .* has 40 events"):
        run["ipm2/sum"][np.ones(39, bool)]


# Arithmetic


def test_arithmetic_gives_data_arrays_with_the_times_of_the_events(run: Run) -> None:
    i0, values = run["ipm2/sum"], VALUES["ipm2/sum"]
    for found, expected in (
        (i0 + 1, values + 1),
        (1 / i0, 1 / values),
        (-i0, -values),
        (abs(i0 - 2), abs(values - 2)),
        (i0 * i0, values * values),
        (i0 - i0.read(), values - values),
        (i0.read() - i0, values - values),
        (np.arange(N) * i0, np.arange(N) * values),
        (np.sqrt(i0), np.sqrt(values)),
    ):
        assert isinstance(found, xr.DataArray)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found.timestamp, TIMES)
    assert "units" not in (i0 * i0).attrs


def test_narrow_integers_do_not_overflow(run: Run) -> None:
    small, values = run["small"], VALUES["small"].astype(int)

    np.testing.assert_array_equal(small * 300 - small**2, values * 300 - values**2)
    np.testing.assert_array_equal(run["small"] - run["small"].read().astype(int), np.zeros(N))


@pytest.mark.parametrize("compare", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparison_of_what_is_missing_is_unknown(run: Run, compare: str) -> None:
    import operator

    chosen = getattr(operator, compare)
    known = ~np.isnan(VALUES["ipm2/sum"])

    found = chosen(run["ipm2/sum"], 1.0)
    np.testing.assert_array_equal(found, chosen(VALUES["ipm2/sum"], 1.0) & known)
    np.testing.assert_array_equal(found.valid, known)
    code = chosen(run["code"], 1)
    np.testing.assert_array_equal(code, chosen(VALUES["code"], 1) & CODE_THERE)
    np.testing.assert_array_equal(code.valid, CODE_THERE)
    assert "valid" not in chosen(run["small"], 1).coords


def test_question_for_nan_is_answered(run: Run) -> None:
    np.testing.assert_array_equal(np.isnan(run["ipm2/sum"]), np.isnan(VALUES["ipm2/sum"]))


# Groups


def test_name_of_several_fields_lists_them(run: Run) -> None:
    group = run["ipm2"]

    assert list(group) == ["sum", "channels"]
    assert len(group) == 2
    assert "sum" in group
    assert group["sum"].name == "ipm2/sum"
    assert group["channels"][:3].shape == (3, 4)
    assert "2 fields of ipm2 in run" in repr(group)
    assert "ipm2/channels" in repr(group)
    assert "ipm2/channels" in group._repr_html_()


def test_name_of_one_field_is_that_field(run: Run) -> None:
    assert run["cam"].name == "cam/frame"
    assert run["UserDataCfg/cam"].name == run["UserDataCfg"].name == "UserDataCfg/cam/q"


def test_groups_may_lie_in_one_another() -> None:
    names = ["det/raw/raw", "det/raw/count", "det/sum"]
    run = Run(MemorySource({name: np.arange(3) for name in names}))

    assert run["det"]["raw"]["raw"].name == run["det"]["raw/raw"].name == run["det__raw"]["raw"].name
    assert list(run["det"]) == ["raw/raw", "raw/count", "sum"]


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        np.mean,
        np.sqrt,
        lambda group: group + 1,
        lambda group: group > 1,
        lambda group: np.ones(N) * group,
        lambda group: group[:10],
        lambda group: group[np.ones(N, bool)],
    ],
)
def test_group_is_no_array(run: Run, use: Any) -> None:
    with pytest.raises(SpecError, match=r"'ipm2' has 2 fields; name one: run\['ipm2/sum'\], run\['ipm2/ch"):
        use(run["ipm2"])


@pytest.mark.parametrize("name", ["read", "values", "shape", "dask", "dtype"])
def test_group_has_nothing_of_an_array(run: Run, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"name one: run\['ipm2/sum'\].* no '{name}'"):
        getattr(run["ipm2"], name)


def test_unknown_field_of_a_group_names_those_there_are(run: Run) -> None:
    with pytest.raises(FieldNotFound, match=r"'ipm2/summ' is not in .* nearest: 'ipm2/sum'"):
        run["ipm2"]["summ"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (["ipm2/sum", "code"], r"e.g. run\['ipm2/sum'\]; .*run.data\[\['ipm2__sum', 'code'\]\]"),
        (("ipm2/sum", "code"), "a run returns one field"),
        (3, r"name of a field, not with 3; choose events on a field, e.g. run\['ipm2/sum'\]\[:10\]"),
        (slice(10), "the name of a field"),
    ],
)
def test_run_says_what_it_takes(run: Run, key: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        run[key]
