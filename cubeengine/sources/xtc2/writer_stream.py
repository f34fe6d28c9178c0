"""One stream that is written: its datagrams, and in the small-data file where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.writer_data import (
    Piece,
    data_pieces,
    dgram_pieces,
    fixed,
    nbytes,
    nest,
    pointer_rows,
)
from cubeengine.sources.xtc2.writer_files import OutFiles
from cubeengine.sources.xtc2.writer_names import (
    CHUNKINFO,
    RUNINFO,
    SMDINFO,
    OutData,
    OutNames,
    OutStream,
    Service,
    names_bytes,
    number_names,
)
from cubeengine.types import IntArray

_NO_DAMAGE: Mapping[int, int] = {}
_POINTERS_AT_ONCE = 2**16


class StreamWriter:
    """Writes one stream: what is configured in it, and its files.

    Parameters
    ----------
    files : OutFiles
        Where it goes.
    garbage : Generator, optional
        As in `RunWriter`.
    """

    def __init__(self, files: OutFiles, garbage: np.random.Generator | None) -> None:
        self.files = files
        self.keys: dict[OutNames, int] = {}
        self._stream = OutStream(0)
        self._garbage = garbage

    def configure(self, timestamp: int, stream: OutStream, data: Sequence[OutData]) -> None:
        """Describe what follows, in both files."""
        self._stream, self.keys = stream, number_names(stream)
        own = (*stream.names, RUNINFO, CHUNKINFO)
        names = [(block.node, [fixed(names_bytes(block, self.keys[block], self._garbage))]) for block in own]
        values = self._pieces([as_one(part) for part in data], 1)
        pointers = names_bytes(SMDINFO, self.keys[SMDINFO], self._garbage)
        stamps = np.array([timestamp], np.uint64)
        plain = dgram_pieces(Service.CONFIGURE, stamps, self._join(names + values), env=stream.env)
        self.files.big.write(plain)
        if self.files.small:
            content = self._join([*names, (0, [fixed(pointers)]), *values])
            self.files.small.write(dgram_pieces(Service.CONFIGURE, stamps, content, env=stream.env))

    def transition(self, service: Service, timestamp: int, data: Sequence[OutData], damage: int) -> None:
        """Write a transition into both files; the payload of EndRun only into the data."""
        stamps = np.array([timestamp], np.uint64)
        content = self._join(self._pieces([as_one(part) for part in data], 1))
        whole = dgram_pieces(service, stamps, content, env=self._stream.env, damage=damage)
        self.files.big.write(whole)
        if self.files.small:
            empty = dgram_pieces(service, stamps, [], env=self._stream.env, damage=damage)
            self.files.small.write(empty if service == Service.END_RUN else whole)

    def roll_over(self, timestamp: int, name: str | None) -> None:
        """Write the Enable that names the next chunk, and go on there."""
        wanted = self.files.next_name(name)
        info = OutData(CHUNKINFO, {"filename": wanted, "chunkid": len(self.files.chunks)})
        self.transition(Service.ENABLE, timestamp, [info], 0)
        self.files.roll_over(wanted)

    def events(
        self,
        stamps: NDArray[np.uint64],
        data: Sequence[OutData],
        damage: int | IntArray,
        node_damage: Mapping[int, int],
        *,
        takes_part: bool,
    ) -> None:
        """Write events, if something of them belongs here, or the stream takes part without."""
        contributions = self._pieces(data, len(stamps))
        if not (contributions or takes_part) or not len(stamps):
            return
        content = self._join(contributions, node_damage)
        pieces = dgram_pieces(Service.EVENT, stamps, content, env=self._stream.env, damage=damage)
        offset = self.files.big.position
        self.files.big.write(pieces, len(stamps))
        self._point(stamps, offset, nbytes(pieces))

    def _point(self, stamps: NDArray[np.uint64], offset: int, size: int) -> None:
        if self.files.small is None:
            return
        for start in range(0, len(stamps), _POINTERS_AT_ONCE):
            part = stamps[start : start + _POINTERS_AT_ONCE]
            offsets = offset + size * np.arange(start, start + len(part), dtype=np.int64)
            rows = pointer_rows(part, offsets, size, key=self.keys[SMDINFO], env=self._stream.env)
            self.files.small.write([rows], len(part))

    def _pieces(self, data: Sequence[OutData], n_events: int) -> list[tuple[int, list[Piece]]]:
        """Return the contributions that belong here, with the node that each comes from."""
        own = [part for part in data if part.names in self.keys]
        return [
            (part.names.node, data_pieces(part, self.keys[part.names], n_events, self._garbage))
            for part in own
        ]

    def _join(
        self, contributions: Sequence[tuple[int, list[Piece]]], damage: Mapping[int, int] = _NO_DAMAGE
    ) -> list[Piece]:
        if self._stream.nested:
            return nest(sorted(contributions, key=lambda pair: pair[0]), damage)
        return [piece for _, pieces in contributions for piece in pieces]


def as_one(data: OutData) -> OutData:
    """Return the values of one datagram the axis of events that many would have."""
    texts = {field.name for field in data.names.fields if field.is_text}
    values: dict[str, Any] = {
        name: value if name in texts else np.asarray(value)[None] for name, value in data.values.items()
    }
    return OutData(data.names, values, data.damage)
