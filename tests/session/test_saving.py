"""What is saved is there next time: with the same source, and never with another one."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine import Session, SourceFormatError, SpecError, StoreMismatch
from cubeengine.events import identity
from cubeengine.store.files import StoreWriteError
from tests.makers.smalldata import write_lcls1
from tests.quick import first_quick
from tests.session.conftest import FILE

ROOT = Path(__file__).resolve().parents[2]


def told(data: Path) -> Session:
    """A session that was told something of each kind."""
    session = ce.explore(data)
    session.declare({"scan/lxt": "s", "tt/ttCorr": "ps"})
    session.add("mine", np.arange(session.n_events, dtype=np.float32), unit="mm")
    session.add("delay", ce.DelayRecipe(nominal="scan/lxt", timetool="tt/ttCorr"))
    session.add("ratio", "mine / ipm2__sum")
    session.select("good", {"field": "ipm2/sum", "min": 0.3})
    session.select("on", "good", "ratio > 0", laser="on")
    return session


def saved_file(data: Path) -> Path:
    return data.with_name("xpptest01_Run0007.session.nc")


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def change(path: Path) -> None:
    """Give the file other values of the same events."""
    with h5py.File(path, "r+") as file:
        file["ipm2/sum"][...] = file["ipm2/sum"][...] * 2
    touch(path)


def test_everything_is_there_next_time(data: Path) -> None:
    before = told(data)
    before.cube("delay", edges=[-1, 0, 1], unit="ps", select="on", signals=["mine"])
    path = before.save()

    after = ce.explore(data)

    assert path == saved_file(data)
    assert after.loaded_from == path
    assert after.spec == before.spec
    assert after.notes.cube == before.notes.cube
    assert after.is_saved
    for name in ("mine", "delay", "ratio"):
        xr.testing.assert_identical(after[name].read(), before[name].read())
    xr.testing.assert_identical(after.mask("on"), before.mask("on"))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int64", "uint8", "uint16", "uint64", "float32", "float64", ">i4"]
)
@pytest.mark.parametrize("shape", first_quick([(2, 3), (), (3,), (0,)]))
def test_arrays_come_back_with_their_type(data: Path, dtype: str, shape: tuple[int, ...]) -> None:
    session = ce.explore(data)
    rng = np.random.default_rng(1)
    array = (rng.random((session.n_events, *shape)) * 100).astype(dtype)
    session.add("my/array", array)
    session.save()

    back = ce.explore(data)["my/array"].read()

    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back.to_numpy(), array)


def test_missing_and_extreme_values_come_back(data: Path) -> None:
    session = ce.explore(data)
    valid = np.arange(session.n_events) % 3 > 0
    whole = np.full(session.n_events, np.iinfo(np.int64).min)
    session.add("whole", np.ma.masked_array(whole, ~valid))
    session.add("big", np.full(session.n_events, 2**64 - 1, np.uint64))
    session.add("real", np.where(valid, np.inf, np.nan))
    session.save()

    back = ce.explore(data)

    masked = back["whole"].read(missing="mask")
    np.testing.assert_array_equal(masked.coords["valid"], valid)
    assert (masked.to_numpy()[valid] == np.iinfo(np.int64).min).all()
    assert (back["big"].read() == 2**64 - 1).all()
    np.testing.assert_array_equal(back["real"].read(), np.where(valid, np.inf, np.nan))


def test_file_is_plain_netcdf_with_the_times_of_the_events(data: Path) -> None:
    session = told(data)

    with xr.open_dataset(session.save(), engine="h5netcdf") as file:
        np.testing.assert_array_equal(file["mine"], session["mine"].read())
        assert file["mine"].attrs["units"] == "mm"
        np.testing.assert_array_equal(file["time"], session.time)
        np.testing.assert_array_equal(file["timestamp"], session.timestamps)


def test_what_is_removed_is_gone_next_time(data: Path) -> None:
    session = told(data)
    session.save()
    session.deselect("on")
    session.remove("ratio")
    session.remove("mine")
    session.save()

    assert "mine" not in ce.explore(data)


def test_session_that_was_told_nothing_leaves_no_file(data: Path) -> None:
    session = ce.explore(data)
    del session

    assert not saved_file(data).exists()


def test_session_is_saved_when_it_is_no_longer_used(data: Path) -> None:
    session = told(data)
    del session
    gc.collect()

    assert "mine" in ce.explore(data)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "1 / 0"])
def test_session_is_saved_at_the_end_of_the_process(data: Path, end: str) -> None:
    code = (
        f"import cubeengine as ce; run = ce.explore({str(data)!r}); run.add('twice', '2 * ipm2__sum'); {end}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)

    assert "twice" in ce.explore(data)


def test_session_in_memory_is_not_saved(session: Session) -> None:
    session.add("mine", np.zeros(6))

    with pytest.raises(SpecError, match="in memory"):
        session.save()


# Where


def test_folder_that_the_environment_names_is_used(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBEENGINE_SESSIONS", str(tmp_path / "mine"))
    path = told(data).save()

    assert path.parent == tmp_path / "mine"
    assert not saved_file(data).exists()
    assert "mine" in ce.explore(data)


def test_runs_of_one_name_in_two_folders_do_not_share_a_session(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBEENGINE_SESSIONS", str(tmp_path / "mine"))
    told(data).save()
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy2(data, other / FILE)

    assert "mine" not in ce.explore(other / FILE)


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have a folder refuse new files, also to root."""
    from cubeengine.session import saving

    original = saving.replace_file

    def replace_file(path: Path, content: bytes) -> None:
        if path.parent == folder:
            raise PermissionError(13, "Permission denied")
        original(path, content)

    monkeypatch.setattr(saving, "replace_file", replace_file)


