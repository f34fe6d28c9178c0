"""smallData files for the facade: the makers' layouts, with some datasets changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from cubeengine.compat import SmallDataAna, SmallDataAnaWarning
from tests.makers.smalldata import Truth, write_lcls1

EXPERIMENT, RUN = "xpptut15", 12


def write_run(folder: Path, changes: dict[str, Any] | None = None, **options: Any) -> Truth:
    """Write a run of LCLS-I with datasets put in, or in the place of others; None takes one out."""
    truth = write_lcls1(folder / f"{EXPERIMENT}_Run{RUN:04d}.h5", **options)
    change(truth, changes or {})
    return truth


def change(truth: Truth, changes: dict[str, Any]) -> None:
    with h5py.File(truth.path, "r+") as file:
        for name, values in changes.items():
            if name in file:
                del file[name]
            if values is not None:
                file[name] = values
                truth.columns[name] = np.asarray(values)


def open_ana(truth: Truth, **options: Any) -> SmallDataAna:
    """Open it as a notebook does, but with nothing from last time and nothing kept."""
    return SmallDataAna(EXPERIMENT, RUN, str(truth.path.parent), **{"saved": None, **options})


@contextmanager
def told(words: str) -> Iterator[None]:
    """Expect that a difference is told in these words, among others."""
    with pytest.warns(SmallDataAnaWarning) as warned:
        yield
    texts = [str(one.message) for one in warned]
    assert any(re.search(words, text) for text in texts), texts


def in_bins(values: NDArray[Any], low: float, high: float, *, last: bool = False) -> NDArray[np.bool_]:
    """Events of one bin: [low, high), the last one [low, high]."""
    return (values >= low) & ((values <= high) if last else (values < high))
