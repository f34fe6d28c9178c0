"""Where figures come from: pyplot where it shows them, else nothing global; they show in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cubeengine import look
from cubeengine.look import figures
from tests.look.runs import odd_run
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
RUN = "from cubeengine import look; from tests.look.runs import odd_run; run = odd_run(); "


def in_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=PATIENCE
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_drawing_does_not_load_pyplot_in_a_script():
    code = RUN + "import sys; look.plot_histogram(run, 'x').figure.canvas.draw(); "
    assert in_python(code + "print('matplotlib.pyplot' in sys.modules)") == "False"


@pytest.mark.slow
def test_import_of_the_package_loads_no_matplotlib():
    assert in_python("import sys; from cubeengine import look; print('matplotlib' in sys.modules)") == "False"


@pytest.mark.slow
def test_pyplot_without_a_display_keeps_no_figures():
    code = "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt; " + RUN
    code += "[look.plot_histogram(run, 'x') for _ in range(3)]; print(plt.get_fignums())"
    assert in_python(code) == "[]"


def test_pyplot_makes_figures_where_it_shows_them(monkeypatch: pytest.MonkeyPatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    before = plt.get_fignums()
    ax = look.plot_histogram(odd_run(), "x")
    try:
        assert len(plt.get_fignums()) == len(before) + 1
        assert ax.figure.number in plt.get_fignums()
    finally:
        plt.close(ax.figure)


@pytest.mark.slow
def test_pictures_show_in_a_notebook():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = [RUN, "ax = look.plot_histogram(run, 'x')", "look.plot_scan(run, 'y', axis='n');", "1 + 1"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=int(PATIENCE), kernel_name="python3").execute(cwd=str(ROOT))
    pictures = [
        sum("image/png" in output.get("data", {}) for output in cell["outputs"]) for cell in book["cells"]
    ]
    assert pictures == [0, 1, 1, 0]


def test_title_names_the_run_and_given_axes_keep_theirs():
    from cubeengine.look.traces import trace

    data = trace(odd_run(), "x").assign_attrs(run="xpp:12")
    ax = figures.axes_for(None, data)
    assert ax.figure.get_suptitle() == "xpp:12"
    assert figures.axes_for(ax, data.assign_attrs(run="other")).figure.get_suptitle() == "xpp:12"
