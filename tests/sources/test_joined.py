from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import FieldNotFound, SourceFormatError, SpecError
from cubeengine.events.run import Run
from cubeengine.sources.joined import Join, join_sources, match_times
from cubeengine.sources.memory import MemorySource
from cubeengine.sources.pieces import MatchedReader
from cubeengine.types import DetectorInfo
from tests.suites.sources import SourceCase, SourceSuite

TIMES = np.arange(40, dtype=np.uint64) * 7 + (np.uint64(3) << np.uint64(32))
RNG = np.random.default_rng(7)
FRAMES = RNG.integers(0, 60_000, (40, 4, 5)).astype(np.uint16)
GAINS = RNG.normal(size=(40, 3)).astype(np.float32)
I0 = RNG.normal(size=40)
SMALL, RAW = np.arange(0, 40, 2), np.setdiff1d(np.arange(40), [6, 7, 20])
THERE = np.isin(SMALL, RAW)


def small(order=slice(None)):
    arrays = {"i0": I0[SMALL][order], "jungfrau/raw/raw": I0[SMALL][order] * 2}
    return MemorySource(arrays, timestamps=TIMES[SMALL][order])


def raw():
    arrays = {"jungfrau/raw/raw": FRAMES[RAW], "gain/raw/raw": GAINS[RAW]}
    return MemorySource(arrays, timestamps=TIMES[RAW], run_level={"setting": np.arange(3)})


class TestJoined(SourceSuite):
    @pytest.fixture(scope="class", params=["in order", "out of order"])
    @classmethod
    def case(cls, request):
        order = (
            slice(None) if request.param == "in order" else np.random.default_rng(1).permutation(len(SMALL))
        )
        return case(join_sources(small(order), raw()))


def case(source):
    columns = {
        "i0": I0[SMALL],
        "jungfrau/raw/raw": I0[SMALL] * 2,
        "xtc:jungfrau/raw/raw": FRAMES[SMALL],
        "gain/raw/raw": GAINS[SMALL],
    }
    return SourceCase(
        source, TIMES[SMALL], columns, dict.fromkeys(["xtc:jungfrau/raw/raw", "gain/raw/raw"], ~THERE)
    )


def test_what_matched_is_counted():
    joined = join_sources(small(), raw())
    assert joined.join.facts == {"matched": 18, "only_smalldata": 2, "only_raw": 19}
    assert str(joined.join) == "18 events in smallData and raw data, 2 only in smallData, 19 only in raw data"


def test_fields_are_those_of_both_and_smalldata_takes_precedence():
    joined = join_sources(small(), raw())
    assert set(joined.fields) == {"i0", "jungfrau/raw/raw", "xtc:jungfrau/raw/raw", "gain/raw/raw", "setting"}
    assert joined.fields["jungfrau/raw/raw"].shape == ()
    info = joined.fields["xtc:jungfrau/raw/raw"]
    assert (info.name, info.shape, info.n_rows) == ("xtc:jungfrau/raw/raw", (4, 5), 20)
    assert joined.read("setting").data.tolist() == [0, 1, 2]


def test_a_source_that_matches_itself_is_asked_to():
    @dataclass(frozen=True, eq=False)
    class Matching:
        inner: MemorySource

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def matched_reader(self, name, match):
            return replace(MatchedReader(self.inner.reader(name), match), match=match.copy())

        def detector(self, name):
            return DetectorInfo(name.partition("/")[0], "jungfrau")

    joined = join_sources(small(), Matching(raw()))
    np.testing.assert_array_equal(joined.read("xtc:jungfrau/raw/raw").data[THERE], FRAMES[SMALL][THERE])
    assert joined.detector("xtc:jungfrau/raw/raw").kind == "jungfrau"
    assert joined.detector("i0") is None


