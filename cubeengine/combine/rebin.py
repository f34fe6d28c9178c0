"""Coarser bins from finer ones, or none: exact, as every bin holds count, mean and std."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cubeengine.budget import DEFAULT_MEMORY, Budget, parse_size
from cubeengine.combine import arrays
from cubeengine.combine.attributes import rebinned_attributes
from cubeengine.combine.blocks import Limits, block_tasks, run_tasks, write_cube
from cubeengine.combine.content import Cube
from cubeengine.combine.grouping import groupings
from cubeengine.combine.hashes import hashes_of
from cubeengine.combine.joining import Rebin
from cubeengine.combine.progress import Combined, Report
from cubeengine.errors import SpecError, StoreMismatch
from cubeengine.progress import OnProgress
from cubeengine.schema.calls import as_mapping, as_names, as_path, told
from cubeengine.store.layout import CubeLayout
from cubeengine.store.read import naming_damage
from cubeengine.store.write import check_target


@told("ce.rebin_cube")
def rebin_cube(
    cube: str | Path,
    out: str | Path,
    *,
    by: Mapping[str, int] | None = None,
    edges: Mapping[str, Sequence[float]] | None = None,
    drop: Sequence[str] = (),
    overwrite: bool = False,
    memory: str | int | None = None,
    workers: int | None = None,
    on_progress: OnProgress = None,
) -> Combined:
    """Join bins of a cube, along one axis or several.

    Parameters
    ----------
    cube : path
        The cube with the old bins.
    out : path
        The new cube.
    by : mapping, optional
        Axis -> how many neighbouring bins become one; must divide their number.
    edges : mapping, optional
        Axis -> edges of the new bins, each of them an old edge. Bins beyond the first and the last are left
        out; their events count as outside.
    drop : sequence of str
        Axes that are summed over: the new cube does not have them.
    overwrite : bool
        Whether a cube at `out` may be replaced.
    memory : str or int, optional
        Memory of this process, "2 GiB" by default.
    workers : int, optional
        Threads. Default: the processors this process may use.
    on_progress : callable, optional
        Called with a `Progress` as parts of the cube are read.

    Returns
    -------
    Combined
        Path, notes, seconds and bytes read.

    Raises
    ------
    StoreMismatch
        If there is no such cube, or `out` may not be replaced.
    SpecError
        If there is no such axis, or its bins cannot be joined like that; names what is possible.
    BudgetExceeded
        If the memory is too little.

    Examples
    --------
    >>> made = rebin_cube("delay.zarr", "coarse.zarr", by={"delay": 3})
    >>> ce.open_cube(made.path).sizes["delay"]
    7
    """
    target = as_path(out, "the new cube", "'coarse.zarr'")
    limits = Limits.of(Budget(parse_size(memory) if memory is not None else DEFAULT_MEMORY), workers)
    check_target(target, overwrite=overwrite)
    opened = Cube.open(cube)
    if opened.path.resolve() == target.resolve():
        raise StoreMismatch(f"{target}: is the cube to rebin; choose another output")
    some = next(iter(opened.axes), "delay")
    wanted = groupings(
        opened,
        as_mapping(by, "by", f"{{{some!r}: 2}}"),
        as_mapping(edges, "edges", f"{{{some!r}: [-1, 0, 1]}}"),
        as_names(drop, "drop", f"[{some!r}]"),
    )
    if not wanted:
        raise SpecError("give what to join: by, edges or drop")
    with naming_damage(cube):
        return _written(Rebin(opened, wanted), target, limits, overwrite, on_progress)


def _written(
    plan: Rebin,
    target: Path,
    limits: Limits,
    overwrite: bool,
    on_progress: OnProgress,
) -> Combined:
    cube = plan.cube
    total = round(plan.part_read * cube.nbytes)
    report = Report(on_progress, total + cube.nbytes, f"rebin, {limits.threads} threads")
    works = [plan.work(content, report) for content in cube.signals.values()]
    n_events = plan.n_events()
    known = [
        arrays.selection_array(cube),
        *plan.axes(),
        arrays.events_array(plan.dims, n_events, cube),
        *arrays.static_arrays([cube], cube.signals),
    ]
    layouts = [layout for layout, _ in known]
    for work in works:
        content = cube.signals[work.name]
        layouts += arrays.signal_arrays(work, plan.dims, content, content.dtype)

    def fill(store: Path) -> Mapping[str, object]:
        run_tasks(block_tasks(store, works), limits.threads)
        (digest,) = hashes_of([cube], limits, report)
        report.end()
        axes = {axis: grouping.told for axis, grouping in plan.groupings.items()}
        return rebinned_attributes(cube, digest, n_events, axes)

    small = {layout.name: values for layout, values in known}
    write_cube(target, CubeLayout(tuple(layouts)), small, fill, overwrite=overwrite)
    notes = (
        (f"left out these arrays, which are not statistics of a signal: {', '.join(cube.strangers)}",)
        if cube.strangers
        else ()
    )
    return Combined(target, notes, report.seconds, total)
