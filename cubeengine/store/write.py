"""Writing a cube: under a temporary name, by whole chunks from many tasks, published by one rename.

create -> write_region (any number of tasks, threads, processes, hosts) -> update_attrs -> publish.
One writer run per target is assumed; readers need nothing. A run that dies leaves its temporary folder
(hidden, beside the target) and the target as it was.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from cubeengine.errors import StoreMismatch
from cubeengine.store import files, metadata
from cubeengine.store.attributes import stored_attributes
from cubeengine.store.chunks import SEPARATOR, chunk_index, chunk_name, missing_chunks
from cubeengine.store.encode import StoredArray, compressor, open_stored
from cubeengine.store.layout import STRING, ArrayLayout, CubeLayout, Region, regions

logger = logging.getLogger(__name__)

_TEMPORARY = re.compile(r"\..+\.tmp-[0-9a-f]{16}")


def create(
    target: Path,
    layout: CubeLayout,
    small: Mapping[str, NDArray[np.generic]],
    *,
    overwrite: bool = False,
    token: str | None = None,
) -> Path:
    """Make an empty cube under a temporary name beside `target`, with its small arrays filled in.

    Parameters
    ----------
    target : Path
        Where the cube is to be published, e.g. `out/delay.zarr`; its folder must exist.
    layout : CubeLayout
        All arrays. The marker attribute is added.
    small : mapping of name to array
        Arrays known beforehand (coordinates, bin edges, event counts), of the shape in the layout.
    overwrite : bool
        Whether a cube at `target` may be replaced when this one is published.
    token : str, optional
        16 hexadecimal digits that the temporary name ends with, for a run that may be resumed; what an
        earlier run left under that name is removed. Default: random.

    Returns
    -------
    Path
        The temporary store: to be given to `write_region`, and then to `publish` or `discard`.

    Raises
    ------
    StoreMismatch
        If something is at `target` that may not be replaced, or the target's folder is not there.
    StoreWriteError
        If the file system fails; nothing is left behind.
    """
    check_target(target, overwrite=overwrite)
    temporary = temporary_of(target, token or uuid.uuid4().hex[:16])
    if token:
        discard(temporary)
    with files.writing(temporary, "creating the cube"):
        temporary.mkdir()
    try:
        with files.writing(temporary, "creating the cube"):
            _create_arrays(temporary, layout)
        for name, values in small.items():
            _write_whole(temporary, layout[name], values)
    except BaseException:
        _remove_quietly(temporary)
        raise
    return temporary


def temporary_of(target: Path, token: str) -> Path:
    """Return the name of a temporary store."""
    return target.with_name(f".{target.name}.tmp-{token}")


def is_made(path: Path, key: str) -> bool:
    """Return whether there is a cube, published or not, of the plan with that key."""
    plan = metadata.read_facts(path).get("plan") if metadata.is_cube(path) else None
    return isinstance(plan, dict) and plan.get("key") == key


_OTHERS = (".nc", ".h5", ".hdf5", ".yaml", ".yml", ".json")
"""Ends of names of files that are no zarr stores."""


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise where a cube may not be published at `target`; to be called before anything is computed.

    Raises
    ------
    StoreMismatch
        If `target` has the name of another kind of file, its folder is not there, or something is at
        `target` that is no cube, or a cube without `overwrite`, or a link.
    """
    if target.suffix.lower() in _OTHERS:
        netcdf = f", or use ce.open_cube(...).to_netcdf({target.name!r})" if target.suffix == ".nc" else ""
        raise StoreMismatch(f"{target}: the output is a zarr store; end the name with .zarr{netcdf}")
    if not target.parent.is_dir():
        raise StoreMismatch(f"{target}: its folder {str(target.parent)!r} does not exist; create it first")
    if target.is_symlink():
        raise StoreMismatch(f"{target}: is a symbolic link, which is never replaced; choose another output")
    if not os.path.lexists(target):
        return
    if not metadata.is_cube(target):
        raise StoreMismatch(
            f"{target}: exists and is not a cube, so it is never replaced; choose another output"
        )
    if not overwrite:
        raise StoreMismatch(
            f"{target}: already exists; replace it with --overwrite, in Python overwrite=True, or "
            "choose another output"
        )


