"""Sources: bytes of files and arrays of memory to columns and blocks."""
