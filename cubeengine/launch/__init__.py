"""Launchers: each hands over something that computes a Dask graph."""