def test_marks_of_missing_values_go_to_the_side_that_has_the_field():
    first = np.arange(40) < 10
    raw_data = MemorySource({"n": np.where(first, 0, 7)}, timestamps=TIMES)
    small_data = MemorySource({"m": np.where(first, 0, 7)}, timestamps=TIMES)
    joined = join_sources(small_data, raw_data)
    assert (joined.leading_zero_rows("n"), joined.leading_zero_rows("m")) == (10, 10)
    marked = joined.with_missing({"n": "leading_zeros", "m": "leading_zeros"})
    for name in "nm":
        np.testing.assert_array_equal(marked.read(name).valid, ~first)
        assert joined.read(name).valid is None
    with pytest.raises(SpecError, match="not a mark"):
        joined.with_missing({"n": "zeros"})


def test_runs_without_an_event_in_common_are_refused():
    other = MemorySource({"a": np.zeros(3)}, timestamps=TIMES[:3] + np.uint64(10**15))
    with pytest.raises(SourceFormatError, match=r"3 events, 1970-.*different runs"):
        join_sources(small(), other)
    nothing = MemorySource({"a": np.zeros(0)}, timestamps=TIMES[:0])
    assert join_sources(nothing, raw()).n_events == 0
    with pytest.raises(SourceFormatError, match="no events"):
        join_sources(small(), nothing)


def test_unknown_fields_are_refused():
    with pytest.raises(FieldNotFound, match="nearest: 'gain/raw/raw'"):
        join_sources(small(), raw()).reader("gain/raw/rav")


@pytest.mark.parametrize(
    ("wanted", "there", "match", "join"),
    [
        ([1, 2, 3], [2, 3, 4], [-1, 0, 1], Join(2, 1, 1)),
        ([2, 2], [1, 2, 3], [1, 1], Join(2, 0, 2)),
        ([2, 2, 3], [2, 2, 3], [0, 1, 2], Join(3, 0, 0)),
        ([2, 3], [2, 2, 3], [-1, 2], Join(1, 1, 2, 1)),
        ([2, 2, 2], [2, 2], [-1, -1, -1], Join(0, 3, 2, 3)),
        ([], [1], [], Join(0, 0, 1)),
        ([1], [], [-1], Join(0, 1, 0)),
    ],
)
def test_events_of_one_time_are_matched_only_where_that_is_clear(wanted, there, match, join):
    found, counts = match_times(np.array(wanted, np.uint64), np.array(there, np.uint64))
    assert (found.tolist(), counts) == (match, join)


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)))
def test_matches_have_equal_times_and_the_counts_add_up(wanted, there):
    wanted, there = (np.array(sorted(times), np.uint64) for times in (wanted, there))
    match, join = match_times(wanted, there)
    np.testing.assert_array_equal(wanted[match >= 0], there[match[match >= 0]])
    assert join.matched + join.only_smalldata == len(wanted)
    assert join.only_raw >= len(there) - join.matched
    single = np.isin(wanted, [t for t in set(there.tolist()) if (there == t).sum() == 1])
    assert (match[single] >= 0).all()


def test_a_run_of_both_reads_either():
    run = Run(join_sources(small(slice(None, None, -1)), raw()))
    frames = run["xtc:jungfrau/raw/raw"].dask()
    np.testing.assert_array_equal(frames.valid.values, THERE)
    np.testing.assert_array_equal(frames.values[THERE], FRAMES[SMALL][THERE])
    assert np.isnan(run["gain/raw/raw"].read().values[~THERE]).all()
    assert "joined  18 events in smallData and raw data, 2 only in smallData" in repr(run)
    assert Run(raw()).join is None


def test_the_raw_field_can_always_be_named_as_such():
    run = Run(join_sources(small(), raw()))
    assert run["xtc:gain/raw/raw"].name == run["gain/raw"].name == "gain/raw/raw"
    assert run["jungfrau/raw/raw"].info.shape == ()
    assert run["xtc:jungfrau/raw"].info.shape == (4, 5)
    assert "xtc:i0" not in run
