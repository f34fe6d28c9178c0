"""How files are stored and cubes computed: nothing of it changes the answer."""

from __future__ import annotations

from typing import Any

from tests.differential.making.chance import Chance


def ways_to_compute(chance: Chance, *, lcls2: bool) -> dict[str, Any]:
    """Return the `how` of a case."""
    chunk_events = chance.between(1, 40) if chance.happens(0.7) else None
    gzip = {"compression": "gzip", "shuffle": chance.happens(0.5)}
    filters = chance.pick({}, {}, {"compression": "lzf"}, gzip, gzip, {"fletcher32": True})
    return {
        "chunk_events": chunk_events,
        "filters": filters if chunk_events and not lcls2 else {},
        "strategy": chance.pick("stream", "by_bin", "by_tile", None),
        "order": chance.pick("storage", "group"),
        "leaves": chance.between(1, 12),
        "block_nbytes": chance.pick(1, 64, 1000, 2**14),
        "tile_elements": chance.between(1, 40),
        "memory": chance.pick("512 MiB", "2 GiB", "16 GiB"),
        "window": chance.pick(5, 17, 64, 2**20),
        "launcher": "processes" if chance.happens(0.002) else chance.pick("threads", "lazy", "lazy", "lazy"),
        "workers": chance.between(1, 3),
        "text": chance.happens(0.2),
    }
