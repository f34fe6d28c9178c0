"""What a cube of the original is: its axes, selection and targets, as a frozen value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cubeengine.compat.bins import Bins
from cubeengine.compat.cuts import OpenCut, cut_lines
from cubeengine.errors import SpecError


@dataclass(frozen=True, slots=True, eq=False)
class CubeDefinition:
    """A cube as `addCube` and `addToCube` describe it.

    Attributes
    ----------
    cubeName, binVar, bins, useFilter
        As given to `addCube`.
    added : tuple of (name, bins)
        Further axes.
    targetVars : tuple of str
        What is summed per bin.
    addIdxVars : tuple of str
        What is listed per bin, event by event.
    """

    cubeName: str
    binVar: str
    bins: Bins
    useFilter: str
    added: tuple[tuple[str, Bins], ...] = ()
    targetVars: tuple[str, ...] = ()
    addIdxVars: tuple[str, ...] = ()

    @property
    def addBinVars(self) -> Mapping[str, Bins]:
        """Further axes by name."""
        return dict(self.added)

    @property
    def axes(self) -> tuple[tuple[str, Bins], ...]:
        """All axes, the first one first."""
        return (self.binVar, self.bins), *self.added

    def with_targets(self, targets: Sequence[str], *, listed: bool) -> CubeDefinition:
        """Return the cube with further targets; one that is there already is not added again."""
        if listed:
            return replace(self, addIdxVars=tuple(dict.fromkeys([*self.addIdxVars, *targets])))
        return replace(self, targetVars=tuple(dict.fromkeys([*self.targetVars, *targets])))


def read_targets(target: object) -> tuple[str, ...]:
    """Read a target variable or a list of them.

    Raises
    ------
    SpecError
        If it is something else: a detector as a dict, or droplets, which the original takes from raw data.
    """
    if isinstance(target, str | Mapping) or not isinstance(target, Sequence):
        return (_field(target),)
    return tuple(map(_field, target))


def _field(target: object) -> str:
    if not isinstance(target, str):
        raise SpecError(
            f"target {target!r}: give the name of a field; raw fields such as 'jungfrau/raw/raw' exist if "
            "the run was opened with xtc=..."
        )
    if target.startswith("droplet:"):
        raise SpecError(f"target {target!r}: cubes of droplets are not supported")
    return target.removeprefix("/")


def described(cube: CubeDefinition, cuts: Sequence[OpenCut]) -> Iterator[str]:
    """Yield the lines that `printCube` prints."""
    yield f"cube: {cube.cubeName}"
    for name, bins in cube.axes:
        yield f"{name} binned in {list(bins)}" if len(bins) else f"{name} binned in the steps of the scan"
    yield from cut_lines(cuts)
    yield f"will bin: {list(cube.targetVars)}"
