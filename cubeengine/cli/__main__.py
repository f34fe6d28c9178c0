"""Runs the command line as ``python -m cubeengine.cli``."""

from cubeengine.cli.app import main

if __name__ == "__main__":  # worker processes import this module again
    main()
