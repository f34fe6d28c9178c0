"""Formulas of frames are computed of the rows that tasks read: nothing as large as the input is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cubeengine import api
from cubeengine.budget import Budget
from cubeengine.events.streamed import FormulaReader
from cubeengine.events.window import Window
from cubeengine.graph.work import WorkFolder
from cubeengine.planning import planner
from cubeengine.planning.cost import Tuning
from cubeengine.planning.make import signal_forms
from cubeengine.planning.side import Growing
from cubeengine.sources.smalldata import SmallDataSource
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_hash
from tests.makers.frames import STRATEGIES, frame_arrays, write_frames
from tests.quick import first_quick

N, SHAPE, N_BINS = 400, (6, 7), 4
SPEC = CubeSpec.loads(
    f"""
cube: formulas
derive:
  scaled: i0 * 2
  dark: det__volts - 100 * scaled
  twice: dark * 2
  whole: det__counts + 1
  bits: det__counts & 255
  hot: det__volts > 1000
  corner: det__counts[1:3, 2] / i0
  brightest: max(twice)
axes: [{{field: x, edges: {{start: 0, stop: 10, bins: {N_BINS}}}, unit: ''}}]
signals: [dark, twice, whole, bits, hot, corner, brightest]
"""
)


def expected(arrays):
    volts, counts = arrays["det/volts"].astype(float), arrays["det/counts"].astype(float)
    i0 = arrays["i0"][:, None, None]
    dark = volts - 200 * i0
    return {
        "dark": dark,
        "twice": 2 * dark,
        "whole": counts + 1,
        "bits": counts % 256,
        "corner": counts[:, 1:3, 2] / arrays["i0"][:, None],
        "brightest": np.where(np.isnan(dark).any(axis=(1, 2)), np.nan, 2 * dark.max(axis=(1, 2))),
    }


def bins(x):
    edges = np.linspace(0, 10, N_BINS + 1)
    inside = (x >= 0) & (x <= 10)
    places = np.minimum(np.searchsorted(edges, x, side="right") - 1, N_BINS - 1)
    return [np.flatnonzero(inside & (places == number)) for number in range(N_BINS)]


@pytest.fixture(scope="module")
def arrays():
    return frame_arrays(N, SHAPE)


@pytest.fixture(scope="module", params=first_quick(["chunks", "contiguous", "gzip"]))
def run(request, arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "frames.h5"
    chunks = {
        "contiguous": {},
        "chunks": {"chunk_events": 7},
        "gzip": {"chunk_events": 7, "compression": "gzip"},
    }
    return write_frames(path, arrays, **chunks[request.param])


def forced(run, strategy):
    tuning = Tuning(leaf_nbytes=2**14, leaf_to_partial=0, block_nbytes=2**13)
    plan = api.plan(run, SPEC, tuning=tuning)
    signals = tuple(
        planner.STRATEGIES[strategy](forms[0], Budget(), tuning) if forms[0].n_elements > 1 else chosen
        for forms, chosen in zip(signal_forms(plan.bound), plan.work.signals, strict=True)
    )
    return api.Plan(plan.bound, replace(plan.work, signals=signals), plan.budget)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cubes_of_formulas_are_those_of_numpy(run, arrays, strategy):
    cube = forced(run, strategy).compute(workers=2)
    for name, values in expected(arrays).items():
        for number, events in enumerate(bins(arrays["x"])):
            there = np.isfinite(values[events])
            np.testing.assert_array_equal(cube[f"{name}_count"][0, number], there.sum(axis=0), err_msg=name)
            mean = np.nanmean(values[events], axis=0)
            tight = 1e-6 if name in {"dark", "twice", "brightest"} else 1e-13  # of float32
            np.testing.assert_allclose(cube[f"{name}_mean"][0, number], mean, rtol=tight, err_msg=name)


def test_events_of_which_a_pixel_is_unknown_are_left_out_of_conditions(run, arrays):
    cube = api.plan(run, SPEC).compute(workers=1)
    volts, x = arrays["det/volts"], arrays["x"]
    for number, events in enumerate(bins(x)):
        known = events[~np.isnan(volts[events]).any(axis=(1, 2))]
        if len(known):
            np.testing.assert_allclose(
                cube["hot_mean"][0, number], (volts[known] > 1000).mean(axis=0), rtol=1e-14
            )


def test_planning_reads_no_frames_and_keeps_none(run, monkeypatch):
    text = "".join(line for line in SPEC.to_yaml().splitlines(keepends=True) if "brightest" not in line)
    spec = CubeSpec.loads(text)
    read, kept = [], []
    plain_read, plain_append = SmallDataSource.read, Growing.append

    def reading(self, name, events=None):
        read.append(name)
        return plain_read(self, name, events)

    def appending(self, part):
        kept.append(part.shape[1:])
        return plain_append(self, part)

    monkeypatch.setattr(SmallDataSource, "read", reading)
    monkeypatch.setattr(Growing, "append", appending)
    plan = api.plan(run, spec)
    assert not {"det/volts", "det/counts"} & set(read)
    assert set(kept) <= {()}
    assert plan.to_dict()["disk"]["side"] < 20 * N * 8


@pytest.mark.slow
def test_nothing_as_large_as_the_frames_is_written(run, arrays, tmp_path, monkeypatch):
    saved, plain = [], WorkFolder.save
    monkeypatch.setattr(
        WorkFolder, "save", lambda self, name, array: saved.append(array.nbytes) or plain(self, name, array)
    )
    plan = api.plan(run, SPEC)
    plan.to_zarr(tmp_path / "cube.zarr", launcher="processes", workers=1)
    assert max(saved) <= 8 * N + 128


@pytest.mark.slow
def test_resumed_cubes_of_formulas_are_the_same(run, tmp_path):
    plan = forced(run, "stream")
    again = forced(api.open_run(run.files[0].path), "stream")
    assert plan.work.key == again.work.key
    hashes = {
        cube_hash(p.to_zarr(tmp_path / f"{n}.zarr", workers=1 + n).path) for n, p in enumerate((plan, again))
    }
    assert len(hashes) == 1


def test_another_formula_is_another_plan(run):
    other = CubeSpec.loads(SPEC.to_yaml().replace("100 * scaled", "101 * scaled"))
    assert api.plan(run, SPEC).work.key != api.plan(run, other).work.key


@pytest.mark.parametrize("rows", [np.arange(N), np.arange(N)[::-3], np.array([5, 5, 399, 0]), np.arange(0)])
@pytest.mark.parametrize("elements", [slice(None), slice(3, 11)])
def test_any_rows_and_elements_can_be_read(run, arrays, rows, elements):
    bound = api.plan(run, SPEC).bound
    reader = bound.run.reader("dark")
    assert isinstance(reader, FormulaReader)
    wanted = expected(arrays)["dark"].reshape(N, -1)
    seen = 0
    for block in reader.blocks(rows, elements=elements, block_nbytes=5000):
        assert block.start == seen
        np.testing.assert_allclose(
            block.data[block.take], wanted[rows[block.start : block.stop], elements], rtol=1e-5
        )
        seen = block.stop
    assert seen == len(rows)


def test_chunks_are_not_cut_where_they_fit(run):
    reader = api.plan(run, SPEC).bound.run.reader("dark")
    together = 7 if run.fields["det/volts"].storage.chunk_events == 7 else 1
    starts = [block.start for block in reader.blocks(np.arange(N), elements=slice(None), block_nbytes=2**17)]
    assert all(start % together == 0 for start in starts)


def test_numbers_of_an_event_are_not_read_again_with_every_few_frames(run, monkeypatch):
    from cubeengine.events import streamed

    reader = api.plan(run, SPEC).bound.run.reader("corner")
    looked, plain = [], streamed.read_column
    monkeypatch.setattr(
        streamed, "read_column", lambda inner, rows: looked.append(inner.shape) or plain(inner, rows)
    )
    list(reader.blocks(np.arange(N), elements=slice(None), block_nbytes=1))
    assert looked.count(()) == 1


def test_a_number_made_of_a_formula_of_frames_takes_blocks_of_them(run, monkeypatch):
    widths, plain = [], Window.column

    def column(self, name):
        if name == "twice":
            widths.append(self.n_events)
        return plain(self, name)

    from cubeengine.events import blocks

    monkeypatch.setattr(blocks, "BLOCK_NBYTES", 2**14)
    monkeypatch.setattr(Window, "column", column)
    api.plan(run, SPEC)
    assert 0 < max(widths) < N / 4
    assert Path(run.files[0].path).exists()
