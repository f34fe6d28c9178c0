"""The mean of a detector over selected events, by the engine that makes cubes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cubeengine import api
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.events.window import Computed, Window
from cubeengine.look.selecting import RunLike, Select, kept_events, looks, node_of, origin, run_of
from cubeengine.progress import Progress
from cubeengine.spec.model import CubeSpec, Signal
from cubeengine.spec.selections import Cut, Selection
from cubeengine.store.read import cube_facts
from cubeengine.types import Column

NAME, CHOSEN = "image", "look/selected"


@dataclass(frozen=True, slots=True)
class Kept:
    """Whether a selection keeps an event, as a variable: so any selection can stand in a spec."""

    node: Node | None

    @property
    def shape(self) -> tuple[int, ...]:
        """One value per event."""
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always bool."""
        return np.dtype(bool)

    def compute(self, window: Window) -> Computed:
        """Tell which events of a window are kept."""
        return Computed(Column(kept_events(window, self.node)))


@looks
def average_image(
    run: RunLike,
    name: str,
    *,
    select: Select = None,
    stages: Sequence[object] = (),
    events: int | None = None,
    every: int | None = None,
    memory: str | int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Average a detector over the selected events.

    Parameters
    ----------
    run : Run, or session
        The run.
    name : str
        A field with an array per event: frames of smallData, as "jungfrau/ROI_0_area", raw ones, as
        "jungfrau/raw/raw", or a vector.
    select : Select, optional
        Which events.
    stages : sequence, optional
        What is done to every frame before, as in a spec: ``[{"calibrate": "constants/jungfrau.h5"}]``.
        Names of files are relative to the current folder.
    events, every : int, optional
        A quick look at the first so many events, or every n-th.
    memory : str or int, optional
        Memory to plan with, e.g. "4 GiB"; 2 GiB where left out.
    on_progress : callable, optional
        Called with a `Progress` as parts of the input are done.

    Returns
    -------
    xarray.Dataset
        `mean`, `std` (of single events, ddof 0) and `count` of finite values of each element; NaN where there
        is none, as in masked pixels. The attributes hold `n_selected` events, of which `n_missing` had no
        frame (missing, damaged, or not to be read), and `part` where not all events were looked at.

    Raises
    ------
    FieldNotFound, SpecError
        If the run has no such field, or the selection or a stage is wrong.
    BudgetExceeded
        If it does not fit the memory.

    Examples
    --------
    >>> image = look.average_image(run, "jungfrau/raw/raw", select="`ipm2/sum` > 0.4", every=10)
    >>> image["mean"].shape
    (2, 24, 64)
    """
    import tempfile

    from cubeengine.store.read import open_cube

    node, at = node_of(run, select), run_of(run)
    field = at.fields.find(name)
    _check_array(at, field)
    plan = api.plan(*_wanted(at, field, node, stages), memory=memory, events=events, every=every)
    with tempfile.TemporaryDirectory(prefix="cubeengine-") as folder:
        result = plan.to_zarr(Path(folder) / "image.zarr", on_progress=on_progress)
        cube = open_cube(result.path).load()
    return _data(field, cube, origin(at, node))


def _wanted(run: Run, field: str, node: Node | None, stages: Sequence[object]) -> tuple[Run, CubeSpec]:
    """Return a run with the selection as a variable, and the spec of one bin."""
    units = {field: unit} if (unit := run.fields.unit(field)) is not None else {}
    spec = CubeSpec(
        cube="look",
        units=units,
        select={"selected": Selection(all=(Cut(field=CHOSEN, equal=1),))},
        cubes=("selected",),
        signals=(Signal(field, name=NAME, stages=stages),),
    )
    return run.with_columns({CHOSEN: Kept(node)}), spec.at(Path.cwd())


def _check_array(run: Run, field: str) -> None:
    run.field(field).require_event()
    if not run.fields[field].shape:
        raise SpecError(f"{field!r} has one number per event, not an image; use histogram(run, {field!r})")


def _data(field: str, cube: xr.Dataset, attrs: dict[str, Any]) -> xr.Dataset:
    one = cube.isel(selection=0, drop=True)
    names = {f"{NAME}_dim{i}": f"dim{i}" for i in range(cube[f"{NAME}_mean"].ndim - 1)}
    parts = {part: one[f"{NAME}_{part}"] for part in ("mean", "std", "count")}
    lost = cube_facts(cube)["left_out"].get(NAME, {}).get("selected", {})
    image = xr.Dataset(parts, attrs=attrs).rename({old: new for old, new in names.items() if old in one.dims})
    image = image.assign_attrs(
        n_selected=int(one["n_events"]),
        n_missing=int(sum(lost.values())),
        n_outside=0,
        part=str(cube.attrs.get("partial_run") or ""),
        field=field,
    )
    for part, words in (("mean", "mean of"), ("std", "spread of")):
        image[part].attrs["long_name"] = f"{words} {field}"
    return image


@dataclass(frozen=True, slots=True)
class Montage:
    """How the segments of a detector are laid out: from left to right, then downwards, as square as can be.

    Attributes
    ----------
    n_segments, rows, columns : int
        Segments, and pixels of one.

    Examples
    --------
    >>> laid = Montage(8, 512, 1024)
    >>> laid.across, laid.shape
    (2, (2108, 2068))
    """

    n_segments: int
    rows: int
    columns: int

    @property
    def gap(self) -> int:
        """Pixels between segments."""
        return max(2, round(0.04 * min(self.rows, self.columns)))

    @property
    def across(self) -> int:
        """Segments side by side."""
        across = np.arange(1, self.n_segments + 1)
        down = -(-self.n_segments // across)
        shape = (down * self.rows) / (across * self.columns)
        return int(across[np.argmin(np.abs(np.log(shape)))])

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of all of it, downwards and across."""
        down = -(-self.n_segments // self.across)
        return down * (self.rows + self.gap) - self.gap, self.across * (self.columns + self.gap) - self.gap

    def place(self, number: int) -> tuple[int, int]:
        """Return the top and left pixel of a segment."""
        row, column = divmod(number, self.across)
        return row * (self.rows + self.gap), column * (self.columns + self.gap)


def montage_of(frame: xr.DataArray) -> Montage:
    """Lay out a frame of (..., rows, columns): what comes first are segments."""
    *leading, rows, columns = frame.shape
    return Montage(int(np.prod(leading)), rows, columns)
