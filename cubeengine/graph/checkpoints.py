"""Partial sums in files, so that a long fold need not begin anew: plain arrays, nothing pickled."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from cubeengine.errors import StoreMismatch
from cubeengine.graph.tasks import Sums, Tally, done
from cubeengine.kernels.moments import Partial
from cubeengine.shared import HEADERS
from cubeengine.store.files import reading, sync_path, writing

EVERY = 8
"""A fold is kept after so many leaves: each reads some times the size of the sums, so that writing these
costs some percent, and what a lost node costs is seconds to minutes."""


def checkpoint_path(folder: Path, stem: str, number: int) -> Path:
    """Name the file of a fold: the part it belongs to, and the leaf it goes up to."""
    return folder / f"{stem}.{number}.npz"


def latest_checkpoint(folder: Path, stem: str) -> tuple[int, Path] | None:
    """Give the fold of a part that goes furthest, and its file; None where none was kept."""
    return max(_checkpoints(folder, stem), default=None)


def save_sums(path: Path, sums: Sums) -> None:
    """Write sums under another name, bring them to the disk, and put them in place."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    arrays = {"left_out": sums.left_out, "n_tiles": np.array(len(sums.tiles))}
    for number, tile in enumerate(sums.tiles):
        arrays |= {f"{number}.dtype": np.array(tile.dtype.str), f"{number}.n_events": tile.n_events}
        arrays |= {f"{number}.{name}": array for name, array in tile.arrays.items()}
    with writing(path, "keeping partial sums"):
        with partial.open("xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        sync_path(partial)
        partial.replace(path)


def load_sums(path: Path) -> Sums:
    """Read sums that `save_sums` wrote.

    Raises
    ------
    StoreMismatch
        If the file is not what it should be.
    StoreWriteError
        If the file system fails.
    """
    try:
        with reading(path, "reading partial sums"), HEADERS, np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        tiles = tuple(_tile(values, f"{number}.") for number in range(int(values["n_tiles"])))
        return Sums(tiles, values["left_out"])
    except (EOFError, BadZipFile, ValueError, KeyError) as err:
        raise StoreMismatch(f"{path}: cannot be read ({err}); run again without --resume") from err


def _tile(values: dict[str, np.ndarray], start: str) -> Partial:
    own = {name.removeprefix(start): array for name, array in values.items() if name.startswith(start)}
    return Partial(np.dtype(str(own.pop("dtype"))), own.pop("n_events"), own)


def keep(sums: Sums, folder: Path, stem: str, number: int) -> Sums:
    """Save the folded partials, replacing the last checkpoint; return them."""
    save_sums(checkpoint_path(folder, stem, number), sums)
    for earlier, path in _checkpoints(folder, stem):
        if earlier < number:
            path.unlink(missing_ok=True)
    return sums


def finish_part(folder: Path, stem: str, *counts: Tally) -> Tally:
    """Remove what was kept of a part that is written; gives the sum of what was counted."""
    for _, path in _checkpoints(folder, stem):
        path.unlink(missing_ok=True)
    return done(*counts)


def _checkpoints(folder: Path, stem: str) -> list[tuple[int, Path]]:
    pattern = re.compile(rf"{re.escape(stem)}\.([0-9]+)\.npz")
    matches = ((pattern.fullmatch(path.name), path) for path in folder.iterdir())
    return [(int(match[1]), path) for match, path in matches if match]
