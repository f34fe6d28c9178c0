"""Events: runs, fields, expressions, selections, derived variables."""
