"""Arrays that users give: brought into the order of the events by what they say of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cubeengine.errors import SpecError
from cubeengine.events.given import given_column, given_mask, is_mask
from cubeengine.events.run import Run
from cubeengine.sources.memory import MemorySource

N = 8
RUN = Run(MemorySource({"x": np.arange(N, dtype=float)}))
X = np.arange(N, dtype=float)
SOME = np.array([5, 0, 6])


def expected() -> np.ndarray:
    found = np.full(N, np.nan)
    found[SOME] = X[SOME]
    return found


def series(values: Any, index: Any) -> Any:
    return pd.Series(values, index=index)


@pytest.mark.parametrize(
    "given",
    [
        RUN["x"].read()[SOME],
        RUN["x"].read()[SOME].drop_vars("timestamp"),
        RUN["x"].read()[SOME].swap_dims(event="timestamp"),
        RUN["x"].read()[SOME].swap_dims(event="time").drop_vars("timestamp"),
        xr.DataArray(X[SOME], dims="event", coords={"event": SOME}),
        series(X[SOME], SOME),
        series(X[SOME], RUN.time[SOME]),
        RUN.data.to_dataframe()["x"].iloc[SOME],
        RUN["x"].read()[SOME].expand_dims(y=1).isel(y=0),
    ],
    ids=lambda given: type(given).__name__,
)
def test_rows_are_found_by_time_or_number(given: Any) -> None:
    column = given_column(RUN, "it", given)

    np.testing.assert_array_equal(column.data, expected())


@pytest.mark.parametrize(
    "given",
    [
        X,
        X.tolist(),
        xr.DataArray(X),
        series(X, np.arange(N)),
        RUN["x"],
        RUN["x"].read(),
        series(X, list("abcdefgh")),
    ],
    ids=lambda given: type(given).__name__,
)
def test_rows_without_a_name_are_the_events_as_they_are(given: Any) -> None:
    np.testing.assert_array_equal(given_column(RUN, "it", given).data, X)


@pytest.mark.parametrize(
    "given",
    [
        X[:5],
        xr.DataArray(X[:5], dims="event"),
        series(X[:5], np.arange(5)),  # numbered anew: which events they are nobody knows
        xr.DataArray(X[:5], dims="event", coords={"event": np.arange(5)}),
        RUN["x"].read()[:5].drop_vars(["time", "timestamp"]),
        series(X[:5], list("abcde")),
    ],
    ids=lambda given: type(given).__name__,
)
def test_wrong_length_is_refused(given: Any) -> None:
    with pytest.raises(
        SpecError, match=r"it has 5 rows \(shape \(5,\)\), but run in memory has 8 events; give"
    ):
        given_column(RUN, "it", given)


def test_other_events_are_refused() -> None:
    with pytest.raises(SpecError, match=r"1 of its 2 rows are not events of .* by their 'event'"):
        given_column(RUN, "it", xr.DataArray(X[:2], dims="event", coords={"event": [3, 8]}))


def test_times_that_are_not_single_are_no_order() -> None:
    times = np.array([1, 2, 2, 3], np.uint64)
    run = Run(MemorySource({"x": X[:4]}, times))
    whole = run["x"].read()

    np.testing.assert_array_equal(given_column(run, "it", whole).data, X[:4])
    with pytest.raises(SpecError, match=r"'timestamp', because the run has some"):
        given_column(run, "it", whole[[0, 3]])
    with pytest.raises(SpecError, match=r"'timestamp', because it has some of these twice"):
        given_column(RUN, "it", RUN["x"].read()[[1, 1]])


def test_what_is_missing_of_integers_and_booleans_is_marked() -> None:
    whole = given_column(RUN, "it", RUN["x"].read()[SOME].astype(np.int16))
    assert whole.valid is not None
    np.testing.assert_array_equal(np.flatnonzero(whole.valid), np.sort(SOME))
    np.testing.assert_array_equal(whole.data[whole.valid], np.sort(SOME))
    mask = given_mask(RUN, (RUN["x"] > 2)[SOME])
    assert mask.valid is not None
    np.testing.assert_array_equal(mask.data & mask.valid, np.isin(np.arange(N), [5, 6]))
    nothing = given_mask(RUN, (RUN["x"] > 2)[:0])
    assert nothing.valid is not None
    assert not nothing.valid.any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.arange(N), r"holds int64, not booleans; compare it, e.g. mask == 1; to turn event numbers"),
        (X, "holds float64, not booleans"),
        (np.ones((N, 3), bool), r"shape \(3,\) per event, but a selection needs one answer"),
        (np.True_, "is a single value"),
    ],
)
def test_what_is_no_mask_is_told(given: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        given_mask(RUN, given)


def test_masks_are_told_from_other_selections() -> None:
    masks = [X > 1, RUN["x"] > 1, RUN["x"], [True, False], (True,), series(X > 1, np.arange(N))]
    others = ["x > 1", ["x > 1"], [], {"field": "x", "min": 1}, None, np.str_("x"), ("a", True)]

    assert [is_mask(mask) for mask in masks] == [True] * len(masks)
    assert [is_mask(other) for other in others] == [False] * len(others)
