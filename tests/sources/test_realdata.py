"""Files written by the field's own tools, against what their makers put in."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.sources.registry import open_source
from cubeengine.types import FieldKind

pytestmark = pytest.mark.realdata

LCLS2 = ("serial_21", "mpi_22", "hdf5v2/mpi_22")


@pytest.mark.parametrize("name", LCLS2)
def test_lcls2_values_are_the_truth(shared_data: Path, name: str) -> None:
    folder = shared_data / "smalldata_lcls2"
    if name.startswith("hdf5v2") and h5py.version.hdf5_version_tuple < (2, 0):
        with pytest.raises(SourceFormatError, match="encoding that HDF5"):
            open_source(folder / f"{name}.h5")
        return
    source = open_source(folder / f"{name}.h5")
    truth = np.sort(np.load(folder / f"{Path(name).name}.truth.npy"), order="ts")
    np.testing.assert_array_equal(source.timestamps, truth["ts"])
    np.testing.assert_array_equal(source.read("fim/pulse").data, truth["pulse"])
    np.testing.assert_array_equal(source.read("scan/motor1").data, truth["motor1"])
    np.testing.assert_array_equal(source.read("scan/step_value").data, truth["step"] + 1)
    np.testing.assert_array_equal(source.read("fim/var_peaks_len").data, truth["npk"])
    marked = source.with_missing(
        dict.fromkeys(("epx/ROI_0_sum", "epx/npix", "epx/ROI_0_area"), "leading_zeros")
    )
    np.testing.assert_array_equal(np.isnan(marked.read("epx/ROI_0_sum").data), ~truth["has_epx"])
    np.testing.assert_array_equal(marked.read("epx/npix").valid, truth["has_epx"])
    images = marked.read("epx/ROI_0_area").data
    np.testing.assert_array_equal(np.isnan(images).all(axis=(1, 2)), ~truth["has_epx"])
    assert source.leading_zero_rows("late/anint") >= 21


def test_unsorted_joined_file_pads_are_told(shared_data: Path) -> None:
    source = open_source(shared_data / "smalldata_lcls2" / "mpi_22.h5")
    assert source.rows is not None
    group = source.aligned("rareintg")
    assert (group.n_events, group.fields["rareintg/odd/temp"].n_rows) == (29, 155)
    assert np.isfinite(group.read("rareintg/odd/temp").data).all()
    assert source.aligned("intg").n_events == 24
    iflag = source.read("rare/iflag")
    assert iflag.valid is not None
    assert (~iflag.valid).sum() == 126


@pytest.mark.parametrize("name", ["real_mixed_rate", "real_intg_det"])
def test_real_runs_read_as_the_library_does(shared_data: Path, name: str) -> None:
    path = shared_data / "smalldata_lcls2" / f"{name}.h5"
    source = open_source(path)
    with h5py.File(path) as file:
        for field, info in source.fields.items():
            if info.kind is FieldKind.EVENT:
                np.testing.assert_array_equal(source.read(field).data, file[field][()])


@pytest.mark.parametrize("run", ["0012", "0013"])
def test_lcls1_values_are_what_the_library_gives(shared_data: Path, run: str) -> None:
    folder = shared_data / "smalldata_lcls1"
    truth = json.loads((folder / f"xpptest01_Run{run}.truth.json").read_text())
    source = open_source(folder / f"xpptest01_Run{run}.h5")
    assert source.n_events == truth["n_events"]
    assert (source.read("lightStatus/laser").data == -1).sum() == truth["n_evr_damaged"]
    assert np.isnan(source.read("ipm3/sum").data).sum() == truth["n_ipm3_nan"]
    assert source.coordinates("epix/azav_azav")[0][0] == "q"
    with h5py.File(folder / f"xpptest01_Run{run}.h5") as file:
        for field, info in source.fields.items():
            np.testing.assert_array_equal(source.read(field).data, file[field][()])
            assert info.kind is (FieldKind.RUN if field.startswith(("Sums", "User")) else FieldKind.EVENT)


def test_raw_files_are_told_from_smalldata_by_what_is_in_them(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "xtc2" / "single").glob("*.xtc2"))
    assert paths
    for path in paths:
        source = open_source(path)
        renamed = tmp_path / "run.h5"
        renamed.write_bytes(path.read_bytes())

        assert source.n_events > 0
        assert set(open_source(renamed).fields) == set(source.fields)
