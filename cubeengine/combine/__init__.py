"""Cubes from cubes: runs added or stacked, bins joined; exact, block by block, in bounded memory."""
