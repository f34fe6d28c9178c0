"""Others who make the same cube: each module has one function `cube(path, problem) -> Cube`."""
