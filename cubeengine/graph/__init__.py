"""The Dask graph of a plan, and what its tasks do."""
