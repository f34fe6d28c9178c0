"""The analysis session: a run, with what a user has told about it: units, variables, selections, cubes."""
