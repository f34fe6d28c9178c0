"""cubeengine bins the event data of an X-ray free-electron laser into cubes."""

__version__ = "0.1.0"
