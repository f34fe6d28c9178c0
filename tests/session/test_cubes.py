"""Cubes of a session: arguments become a spec, of which the command line makes the same cube."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import numpy as np
import pytest

import cubeengine as ce
from cubeengine import CubeSpec, Session, SourceFormatError, SpecError, StoreMismatch
from cubeengine.cli.app import run_command
from cubeengine.store.read import cube_facts
from tests.makers.smalldata import write_lcls1
from tests.session.conftest import ARRAYS

SIGNALS = ["mine", "my/frames", "counts", "ipm2/sum", {"field": "epix/ROI_0_area", "name": "roi"}]


@pytest.fixture
def told(data: Path) -> Session:
    """A session with arrays of several kinds, some values missing."""
    session = ce.explore(data)
    session.declare({"scan/lxt": "s", "tt/ttCorr": "ps"})
    n, rng = session.n_events, np.random.default_rng(3)
    session.add("mine", np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)))
    session.add("my/frames", rng.integers(0, 2**16, (n, 4, 5), np.uint16))
    session.add("counts", np.ma.masked_array(rng.integers(0, 9, n), rng.random(n) < 0.2))
    session.add("delay", ce.DelayRecipe(nominal="scan/lxt", timetool="tt/ttCorr"))
    session.select("good", {"field": "ipm2/sum", "min": 0.3}, "not (counts == 3)")
    session.select("on", "good", laser="on")
    session.select("off", "good", laser="off")
    return session


def test_cube_of_the_command_line_is_that_of_the_session(told: Session, data: Path) -> None:
    planned = told.cube(
        "delay", centers=np.arange(-2, 8.1, 0.5), unit="ps", select=["on", "off"], signals=SIGNALS
    )
    planned.to_zarr("session.zarr")
    text = told.to_yaml("spec.yaml")

    assert run_command(["check", "spec.yaml"]) == 0
    assert run_command(["run", "spec.yaml", "-o", "command.zarr"]) == 0

    assert ce.cube_hash("command.zarr") == ce.cube_hash("session.zarr")
    assert (data.parent / "spec.yaml").read_text() == text
    made = ce.open_cube("command.zarr")
    inputs = [Path(found["path"]).name for found in cube_facts(made)["inputs"]]
    assert inputs == ["xpptest01_Run0007.h5", "xpptest01_Run0007.session.nc"]
    assert CubeSpec.loads(made.attrs["spec_yaml"]) == CubeSpec.loads(text)


def test_missing_values_of_arrays_are_left_out_and_counted(told: Session) -> None:
    told.select("bright", {"field": "ipm2/sum", "min": 0.3})
    cube = told.cube(select="bright", signals=["mine", "counts"]).compute()
    kept = told.mask("bright").to_numpy()
    mine, counts = told["mine"].read().to_numpy(), told["counts"].read(missing="mask")

    assert cube["mine_count"].item() == np.isfinite(mine[kept]).sum()
    np.testing.assert_allclose(cube["mine_mean"], [np.nanmean(mine[kept])], rtol=1e-12)
    there = kept & counts.coords["valid"].to_numpy()
    assert cube["counts_count"].item() == there.sum() < kept.sum()
    np.testing.assert_allclose(cube["counts_mean"], [counts.to_numpy()[there].mean()], rtol=1e-12)


def test_spec_goes_on_with_the_arrays_as_they_are_when_it_is_written(told: Session) -> None:
    told.cube(signals="mine")
    told.add("mine", np.full(told.n_events, 7.0))
    told.to_yaml("spec.yaml")

    assert run_command(["run", "spec.yaml", "-o", "command.zarr"]) == 0
    assert ce.open_cube("command.zarr")["mine_mean"].item() == 7.0


def test_spec_without_a_cube_is_what_was_told(session: Session) -> None:
    session.add("ratio", "diode / i0")
    session.select("on", laser="on")

    spec = CubeSpec.loads(session.to_yaml())

    assert set(spec.derive) == {"ratio"}
    assert set(spec.select) == {"on"}


def test_spec_of_a_cube_that_no_longer_fits_is_refused(session: Session) -> None:
    session.add("mine", np.arange(6.0))
    session.cube("mine", bins=2)
    session.remove("mine")

    with pytest.raises(SpecError, match="'mine'"):
        session.to_yaml()


@pytest.mark.parametrize(
    ("binning", "edges"),
    [
        ({"edges": [0, 1, 3]}, [0, 1, 3]),
        ({"edges": np.array([0.0, 1.5, 2.0])}, [0, 1.5, 2]),
        ({"edges": {"start": 0, "stop": 2, "bins": 4}}, [0, 0.5, 1, 1.5, 2]),
        ({"centers": {"start": 0.5, "stop": 2, "step": 0.5}}, [0.25, 0.75, 1.25, 1.75, 2.25]),
        ({"centers": [0.5, 1.0, 1.5, 2.0]}, [0.25, 0.75, 1.25, 1.75, 2.25]),
        ({"centers": [0.5, 1.0, 2.0]}, [0.25, 0.75, 1.5, 2.5]),
        ({"bins": 3}, [0.5, 1, 1.5, 2]),
        ({"bins": 2, "range": (0, 3)}, [0, 1.5, 3]),
        ({"steps": "auto"}, None),
    ],
)
def test_bins_are_those_that_were_asked_for(
    session: Session, binning: dict[str, Any], edges: list[float] | None
) -> None:
    cube = session.cube("i0", **binning, unit="", signals="diode").compute()

    if edges is not None:
        np.testing.assert_allclose(cube["i0_bnds"].values.tolist(), list(itertools.pairwise(edges)))
    expected = ARRAYS["i0"].size if edges is None else np.histogram(ARRAYS["i0"], edges)[0].sum()
    assert int(cube["n_events"].sum()) == expected


def test_centers_label_the_bins(session: Session) -> None:
    cube = session.cube("i0", centers=np.array([0.5, 1.0, 2.0]), unit="").compute()
    assert cube["i0"].values.tolist() == [0.5, 1.0, 2.0]
    assert cube["i0_mean"].values.tolist() == [[0.5, 1.0, 2.0]]


def test_bins_reach_over_the_selected_events_in_the_unit_of_the_field(session: Session) -> None:
    session.declare({"i0": "ps"})
    session.select("bright", "i0 >= 1")

    cube = session.cube("i0", bins=2, select="bright", unit="fs").compute()

    np.testing.assert_allclose(cube["i0_bnds"], [[1000, 1500], [1500, 2000]])
    assert cube["n_events"].values.tolist() == [[3, 2]]


def test_several_axes_and_none(session: Session) -> None:
    flat = session.cube(
        "i0", {"field": "steps", "steps": "auto"}, ce.Axis(field="diode", edges=[0, 9]), bins=2
    )
    alone = session.cube(signals="diode")

    assert [axis.axis.field for axis in flat.bound.axes] == ["i0", "steps", "diode"]
    assert flat.bound.spec.cube == "i0"
    assert alone.compute()["diode_mean"].dims == ("selection",)
    assert session.cube("lightStatus/laser", steps="auto").bound.spec.cube == "lightStatus_laser"
    assert session.cube("i0", bins=2, name="mine").bound.spec.cube == "mine"


@pytest.mark.parametrize(
    ("axes", "arguments", "message"),
    [
        (("i0",), {}, "needs exactly one of edges, centers, bins, quantiles, steps"),
        (("i0",), {"bins": 2, "quantiles": 2}, "not bins and quantiles"),
        (("i0",), {"range": (0, 1), "quantiles": 2}, "'range' needs 'bins'"),
        (("i0", "diode"), {"bins": 2}, "but 2 fields have none"),
        (({"field": "i0", "quantiles": 2},), {"bins": 2}, "but 0 fields have none"),
        (("i0",), {"bin": 2}, "has no argument 'bin'; nearest: 'bins'"),
        (("i0",), {"centers": [1, 0]}, r"must rise strictly, but centers\[1\] = 0 comes after 1"),
        (("i0",), {"bins": 2, "select": "onn"}, "there is no selection 'onn'"),
        (("i0",), {"bins": 2, "signals": "diodes"}, "nearest: 'diode'"),
        (("i00",), {"bins": 2}, "nearest: 'i0'"),
        (("frame",), {"bins": 2}, r"'frame' has shape \(2, 3\) per event"),
    ],
)
def test_what_cannot_be_binned_is_told(
    session: Session, axes: tuple[Any, ...], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ce.CubeEngineError, match=message):
        session.cube(*axes, **arguments)
    assert session.notes.cube is None


def test_files_of_stages_are_found_from_anywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.ones(ce.explore(data)["epix/ROI_0_area"].info.shape, np.uint8)
    mask[0] = 0
    np.save(data.parent / "mask.npy", mask)
    session = ce.explore(data)
    signal = {"field": "epix/ROI_0_area", "name": "roi", "stages": [{"mask": "mask.npy"}]}

    cube = session.cube(signals=signal).compute()
    other = tmp_path / "other"
    other.mkdir()
    session.to_yaml(other / "spec.yaml")
    monkeypatch.chdir(tmp_path)

    assert run_command(["run", str(other / "spec.yaml"), "-o", "command.zarr"]) == 0
    np.testing.assert_array_equal(ce.open_cube("command.zarr")["roi_mean"], cube["roi_mean"])
    assert np.isnan(cube["roi_mean"].values[0, 0]).all()


def test_picked_events_of_the_command_line_are_those_of_the_session(told: Session) -> None:
    planned = told.pick(
        "scan/lxt", steps="auto", which="largest", field="mine", select="on", signals="my/frames"
    )
    picked = planned.compute()
    told.to_yaml("pick.yaml")
    told.save()

    assert run_command(["pick", "pick.yaml", "-o", "picked.zarr"]) == 0
    import xarray as xr

    stored = xr.open_zarr("picked.zarr")
    np.testing.assert_array_equal(stored["my__frames"], picked["my__frames"])
    assert ce.explore("xpptest01_Run0007.h5").notes.cube == told.notes.cube


# The key `run: {variables: FILE}` by itself


def test_variables_of_another_source_are_refused(told: Session, data: Path) -> None:
    told.cube(signals="mine")
    told.to_yaml("spec.yaml")
    data.unlink()
    write_lcls1(data, n_events=421)

    with pytest.raises(StoreMismatch, match="was saved for other events"):
        ce.open_spec("spec.yaml")
    assert run_command(["run", "spec.yaml"]) == 2


def test_variables_of_another_version_of_the_source_are_refused(told: Session, data: Path) -> None:
    told.cube(signals="mine")
    told.to_yaml("spec.yaml")
    with h5py.File(data, "r+") as file:
        file["ipm2/sum"][...] = file["ipm2/sum"][...] + 1

    with pytest.raises(StoreMismatch, match="another version of the run's files"):
        ce.open_spec("spec.yaml")


def test_file_of_variables_is_relative_to_the_spec_and_filled_in(told: Session, data: Path) -> None:
    path = told.save()
    text = (
        "cube: mine\nrun: {experiment: xpptest01, run: 7, smalldata: 'xpptest01_Run{run:04d}.h5', "
        "variables: 'xpptest01_Run{run:04d}.session.nc'}\nsignals: [mine]\n"
    )
    (data.parent / "own.yaml").write_text(text)

    spec, run = ce.open_spec(data.parent / "own.yaml")

    assert run.files[-1].path == path
    assert ce.plan(run, spec).compute()["mine_count"].item() == np.isfinite(told["mine"].read()).sum()


def test_file_of_variables_that_is_not_there_is_told(data: Path) -> None:
    (data.parent / "own.yaml").write_text(
        "cube: x\nrun: {smalldata: xpptest01_Run0007.h5, variables: no.nc}\n"
    )

    with pytest.raises(SourceFormatError, match=r"no.nc: no such file of variables"):
        ce.open_spec(data.parent / "own.yaml")


def test_variables_do_not_go_with_the_events_of_a_group() -> None:
    with pytest.raises(SpecError, match="not of an align group"):
        CubeSpec.loads("cube: x\nrun: {smalldata: a.h5, variables: b.nc, events: intg}\n")


# Pictures


@pytest.fixture
def _headless() -> Any:
    import matplotlib.pyplot as plt

    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


@pytest.mark.usefixtures("_headless")
def test_pictures_take_names_of_selections_and_variables(told: Session) -> None:
    n_on = int(told.mask("on").sum())
    shown = [
        told.hist("ipm2/sum", select="on"),
        told.hist2d("ipm2/sum", "delay", select="on"),
        told.correlate("ipm2/sum", "mine", select="on"),
        told.trace("mine", select={"field": "ipm2/sum", "min": 0.3}),
        told.scan_plot("mine", axis="delay", select="good"),
        told.plot_cut_flow("on"),
        told.average_image("my/frames", select="on"),
        *told.overview().values(),
    ]

    assert f"n = {n_on:,}" in shown[0].get_legend_handles_labels()[1][0]
    assert all(ax.has_data() for ax in shown)
