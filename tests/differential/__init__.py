"""Differential test: random small runs and specs, cubed by cubeengine and by an oracle of plain numpy.

`python -m tests.differential` tries cases or shows one. A case follows from its seed alone (`making`);
what its cube must hold is restated from the contract in `oracle`, which imports nothing of cubeengine.
"""
