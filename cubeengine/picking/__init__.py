"""Picked events: of every bin the events that are best in a variable, with their whole frames."""
