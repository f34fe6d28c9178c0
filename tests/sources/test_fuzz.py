"""Damaged files: an error or data, never a crash or an endless wait."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.makers.smalldata import write_joined, write_lcls1, write_lcls2
from tests.waiting import PATIENCE

# In a process of its own, as a crash of the library would take the tests with it.
_READ_DAMAGED = """
import importlib, random, sys, warnings
from pathlib import Path
from cubeengine.sources import coded
from cubeengine.errors import CubeEngineError
from cubeengine.sources.registry import open_source
from cubeengine.types import FieldKind
path, damaged, kind, rounds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
module = importlib.import_module(sys.argv[5])
coded.inflating = lambda: module
whole, rng = damaged.read_bytes(), random.Random(5)
for number in range(rounds):
    content = bytearray(whole)
    if kind == "cut":
        del content[len(whole) * number // rounds:]
    else:
        # The structure lies between the data; flips in small files hit it often.
        for _ in range(8):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    damaged.write_bytes(content)
    try:
        source = open_source(path)
    except CubeEngineError:
        continue
    for name, info in source.fields.items():
        try:
            source.read(name)
        except CubeEngineError:
            pass
print("done")
"""


@pytest.mark.parametrize("kind", ["cut", pytest.param("flip", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("layout", "inflater"),
    [
        ("lcls1", "isal.isal_zlib"),
        ("joined", "zlib"),
        pytest.param("lcls1", "zlib", marks=pytest.mark.slow),
        pytest.param("lcls2", "zlib", marks=pytest.mark.slow),
    ],
)
def test_damaged_files_give_errors_or_data(tmp_path: Path, layout: str, inflater: str, kind: str) -> None:
    pytest.importorskip(inflater)
    small = {"n_events": 12, "frame": (2, 3)}
    if layout == "lcls1":
        options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        path = write_lcls1(tmp_path / "a.h5", chunk_events=5, compression=options, **small).path
        damaged = path
    elif layout == "lcls2":
        path = write_lcls2(tmp_path / "a.h5", batch=5, late=3, **small).path
        damaged = path
    else:
        truth = write_joined(tmp_path, batch=3, **small)
        # Flipped bits in the map of a virtual dataset crash HDF5 2.0 itself when it opens the dataset, so
        # here it is a part that is damaged.
        path, damaged = truth.path, truth.path if kind == "cut" else truth.parts[0]
    done = subprocess.run(
        [sys.executable, "-c", _READ_DAMAGED, str(path), str(damaged), kind, "60", inflater],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout == "done\n", done.stderr[-2000:]
