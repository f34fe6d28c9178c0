"""float16 is float32 from the reader on: nothing above computes in a type that ends at 65,504."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cubeengine as ce
from tests.planning.runs import plan_of
from tests.suites.sources import read_blocks

N_EVENTS, SHAPE = 60, (5, 7)
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (4, *SHAPE)},
    "gzip": {"chunks": (4, *SHAPE), "compression": "gzip", "shuffle": True},
    "lzf, by the library": {"chunks": (4, *SHAPE), "compression": "lzf"},
    "parts of rows": {"chunks": (4, 5, 3)},
}


def frames() -> np.ndarray:
    values = np.random.default_rng(3).normal(300, 100, (N_EVENTS, *SHAPE)).astype("f2")
    values[0, 0, :4] = 65504, np.inf, np.nan, 6e-8
    return values


def write(folder: Path, values: Mapping[str, np.ndarray], **layout: Any) -> ce.Run:
    path = folder / "run.h5"
    with h5py.File(path, "w") as file:
        file["event_time"] = (np.arange(N_EVENTS) + 1_425_000_000) << 32
        for name, array in values.items():
            file.create_dataset(name, data=array, **layout)
    return ce.open_run(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_float16_is_read_as_float32_whatever_its_layout(tmp_path, layout, order):
    values = frames()
    run = write(tmp_path, {"d/f": values.astype(f"{order}f2")}, **layout)

    assert (run["d/f"].dtype, run.fields["d/f"].event_nbytes) == (np.float32, 4 * 35)
    np.testing.assert_array_equal(run["d/f"].read().to_numpy(), values.astype("f4"))
    rows = np.arange(0, N_EVENTS, 3)
    data, _ = read_blocks(run.reader("d/f"), rows, slice(2, 30), 1000)
    np.testing.assert_array_equal(data, values[rows].reshape(len(rows), -1)[:, 2:30])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_reading_float16_takes_no_more_than_is_projected(tmp_path, layout):
    values = np.ones((N_EVENTS, 40, 500), "f2")
    whole = {"chunks": (4, 40, 500)} if "chunks" in layout else {}
    reader = write(tmp_path, {"d/f": values}, **(layout | whole)).reader("d/f")
    rows = np.arange(N_EVENTS)
    list(zip(reader.blocks(rows, elements=slice(None), block_nbytes=400_000), strict=True))  # loaded

    tracemalloc.start()
    sizes = [b.data.nbytes for b in reader.blocks(rows, elements=slice(None), block_nbytes=400_000)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert max(sizes) <= 400_000
    assert peak <= reader.memory_nbytes(40 * 500, 400_000)


def test_parts_of_a_joined_file_are_widened(tmp_path):
    values = frames()
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["f"] = values[:40]
    layout = h5py.VirtualLayout(values.shape, "f2")
    layout[:40] = h5py.VirtualSource("part.h5", "f", (40, *SHAPE))
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["timestamp"] = (np.arange(N_EVENTS) + 1_078_500_000) << 32
        file.create_virtual_dataset("d/f", layout, fillvalue=np.nan)
    read = ce.open_run(tmp_path / "run.h5")["d/f"].read()

    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[:40], values[:40])
    assert np.isnan(read[40:]).all()


@pytest.mark.parametrize("from_file", [True, False])
def test_formulas_and_cubes_of_float16_are_those_of_wide_numbers(tmp_path, from_file):
    values, i0 = frames()[:, 1], np.linspace(1, 400, N_EVENTS).astype("f2")
    fields = {"d/f": values, "i0": i0}
    run = write(tmp_path, fields) if from_file else ce.Run(ce.MemorySource(fields))
    spec = ce.CubeSpec(
        cube="a",
        derive={"square": "i0 * i0", "total": "sum(d__f) * i0"},
        select={"bright": "i0 ** 2 > 70000"},
        cubes=["all", "bright"],
        signals=["square", "total", "d/f"],
    )
    cube = ce.plan(run, spec).compute()

    wide, bright = i0.astype(float), i0.astype(float) ** 2 > 70000
    total = values.astype(float).sum(axis=1) * wide
    for number, kept in enumerate((np.ones(N_EVENTS, bool), bright)):
        assert cube["n_events"][number] == kept.sum()
        np.testing.assert_allclose(cube["square_mean"][number], (wide**2)[kept].mean(), 1e-13)
        np.testing.assert_allclose(cube["total_mean"][number], total[kept].mean(), 1e-12)
        np.testing.assert_allclose(cube["d__f_std"][number], values[kept].astype(float).std(axis=0), 1e-10)


H = np.tile([0.1, 0.2, 0.3, -9999, 60000, np.nan], 10).astype("f2")


def opened(folder: Path, in_file: bool) -> ce.Run:
    fields = {"h": H, "pair": np.stack([H, H], axis=1), "big": np.tile(H[:, None], (1, 600))}
    return write(folder, fields) if in_file else ce.Run(ce.MemorySource(fields))


@pytest.mark.parametrize("in_file", [True, False])
def test_marks_are_rounded_to_float16(tmp_path, in_file):
    run = opened(tmp_path, in_file)
    marked = run.with_missing({"h": (-9999, 0.1), "pair": 0.2}).with_missing({"big": 0.3})
    h, small = marked["h"].read().to_numpy(), H.astype("f4")
    lacking = np.isin(np.arange(60) % 6, [0, 3, 5])
    np.testing.assert_array_equal(h, np.where(lacking, np.nan, small))
    second = np.where(np.arange(60) % 6 == 1, np.nan, small)
    np.testing.assert_array_equal(marked["pair"].read(), np.stack([second, second], axis=1))
    third = np.where(np.arange(60) % 6 == 2, np.nan, small)
    np.testing.assert_array_equal(marked["big"].read()[:, 7], third)
    with pytest.raises(ce.SpecError, match=r"'h' is float16, numbers up to 65504, which cannot hold 99999"):
        run.with_missing({"h": 99999})


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        ("{field: h, equal: 0.1}", [0]),
        ("{field: h, in: [0.1, 0.3]}", [0, 2]),
        ("{field: h, min: 0.1, max: 0.2}", [0, 1]),
        ("{field: h, max: 70000}", [0, 1, 2, 3, 4]),
        ("h == 0.1", [0]),
        ("h != 0.1", [1, 2, 3, 4]),
        ("0.1 <= h <= 0.2", [0, 1]),
        ("h < 100000", [0, 1, 2, 3, 4]),
        ("h == -9999", [3]),
        ("pair[1] == 0.3", [2]),
        ("any(big == 0.2)", [1]),
        ("h * 2 > 100000", [4]),
    ],
)
def test_numbers_are_compared_with_float16_in_float16(tmp_path, in_file, cut, kept):
    spec = f"select: {{s: ['{cut}']}}\ncubes: [s]\nsignals: [h]"
    spec = spec if "field" not in cut else spec.replace("'", "")
    cube = plan_of(opened(tmp_path, in_file), spec).compute()
    chosen = np.isin(np.arange(60) % 6, kept)
    assert cube["n_events"].item() == chosen.sum()
    np.testing.assert_allclose(cube["h_mean"].item(), H[chosen].astype(float).mean(), 1e-12)


def test_streamed_formulas_compare_in_float16_too(tmp_path):
    spec = ce.CubeSpec(
        cube="a", derive={"few": "where(big == 0.1, 1, 0)", "plain": "h"}, signals=["few", "plain"]
    )
    cube = ce.plan(opened(tmp_path, in_file=True), spec).compute()
    np.testing.assert_allclose(cube["few_mean"], np.full((1, 600), 10 / 50), 1e-12)
    assert cube["plain_mean"].item() == pytest.approx(np.nanmean(H.astype(float)), 1e-12)
