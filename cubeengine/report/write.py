"""Writing the page about a cube."""

from __future__ import annotations

from pathlib import Path

from cubeengine.plots.values import Ratio
from cubeengine.report.page import MARK, report_html
from cubeengine.store.files import write_again
from cubeengine.store.read import check_means, naming_damage, open_cube


def write_report(cube: Path | str, file: Path | str, *, ratio: Ratio | None = None) -> Path:
    """Write a page about a cube, in one file that needs nothing else; gives its path.

    Parameters
    ----------
    cube : path
        The cube.
    file : path
        The page, e.g. "delay.html". A page about a cube that is there is replaced, in one step.
    ratio : Ratio, optional
        Makes the ratios to the intensity; see `plot_cube`.

    Raises
    ------
    StoreMismatch
        If there is no cube, or picked events; or another file is in the place of the page.
    StoreWriteError
        If the page cannot be written; one that was there is then as it was.

    Notes
    -----
    The page stays below 5 MB, whatever the cube. Without matplotlib it has no pictures.
    """
    file = Path(file)
    with naming_damage(cube), open_cube(cube) as dataset:
        check_means(dataset, cube, "reported on")
        page = report_html(dataset, str(cube), ratio)
    content = page.encode("utf-8", "backslashreplace")
    write_again(file, content, "writing the report", mark=MARK)
    return file