def write_region(store: Path, array: str, region: Region, values: NDArray[np.generic]) -> None:
    """Write whole chunks of one array, and wait until they are on the disk.

    Any number of threads and processes may do so at the same time, each with its own chunks. Writing the
    same region again gives the same files, so a task may be repeated.

    Parameters
    ----------
    store : Path
        The temporary store from `create`.
    array : str
        Name of the array.
    region : tuple of slice
        One slice per dimension, step 1; starts at a chunk and ends at one, or at the array's end.
    values : array
        Of the region's shape; cast to the array's type, from integer to float but not back.

    Raises
    ------
    StoreMismatch
        If there is no such array, or region, shape or type do not fit.
    StoreWriteError
        If the file system fails.

    Notes
    -----
    Cost: packing at 0.8 to 1.4 GB/s (`encode.COMPRESSION_LEVEL`), 0.2 ms per array, and waiting for the
    disk, 1 ms per chunk and more; `write_regions` waits once for several arrays. Chunks are packed one
    after the other, by one core, as all cores have tasks of their own: memory beside `values` is one
    packed chunk, and one as it is if values have to be copied (see `StoredArray.encode`). A chunk is
    written under another name and renamed, also where it holds nothing but the fill value: a chunk that
    is not there is one that was not written, which `publish` and `open_cube` can tell.
    """
    write_regions(store, [(array, region, values)])


def write_regions(store: Path, pieces: Iterable[tuple[str, Region, NDArray[np.generic]]]) -> None:
    """Write several regions, of any arrays, and wait once until all are on the disk.

    Parameters
    ----------
    store : Path
        The temporary store from `create`.
    pieces : iterable of (array, region, values)
        As of `write_region`. Values may be made one after the other: none is kept once it is packed.

    Raises
    ------
    StoreMismatch, StoreWriteError
        As `write_region`; some of the pieces may have been written then.
    """
    with files.Replacements() as replacements:
        for array, region, values in pieces:
            with files.writing(store / array, "writing a chunk"):
                _write_chunks(replacements, store / array, region, values)
        with files.writing(store, "flushing chunks to the disk"):
            replacements.settle()


def _write_chunks(
    replacements: files.Replacements, folder: Path, region: Region, values: NDArray[np.generic]
) -> None:
    array = open_stored(folder)
    bounds = _whole_chunks(array, folder.name, region)
    shape = tuple(part.stop - part.start for part in bounds)
    if values.shape != shape:
        raise StoreMismatch(f"array {folder.name!r}: values have shape {values.shape}, the region {shape}")
    if not np.can_cast(values.dtype, array.dtype, "same_kind"):
        raise StoreMismatch(f"array {folder.name!r}: holds {array.dtype.name}, cannot take {values.dtype}")
    first = chunk_index(bounds, array.chunks)
    for inner in regions(shape, array.chunks):
        index = (i + j for i, j in zip(first, chunk_index(inner, array.chunks), strict=True))
        replacements.write(folder / chunk_name(tuple(index)), array.encode(values[inner]))


def update_attrs(store: Path, attrs: Mapping[str, object]) -> None:
    """Add group attributes, or change them: for what is known only after computing.

    `store` is the temporary store; the marker attribute stays as it is.
    """
    root = metadata.read_root(store)
    arrays = root["consolidated_metadata"]["metadata"]
    fixed = {
        name: root["attributes"][name]
        for name in (metadata.MARKER, "coordinates")
        if name in root["attributes"]
    }
    with files.writing(store, "writing attributes"):
        metadata.write_root(store, {**root["attributes"], **attrs, **fixed}, tuple(arrays))


def publish(temporary: Path, target: Path, *, overwrite: bool = False) -> None:
    """Make a finished store the cube at `target`, in one step: a reader finds the old cube or the new one.

    All chunks must have been written; then everything is brought to the disk and the folder renamed. An
    existing cube is exchanged with the new one and removed afterwards (see `files.exchange` for systems
    without an atomic exchange). What killed tasks left of chunks that were written again is removed.

    Raises
    ------
    StoreMismatch
        If chunks are missing, or `target` may not be replaced, or `temporary` is no store of ours.
    StoreWriteError
        If the file system fails; the old cube, if any, is then still in place.

    Notes
    -----
    A dataset opened lazily before an exchange reads by path, so it would read on in the new cube: load
    it first, or open it again.
    """
    _check_temporary(temporary)
    metadata.check_cube(temporary)
    check_target(target, overwrite=overwrite)
    if missing := missing_chunks(temporary):
        lost = ", ".join(f"{chunks.n_chunks:,} of {name!r}" for name, chunks in missing.items())
        raise StoreMismatch(f"{temporary}: not all chunks were written ({lost}); the cube is not published")
    with files.writing(target, "publishing the cube"):
        remove_unfinished(temporary)
        files.sync_tree(temporary)
        exchanged = os.path.lexists(target)
        (files.exchange if exchanged else files.rename_new)(temporary, target)
        files.sync_path(target.parent)
    if exchanged:
        _remove_quietly(temporary)


