"""The cube spec: what the user wants, checked at birth."""
