"""The notebooks of the documentation run as they are, from a clean folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

SAID = {
    "01_first_look": ["(['good', 'off', 'on'], True)"],
    "02_delay_scan": ["shots in every bin as numpy counts them: True", "True"],
    "03_picked_events": ["the brightest of its bin: True"],
}
"""What the cells of each must say, however the pictures look."""


def texts(notebook) -> list[str]:
    """Return what the cells of a notebook show as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
    return [line for text in shown for line in text.splitlines()]


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(SAID)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    # The kernel is a process of its own: it has to find this package, and its plots need no display.
    paths = [str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    # Cells type commands as in a virtual environment that is activated.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    notebook = nbformat.read(path, as_version=4)

    nbclient.NotebookClient(
        notebook, timeout=int(PATIENCE), resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    said = texts(notebook)
    assert [line for line in SAID[path.stem] if line not in said] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_notebook_was_run_to_its_end(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output.ename for output in outputs if output.output_type == "error"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
