"""Geometry files: where the panels of a detector lie, and so each of its pixels.

Text: comments after `#`, and rows of 13 columns: parent and its number, object and its number; x, y, z of
its origin in um; rotations about z, y, x and the tilts beside them in degrees. Objects make a tree; its
leaves are sensors, segment 0, 1, 2, ... in the order of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cubeengine.detectors.constants import open_constants
from cubeengine.detectors.sensors import Sensor, sensor
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.types import FloatArray

Node = tuple[str, int]
"""Name and number of an object."""

_COLUMNS = 13
_CONTAINERS = (b"\x89HDF", b"PK\x03\x04")
_MAX_NBYTES = 2**24
_MAX_NUMBER = 1e12  # um: a thousand kilometres


@dataclass(frozen=True, slots=True)
class Placement:
    """How an object lies in its parent.

    Attributes
    ----------
    parent, node : Node
        The two.
    origin : (x, y, z), um
        The object's origin in the parent's frame.
    angles : (z, y, x), deg
        Rotations about these axes, tilts included, positive counter-clockwise.
    """

    parent: Node
    node: Node
    origin: tuple[float, float, float]
    angles: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Centres of the pixels of some segments.

    Attributes
    ----------
    x, y, z : (n_segments, rows, columns) float64, um
        In the frame of the top of the tree.
    pitch : float, um
        Size of a pixel.
    """

    x: FloatArray
    y: FloatArray
    z: FloatArray
    pitch: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """The tree of a detector."""

    name: str  # where it comes from, for messages
    placements: tuple[Placement, ...]  # one per object, in the order of the file

    def leaves(self) -> tuple[tuple[Placement, ...], ...]:
        """Return the way from each sensor up to the top, in the order of the segments."""
        children: dict[Node, list[Placement]] = {}
        for placement in self.placements:
            children.setdefault(placement.parent, []).append(placement)
        inside = {placement.node for placement in self.placements}
        tops = [node for node in children if node not in inside]
        ways: list[tuple[Placement, ...]] = []
        stack: list[tuple[Placement, ...]] = [
            (child,) for top in reversed(tops) for child in reversed(children[top])
        ]
        while stack:
            way = stack.pop()
            below = children.get(way[0].node, [])
            stack += [(child, *way) for child in reversed(below)]
            if not below:
                ways.append(way)
        return tuple(ways)

    def pixels(self, segments: Sequence[int] | None = None) -> Pixels:
        """Return the pixels of segments by their numbers; of all by default.

        Raises
        ------
        SpecError
            If there is no such segment.
        SourceFormatError
            If a leaf is no sensor that is known, or the sensors are of different types.
        """
        leaves = self.leaves()
        numbers = range(len(leaves)) if segments is None else segments
        outside = [number for number in numbers if not 0 <= number < len(leaves)]
        if outside:
            raise SpecError(f"{self.name}: has {len(leaves)} segments, but segment {outside[0]} is wanted")
        kinds = {leaves[number][0].node[0] for number in numbers}
        if len(kinds) > 1:
            raise SourceFormatError(f"{self.name}: has sensors of several types: {', '.join(sorted(kinds))}")
        try:
            kind = sensor(kinds.pop())
        except SourceFormatError as err:
            raise SourceFormatError(f"{self.name}: {err}") from None
        centres = [_moved_up(kind, leaves[number]) for number in numbers]
        x, y, z = (np.stack(axis) for axis in zip(*centres, strict=True))
        return Pixels(x, y, z, kind.pitch)


def read_geometry(path: Path) -> Geometry:
    """Read a geometry: a text file, or a file of constants that has one.

    Raises
    ------
    SpecError
        If no such file, or no geometry in it.
    SourceFormatError
        If it is none.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_MAX_NBYTES + 1)
    except OSError as err:
        error = SpecError if isinstance(err, FileNotFoundError | IsADirectoryError) else SourceFormatError
        raise error(f"{path}: the geometry cannot be read ({err.strerror})") from err
    if start.startswith(_CONTAINERS):
        return parse_geometry(open_constants(path).geometry(), str(path))
    if len(start) > _MAX_NBYTES or b"\0" in start:
        raise SourceFormatError(
            f"{path}: is neither a geometry text file, nor an HDF5 or npz file that holds a geometry"
        )
    return parse_geometry(start.decode("utf-8", "replace"), str(path))


def parse_geometry(text: str, name: str = "geometry") -> Geometry:
    """Read the text of a geometry.

    Parameters
    ----------
    text : str
        The rows.
    name : str
        Where they come from, for messages.

    Raises
    ------
    SourceFormatError
        If a row is none, or the rows make no tree; names the line.
    """
    placements: dict[tuple[Node, Node], Placement] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        placement = _read_row(words, f"{name}, line {number}")
        key = placement.parent, placement.node
        if key in placements:
            raise SourceFormatError(f"{name}, line {number}: {_text(placement.node)} appears twice")
        placements[key] = placement
    if not placements:
        raise SourceFormatError(f"{name}: holds no geometry: it has no row of {_COLUMNS} columns")
    _check_tree(tuple(placements.values()), name)
    return Geometry(name, tuple(placements.values()))


def _read_row(words: Sequence[str], where: str) -> Placement:
    if len(words) != _COLUMNS:
        raise SourceFormatError(f"{where}: must have {_COLUMNS} columns, but has {len(words)}")
    try:
        parent, node = (words[0], int(words[1])), (words[2], int(words[3]))
        numbers = np.array([float(word) for word in words[4:]])
    except ValueError as err:
        raise SourceFormatError(f"{where}: {err}") from None
    if not (np.abs(numbers) <= _MAX_NUMBER).all():
        raise SourceFormatError(f"{where}: must hold finite numbers, none beyond {_MAX_NUMBER:g}")
    x, y, z = numbers[:3].tolist()
    about_z, about_y, about_x = (numbers[3:6] + numbers[6:]).tolist()
    return Placement(parent, node, (x, y, z), (about_z, about_y, about_x))


def _check_tree(placements: Sequence[Placement], name: str) -> None:
    """Refuse objects that hold others and lie in several, or in themselves. Sensors may share a number."""
    holding = {placement.parent for placement in placements}
    parents: dict[Node, Node] = {}
    for placement in placements:
        if placement.node in parents and placement.node in holding:
            raise SourceFormatError(
                f"{name}: {_text(placement.node)} has parts of its own, but belongs to several parents"
            )
        parents[placement.node] = placement.parent
    for start in holding:
        _check_way_up(start, parents, name)


def _check_way_up(start: Node, parents: Mapping[Node, Node], name: str) -> None:
    way, node = {start}, parents.get(start)
    while node is not None:
        if node in way:
            raise SourceFormatError(f"{name}: {_text(node)} contains itself")
        way.add(node)
        node = parents.get(node)


def _text(node: Node) -> str:
    return f"{node[0]} {node[1]}"


def _moved_up(kind: Sensor, way: Sequence[Placement]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Move the pixels of a sensor into the frame of the top."""
    x, y, z = kind.x, kind.y, np.zeros_like(kind.x)
    for placement in way:
        about_z, about_y, about_x = placement.angles
        x, y = _turned(x, y, about_z)
        z, x = _turned(z, x, about_y)
        y, z = _turned(y, z, about_x)
        x, y, z = (values + by for values, by in zip((x, y, z), placement.origin, strict=True))
    return x, y, z


def _turned(a: FloatArray, b: FloatArray, angle: float) -> tuple[FloatArray, FloatArray]:
    if angle == 0:
        return a, b
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return a * cos - b * sin, a * sin + b * cos