def test_data_that_cannot_be_written_to_have_their_session_in_the_users_folder(
    data: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, data.parent)

    path = told(data).save()

    assert path.parent == own_folder
    after = ce.explore(data)
    assert after.loaded_from == path
    assert "mine" in after


def test_ones_own_session_comes_before_that_beside_the_data(
    data: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(data).save()
    refuse(monkeypatch, data.parent)
    session = ce.explore(data)
    session.add("more", "2 * ipm2__sum")

    assert session.save().parent == own_folder
    assert "more" in ce.explore(data)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_passed_over(data: Path, own_folder: Path) -> None:
    session = told(data)
    data.parent.chmod(0o555)
    try:
        assert session.save().parent == own_folder
    finally:
        data.parent.chmod(0o755)


# Of which source


def test_copied_file_is_the_same(data: Path, tmp_path: Path) -> None:
    told(data).save()
    other = tmp_path / "other"
    shutil.copytree(data.parent, other, copy_function=shutil.copyfile)  # new time stamps

    assert "mine" in ce.explore(other / FILE)


def test_touched_file_is_the_same(data: Path) -> None:
    told(data).save()
    touch(data)

    assert "mine" in ce.explore(data)


def test_touched_file_that_is_too_large_to_be_read_whole_is_asked_about(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "WHOLE_NBYTES", 1000)
    told(data).save()
    assert "mine" in ce.explore(data)
    touch(data)

    with pytest.raises(StoreMismatch, match=r"probably they were copied or touched; saved='accept'"):
        ce.explore(data)
    accepted = ce.explore(data, saved="accept")
    assert "mine" in accepted
    accepted.select("more", "mine > 3")
    accepted.save()
    assert "mine" in ce.explore(data)  # now it is that file's


@pytest.mark.parametrize("whole", [True, False])
def test_changed_file_is_noticed(data: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    if not whole:
        monkeypatch.setattr(identity, "WHOLE_NBYTES", 1000)
    told(data).save()
    change(data)

    with pytest.raises(StoreMismatch, match=r"another version of the run's files") as caught:
        ce.explore(data)
    for way in ("saved='accept'", "saved='recipes'", "saved='ignore'"):
        assert way in str(caught.value)


def test_other_events_are_never_accepted(data: Path) -> None:
    told(data).save()
    data.unlink()
    write_lcls1(data, n_events=421)

    for policy in ("check", "accept"):
        with pytest.raises(StoreMismatch, match=r"other events: 420 events in .*; the run has 421"):
            ce.explore(data, saved=policy)


def test_recipes_are_taken_without_arrays(data: Path) -> None:
    told(data).save()
    data.unlink()
    write_lcls1(data, n_events=421)

    session = ce.explore(data, saved="recipes")

    assert "delay" in session
    assert session.mask("good").any()
    assert "mine" not in session
    assert "ratio" not in session  # made of an array
    assert "on" not in session.spec.select
    assert any("derive.ratio" in remark and "'mine'" in remark for remark in session.remarks)
    assert session.remarks[0] in session.greeting


def sessions(data: Path) -> dict[str, bytes]:
    """Content of every session's file beside the data."""
    return {
        path.name.removeprefix("xpptest01_Run0007"): path.read_bytes()
        for path in data.parent.glob("*.session.nc")
    }


def test_session_made_of_recipes_takes_the_place_and_keeps_the_other(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told(data).save()
    before = sessions(data)[".session.nc"]
    change(data)

    session = ce.explore(data, saved="recipes")
    session.add("other", "2 * ipm2__sum")
    session.save()
    session.add("another", "3 * ipm2__sum")
    session.save()

    assert sessions(data)[".1.session.nc"] == before
    assert len(sessions(data)) == 2
    assert caplog.text.count("was kept in") == 1
    assert "other" in ce.explore(data)


@pytest.mark.parametrize("end", ["del", "close"])
def test_session_that_ignores_another_leaves_it_in_its_place(
    data: Path, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    told(data).save()
    before = sessions(data)[".session.nc"]
    session = ce.explore(data, saved="ignore")
    session.add("mine", np.zeros(session.n_events))
    if end == "close":
        session.close()
    del session
    gc.collect()

    assert sessions(data)[".session.nc"] == before
    assert "1.session.nc" in caplog.text
    beside = ce.explore(data, saved=data.with_name("xpptest01_Run0007.1.session.nc"))
    assert not beside["mine"].read().any()
    assert beside.is_saved
    beside.add("more", "mine + 1")
    assert beside.save().name == "xpptest01_Run0007.1.session.nc"
    assert sessions(data)[".session.nc"] == before


@pytest.mark.slow
def test_script_that_ignores_a_session_leaves_it_in_its_place(data: Path) -> None:
    told(data).save()
    before = sessions(data)[".session.nc"]
    code = f"""
        import cubeengine as ce, numpy as np
        run = ce.explore({str(data)!r}, saved="ignore")
        run.add("mine", np.zeros(run.n_events))
        run.cube("mine", edges=[-1, 1], signals="ipm2/sum").compute()
        run.add("later", "mine + 1")
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, check=True
    )

    assert sessions(data)[".session.nc"] == before
    assert set(sessions(data)) == {".session.nc", ".1.session.nc"}
    assert done.stderr.count(b"was not replaced") == 1
    assert "later" in ce.explore(data, saved="xpptest01_Run0007.1.session.nc")


@pytest.mark.parametrize("saved", ["ignore", None])
def test_ignored_session_gives_way_only_when_asked_to(data: Path, saved: str | None) -> None:
    told(data).save()
    before = sessions(data)[".session.nc"]
    session = ce.explore(data, saved=saved)
    session.add("other", "2 * ipm2__sum")

    with pytest.raises(StoreMismatch, match=r"not loaded; run.save\(overwrite=True\)"):
        session.save()
    assert sessions(data) == {".session.nc": before}
    session.save(overwrite=True)

    assert sessions(data)[".1.session.nc"] == before
    assert "other" in ce.explore(data)


def test_session_without_a_past_saves_nothing_at_its_end(data: Path) -> None:
    session = ce.explore(data, saved=None)
    session.add("other", "2 * ipm2__sum")
    del session
    gc.collect()

    assert sessions(data) == {}


def test_session_in_the_users_folder_is_not_replaced_either(
    data: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, data.parent)
    mine = told(data).save()
    before = mine.read_bytes()
    session = ce.explore(data, saved="ignore")
    session.add("mine", np.zeros(session.n_events))
    session.cube("mine", edges=[-1, 1])

    assert mine.read_bytes() == before
    assert len(list(own_folder.iterdir())) == 2


def test_file_that_is_no_session_is_refused(data: Path) -> None:
    with pytest.raises(
        SpecError,
        match=r"'none.nc': not a session file; give a session file, or one of "
        r"'check'",
    ):
        ce.explore(data, saved="none.nc")


def test_policy_that_is_none_is_refused(data: Path) -> None:
    with pytest.raises(SpecError, match="'check', 'accept', 'recipes', 'ignore'"):
        ce.explore(data, saved="yes")


def test_file_that_changed_during_the_session_is_not_taken_for_the_new_one(data: Path) -> None:
    session = told(data)
    session.run.column("ipm2/sum")
    change(data)
    session.save()

    with pytest.raises(StoreMismatch, match="another version"):
        ce.explore(data)


def test_what_does_not_fit_is_kept_for_another_time(data: Path) -> None:
    session = told(data)
    session.add("third", "3 * `tt/FLTPOS`")
    session.select("early", {"field": "third", "max": 100})
    session.save()
    with h5py.File(data, "r+") as file:
        values = file["tt/FLTPOS"][...]
        del file["tt/FLTPOS"]
    without = ce.explore(data, saved="accept")
    assert "third" not in without
    without.add("more", "2 * ipm2__sum")
    without.save()
    with h5py.File(data, "r+") as file:
        file["tt/FLTPOS"] = values
    touch(data)

    back = ce.explore(data, saved="accept")

    assert "third" in back
    assert "early" in back.spec.select
    assert "more" in back


def test_broken_file_is_told(data: Path) -> None:
    saved_file(data).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))

    with pytest.raises(SourceFormatError, match=r"session.nc: cannot be read as a file of variables"):
        ce.explore(data)
    with xr.Dataset({"a": 1}) as other:
        other.to_netcdf(saved_file(data), engine="h5netcdf")
    with pytest.raises(SourceFormatError, match="its format is None"):
        ce.explore(data)


# Two sessions at a time


def test_session_of_another_is_not_overwritten(data: Path) -> None:
    told(data).save()
    first, second = ce.explore(data), ce.explore(data)
    first.add("first", "ipm2__sum")
    second.add("second", "ipm2__sum")
    first.save()

    with pytest.raises(StoreMismatch, match="another session of this run was saved"):
        second.save()
    second.save(overwrite=True)

    assert "second" in ce.explore(data)
    with xr.open_dataset(data.with_name("xpptest01_Run0007.1.session.nc"), engine="h5netcdf") as other:
        assert "first: ipm2__sum" in str(other["cubeengine:spec"].item())


def test_session_that_ends_beside_another_is_saved_under_another_name(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told(data).save()
    first, second = ce.explore(data), ce.explore(data)
    first.add("first", "ipm2__sum")
    second.add("second", "ipm2__sum")
    first.save()
    with caplog.at_level(logging.WARNING):
        second.close()

    assert "xpptest01_Run0007.1.session.nc" in caplog.text
    assert "first" in ce.explore(data)


def test_failure_to_save_at_the_end_is_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from cubeengine.session import saving

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    session = told(data)
    monkeypatch.setattr(saving, "replace_file", full)
    with pytest.raises(StoreWriteError, match="No space left"):
        session.save()
    session._keeper._close_quietly()

    assert "was not saved" in caplog.text
    assert "No space left" in caplog.text