def discard(temporary: Path) -> None:
    """Remove a temporary store; one that is gone already is no error.

    Raises
    ------
    StoreMismatch
        If `temporary` is no store of ours: nothing else is ever removed.
    StoreWriteError
        If the file system fails.
    """
    if not os.path.lexists(temporary):
        return
    _check_temporary(temporary)
    with files.writing(temporary, "removing the temporary store"):
        files.remove_tree(temporary, last=metadata.ROOT)


def remove_unfinished(temporary: Path) -> None:
    """Remove the chunks that tasks were writing when they were killed."""
    with files.writing(temporary, "removing unfinished chunks"):
        for partial in temporary.rglob("*.partial"):
            partial.unlink(missing_ok=True)


def leftovers(target: Path) -> tuple[Path, ...]:
    """Return the temporary stores that lie beside `target`: of a run at work, or of killed runs."""
    start = f".{target.name}.tmp-"
    if not target.parent.is_dir():
        return ()
    return tuple(sorted(p for p in target.parent.iterdir() if p.name.startswith(start) and _is_temporary(p)))


def _create_arrays(temporary: Path, layout: CubeLayout) -> None:
    attrs = {metadata.MARKER: metadata.marker(), **layout.attrs}
    if coordinates := " ".join(array.name for array in layout.arrays if array.coordinate):
        attrs["coordinates"] = coordinates
    metadata.write_root(temporary, attrs, ())  # marked from the first moment, so it can be removed
    for array in layout.arrays:
        _create_array(temporary, array)
    metadata.write_root(temporary, attrs, [array.name for array in layout.arrays])


def _create_array(temporary: Path, layout: ArrayLayout) -> None:
    zarr.create_array(
        str(temporary / layout.name),
        shape=layout.shape,
        chunks=layout.chunks,
        dtype=layout.numpy_dtype,
        compressors=compressor(1 if layout.dtype == STRING else layout.numpy_dtype.itemsize),
        fill_value=layout.fill,
        chunk_key_encoding={"name": "default", "separator": SEPARATOR},
        dimension_names=layout.dims,
        attributes=stored_attributes(layout.attrs),
        zarr_format=3,
    )


def _write_whole(temporary: Path, layout: ArrayLayout, values: NDArray[np.generic]) -> None:
    texts = object if layout.dtype == STRING else None  # strings come as str objects, as U or as T
    write_region(temporary, layout.name, (slice(None),) * len(layout.shape), np.asarray(values, texts))


def _whole_chunks(array: StoredArray, name: str, region: Region) -> Region:
    """Return the region with all bounds filled in, or raise where it cuts through a chunk."""
    if len(region) != len(array.shape):
        raise StoreMismatch(
            f"array {name!r}: the region has {len(region)} dimensions, the array {len(array.shape)}"
        )
    bounds = tuple(slice(*part.indices(size)) for part, size in zip(region, array.shape, strict=True))
    for part, size, chunk in zip(bounds, array.shape, array.chunks, strict=True):
        ends_whole = part.stop == size or part.stop % chunk == 0
        if part.step != 1 or part.start >= part.stop or part.start % chunk or not ends_whole:
            raise StoreMismatch(
                f"array {name!r}: region {_show(bounds)} does not consist of whole chunks {array.chunks} "
                f"of shape {array.shape}; tasks that share a chunk would lose data"
            )
    return bounds


def _show(region: Region) -> str:
    return "[" + ", ".join(f"{part.start}:{part.stop}" for part in region) + "]"


def _is_temporary(path: Path) -> bool:
    """Tell a store of ours by its name and its marker; a writer killed at once left a folder without one."""
    if _TEMPORARY.fullmatch(path.name) is None or path.is_symlink() or not path.is_dir():
        return False
    return metadata.is_cube(path) or all(entry.suffix == ".partial" for entry in path.iterdir())


def _check_temporary(path: Path) -> None:
    if not _is_temporary(path):
        raise StoreMismatch(f"{path}: is not an unpublished cube, so it was left unchanged")


def _remove_quietly(path: Path) -> None:
    """Remove what is ours; where that fails say so in the log, for what matters has been done or raised."""
    try:
        files.remove_tree(path, last=metadata.ROOT)
    except OSError as err:
        logger.warning("%s: could not be removed (%s); delete it by hand", path, err)
