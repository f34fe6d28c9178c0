"""LCLS-II raw files (xtc2): bytes first, then names, then events."""
