"""The cube on disk."""
