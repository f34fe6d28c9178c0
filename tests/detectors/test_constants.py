"""Files of constants: what is written is read, and what cannot be right is refused."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine.detectors.array_files import opened_arrays
from cubeengine.detectors.constants import ARRAYS, open_constants, write_constants
from cubeengine.detectors.kinds import KINDS, check_detector, kind_named
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.types import DetectorInfo

GEOMETRY = "# a comment\nIP 0 EPIX10KA:V1 0 0 0 0 0 0 0 0 0 0\n"
ABOUT: dict[str, Any] = {
    "kind": "jungfrau",
    "name": "jf",
    "unique_id": "jungfrau_a_b",
    "source": "made up, µ",
    "segments": (2, 5),
    "valid_from_run": 3,
    "valid_to_run": 9,
}


def made_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (3, 2, 4, 6)
    arrays = {key: rng.normal(size=shape).astype(">f4") for key in ("pedestals", "pixel_rms", "pixel_gain")}
    arrays["pixel_status"] = rng.integers(0, 2**64, shape, dtype="u8")
    arrays["status_extra"] = rng.integers(0, 2, shape[1:], dtype="u8")
    arrays["pixel_offset"] = rng.normal(size=shape)
    arrays["pixel_mask"] = rng.random(shape[1:]) > 0.5
    arrays["common_mode"] = np.array([7, 2, 100, 10], "f8")
    return arrays


@pytest.mark.parametrize("name", ["c.h5", "c.npz", "c.hdf5"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    arrays, path = made_arrays(), tmp_path / name
    assert set(arrays) == set(ARRAYS)

    write_constants(path, arrays, geometry=GEOMETRY, **ABOUT)
    constants = open_constants(path)

    assert constants.shapes == {key: values.shape for key, values in arrays.items()}
    assert {key: getattr(constants, key) for key in ABOUT} == ABOUT
    assert constants.geometry() == GEOMETRY
    for key, values in arrays.items():
        assert_array_equal(constants.read(key), values)
        assert constants.read(key).dtype == values.dtype.newbyteorder("=")
    assert_array_equal(constants.read("pedestals", (slice(None), [1])), arrays["pedestals"][:, [1]])
    facts = constants.facts()
    assert facts["file"] == str(path.resolve())
    assert (facts["detector"], facts["valid_from_run"], facts["valid_to_run"]) == ("jf", 3, 9)


@pytest.mark.parametrize("name", ["c.h5", "c.npz"])
def test_further_arrays_and_texts_are_kept_and_ignored(tmp_path: Path, name: str) -> None:
    counts, path = np.arange(6), tmp_path / name
    write_constants(path, {"pedestals": counts + 1}, further={"values_used": counts}, texts={"told": "µ"})

    assert open_constants(path).shapes == {"pedestals": (6,)}
    with opened_arrays(path) as file:
        assert_array_equal(file.array("values_used", ()), counts)
        told = np.asarray(file.about("told")).item()
    assert (told.decode() if isinstance(told, bytes) else told) == "µ"


@pytest.mark.parametrize("name", ["c.h5", "c.npz"])
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, name: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    write_constants(path, {"pedestals": np.zeros(3)})
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    where = {"write": ("numpy.savez_compressed", "h5py.Group.create_dataset"), "fsync": ("os.fsync",),
             "replace": ("pathlib.Path.replace",)}  # fmt: skip
    for target in where[step]:
        monkeypatch.setattr(target, full)
    with pytest.raises(OSError, match="No space left"):
        write_constants(path, {"pedestals": np.ones(3)})

    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["c.h5", "c.npz"])
def test_plain_file_of_arrays_will_do(tmp_path: Path, name: str) -> None:
    pedestals = np.ones((4, 6))
    if name == "c.npz":
        np.savez(tmp_path / name, pedestals=pedestals, other=3)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["pedestals"], file["other"] = pedestals, 3

    constants = open_constants(tmp_path / name)

    assert constants.shapes == {"pedestals": (4, 6)}
    assert (constants.kind, constants.segments, constants.valid_to_run) == ("", None, None)
    for read in (lambda: constants.read("pixel_gain"), constants.geometry):
        with pytest.raises(SpecError, match=r"holds no '(pixel_gain|geometry)'"):
            read()


def test_what_cannot_be_right(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", pedestals=np.array([{}, 1], object), allow_pickle=True)
    np.savez(tmp_path / "falling.npz", segments=[3, 1])
    np.savez(tmp_path / "texts.npz", segments=["a"], pedestals=["b"])
    (tmp_path / "none.h5").write_bytes(b"nothing of the kind")
    write_constants(tmp_path / "whole.h5", made_arrays())
    (tmp_path / "short.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:900])
    (tmp_path / "short.npz").write_bytes((tmp_path / "falling.npz").read_bytes()[:80])

    for name in ("falling.npz", "texts.npz", "none.h5", "short.h5", "short.npz"):
        with pytest.raises(SourceFormatError, match=name):
            open_constants(tmp_path / name)
    with pytest.raises(SourceFormatError, match=r"objects\.npz"):
        open_constants(tmp_path / "objects.npz").read("pedestals")
    with pytest.raises(SpecError, match="no such file"):
        open_constants(tmp_path / "absent.h5")
    with pytest.raises(SpecError, match="'pedestal' is not the name"):
        write_constants(tmp_path / "x.h5", {"pedestal": np.ones(3)})


@pytest.mark.parametrize(
    ("of_file", "of_data", "same"),
    [
        (("jungfrau", "jungfrau_a_b"), ("jungfrau", "jungfrau_a_b"), True),
        (("jungfrau", "jungfrau_a_b"), ("jungfrau", "jungfrau_b"), True),
        (("jungfrau", "jungfrau_a_b"), ("jungfrau", "jungfrau_c"), False),
        (("jungfrau", "jungfrau_a_b"), ("jungfrau", "jungfrau_b_a"), False),
        (("jungfrau", "jungfrau_a_b"), ("jungfrau", "jungfrau__"), True),
        (("epix10ka", "epix10ka_a"), ("epix", "epix_a"), True),
        (("", ""), ("jungfrau", "jungfrau_c"), True),
        (("jungfrau", ""), ("epix10ka", ""), False),
        (("single", ""), ("homemade", ""), True),
        (("jungfrau", ""), ("homemade", ""), False),
        (("homemade", ""), ("homemade", ""), True),
    ],
)
def test_constants_of_another_detector(
    tmp_path: Path, of_file: tuple[str, str], of_data: tuple[str, str], same: bool
) -> None:
    write_constants(tmp_path / "c.h5", {}, kind=of_file[0], unique_id=of_file[1])
    constants, info = open_constants(tmp_path / "c.h5"), DetectorInfo("area", *of_data)

    if same:
        check_detector(None, info, constants)
        return
    with pytest.raises(SpecError, match=r"c\.h5 is for another detector than 'area'"):
        check_detector(None, info, constants)


def test_names_of_kinds() -> None:
    assert [kind.name if (kind := kind_named(name)) else None for name in ("epixhr2x2", "Opal", "hsd")] == [
        "epixhr",
        "single",
        None,
    ]


def test_page_on_constants_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "constants.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    kinds = re.findall(r"^\| `(\w+)` \| (\d)[^|]*\| ([\w, ]+) \|$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)

    exec(compile(example, "constants.md", "exec"), {})

    assert open_constants(tmp_path / "epix100.h5").shapes == {"pedestals": (704, 768)}
    assert [name for name, _, _ in kinds] == list(KINDS)
    for name, ranges, called in kinds:
        assert KINDS[name].ranges == int(ranges)
        assert {kind_named(other) for other in called.split(", ")} == {KINDS[name]}
    assert all(f"`{name}`" in page for name in ARRAYS)


def exported(folder: Path, **raw: Any) -> Path:
    """Run the script's functions with a detector as psana gives it."""
    script = runpy.run_path(str(Path(__file__).resolve().parents[2] / "jobs" / "export_constants.py"))
    meta = {"experiment": "xppx1", "run": 12, "run_end": "end", "detname": "x", "version": "v1"}
    arrays = made_arrays()
    calibration = {key: (values, meta) for key, values in arrays.items()}
    calibration |= {"geometry": (GEOMETRY, meta), "pixel_max": (np.ones(3), meta)}
    detector = SimpleNamespace(
        _det_name="jf", _dettype="jungfrau", calibconst=calibration, raw=SimpleNamespace(**raw)
    )
    found = script["constants_of"](detector, "xppx1", 15)
    script["write_file"](folder / "c.h5", found)
    return folder / "c.h5"


