"""Kernels: bin numbers and grouped moments."""
