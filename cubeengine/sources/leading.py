"""Zeros before a field's first value: they may be there because nothing had been written."""

from __future__ import annotations

import numpy as np

from cubeengine.sources.base import Reader

_FIRST_LOOK = 16
"""Rows of the first look; each further one is twice as long. Most fields are not zero at once."""


def leading_zeros(reader: Reader, n_rows: int, first: int = 0) -> int:
    """Count the rows before the first that has an element other than zero.

    Parameters
    ----------
    reader : Reader
    n_rows : int
        Rows to look at, at most.
    first : int
        Row to begin with.

    Returns
    -------
    int
        0 to `n_rows`. Rows that are missing for another reason end the count.
    """
    seen, look = 0, _FIRST_LOOK
    while seen < n_rows:
        rows = np.arange(first + seen, first + min(seen + look, n_rows))
        for block in reader.blocks(rows, elements=slice(None), block_nbytes=2**20):
            other = (block.data != 0).any(axis=1)[block.take]
            if block.valid is not None:
                other |= ~block.valid
            if other.any():
                return seen + block.start + int(other.argmax())
        seen, look = seen + len(rows), look * 2
    return seen