def test_exported_file_reads_as_ours(tmp_path: Path) -> None:
    path = exported(tmp_path, _uniqueid="jungfrau_a_b", _sorted_segment_inds=[0, 1])

    constants = open_constants(path)

    assert (constants.kind, constants.name, constants.unique_id) == ("jungfrau", "jf", "jungfrau_a_b")
    assert (constants.valid_from_run, constants.valid_to_run) == (12, None)
    assert "xppx1" in constants.source
    assert constants.geometry() == GEOMETRY
    for key, values in made_arrays().items():
        assert_array_equal(constants.read(key), values)


def test_exported_file_is_laid_out_as_that_of_the_package(tmp_path: Path) -> None:
    path = exported(tmp_path, _uniqueid="jungfrau_a_b", _sorted_segment_inds=[0, 1])
    about: dict[str, Any] = {"kind": "jungfrau", "name": "jf", "unique_id": "jungfrau_a_b", "source": "x"}
    write_constants(tmp_path / "ours.h5", made_arrays(), geometry=GEOMETRY, valid_from_run=12, **about)

    with h5py.File(path) as theirs, h5py.File(tmp_path / "ours.h5") as ours:
        assert set(theirs) == set(ours)
        assert {key: theirs[key].shape for key in theirs} == {key: ours[key].shape for key in ours}
        assert {key: type(value) for key, value in theirs.attrs.items()} == {
            key: type(value) for key, value in ours.attrs.items()
        }
