from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cubeengine.errors import StoreMismatch
from cubeengine.store import files, write
from cubeengine.store.layout import ArrayLayout, CubeLayout
from cubeengine.store.read import open_cube

LAYOUT = CubeLayout((ArrayLayout("m", ("x",), (4,), (2,), "float64"),))


def made(target: Path, value: float, *, overwrite: bool = False) -> Path:
    store = write.create(target, LAYOUT, {}, overwrite=overwrite)
    write.write_region(store, "m", (slice(None),), np.full(4, value))
    return store


def value_at(target: Path) -> float:
    return float(open_cube(target)["m"][0])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A published cube that holds ones."""
    path = tmp_path / "c.zarr"
    write.publish(made(path, 1.0), path)
    return path


@pytest.fixture(params=["atomic exchange", "renames only"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "renames only":
        monkeypatch.setattr(files, "_system_renameat2", lambda: None)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("any_system")
def test_published_cube_is_all_that_is_left(target: Path) -> None:
    assert value_at(target) == 1.0
    assert names(target.parent) == ["c.zarr"]


@pytest.mark.usefixtures("any_system")
def test_overwrite_exchanges_the_old_cube_for_the_new(target: Path) -> None:
    store = made(target, 2.0, overwrite=True)
    assert value_at(target) == 1.0
    write.publish(store, target, overwrite=True)
    assert value_at(target) == 2.0
    assert names(target.parent) == ["c.zarr"]


def test_existing_cube_is_refused_before_anything_is_made(target: Path) -> None:
    with pytest.raises(StoreMismatch, match="already exists; replace it with --overwrite, in Python "):
        write.create(target, LAYOUT, {})
    assert names(target.parent) == ["c.zarr"]


@pytest.mark.usefixtures("any_system")
def test_cube_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    slow = made(target, 2.0)
    write.publish(made(target, 1.0), target)
    with pytest.raises(StoreMismatch, match="already exists"):
        write.publish(slow, target)
    assert value_at(target) == 1.0
    assert write.leftovers(target) == (slow,)


@pytest.mark.usefixtures("any_system")
def test_folder_that_appears_between_check_and_rename_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "c.zarr"
    store = made(target, 1.0)
    target.mkdir()
    with pytest.raises(FileExistsError):
        files.rename_new(store, target)
    assert list(target.iterdir()) == []
    assert store.is_dir()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "kind", ["folder", "empty folder", "file", "foreign zarr", "link to cube", "dead link"]
)
def test_what_is_no_cube_is_never_replaced(tmp_path: Path, kind: str, overwrite: bool) -> None:
    target = tmp_path / "c.zarr"
    put(kind, target)
    before = names(tmp_path)
    with pytest.raises(StoreMismatch, match="never replaced"):
        write.create(target, LAYOUT, {}, overwrite=overwrite)
    store = made(tmp_path / "other.zarr", 1.0)
    with pytest.raises(StoreMismatch, match="never replaced"):
        write.publish(store, target, overwrite=overwrite)
    write.discard(store)
    assert names(tmp_path) == before


def put(kind: str, target: Path) -> None:
    if "folder" in kind:
        target.mkdir()
        if kind == "folder":
            (target / "thesis.tex").write_text("years of work")
    elif kind == "file":
        target.write_text("years of work")
    elif kind == "foreign zarr":
        target.mkdir()
        (target / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    else:
        away = target.with_name("away.zarr")
        if kind == "link to cube":
            write.publish(made(away, 1.0), away)
        target.symlink_to(away)


def test_missing_folder_is_an_error_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreMismatch, match="does not exist; create it first"):
        write.create(tmp_path / "results" / "c.zarr", LAYOUT, {})


def test_store_with_unwritten_chunks_is_not_published(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    store = write.create(target, LAYOUT, {})
    write.write_region(store, "m", (slice(0, 2),), np.zeros(2))
    with pytest.raises(StoreMismatch, match=r"not all chunks were written \(1 of 'm'\)"):
        write.publish(store, target)
    assert not target.exists()


def test_left_parts_of_killed_tasks_are_not_published(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    store = made(target, 1.0)
    (store / "m" / "c.0f3c.partial").write_bytes(b"half")
    write.publish(store, target)
    assert names(target / "m") == ["c.0", "c.1", "zarr.json"]


def test_discard_removes_the_temporary_store_and_may_be_repeated(target: Path) -> None:
    store = made(target, 2.0, overwrite=True)
    write.discard(store)
    write.discard(store)
    assert names(target.parent) == ["c.zarr"]


def test_discard_leaves_alone_what_is_no_temporary_store(target: Path, tmp_path: Path) -> None:
    disguised = tmp_path / ".c.zarr.tmp-0123456789abcdef"
    disguised.mkdir()
    (disguised / "thesis.tex").write_text("years of work")
    link = tmp_path / ".c.zarr.tmp-fedcba9876543210"
    link.symlink_to(target)
    for path in (target, disguised, link):
        with pytest.raises(StoreMismatch, match="left unchanged"):
            write.discard(path)
        with pytest.raises(StoreMismatch, match="left unchanged"):
            write.publish(path, tmp_path / "new.zarr")
    assert value_at(target) == 1.0


def test_store_of_a_writer_killed_at_its_start_or_while_removing_can_be_discarded(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    started = tmp_path / ".c.zarr.tmp-0123456789abcdef"
    started.mkdir()
    (started / "zarr.json.12ab.partial").write_text("{")
    with pytest.raises(StoreMismatch, match="not a cube"):
        write.publish(started, target)
    half_removed = made(target, 1.0)
    (half_removed / "m" / "zarr.json").unlink()
    assert set(write.leftovers(target)) == {started, half_removed}
    for left in write.leftovers(target):
        write.discard(left)
    assert names(tmp_path) == []


def test_interrupted_removal_leaves_the_marker(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(target, 2.0, overwrite=True)

    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write.discard(store)
    assert write.leftovers(target) == (store,)


def test_link_inside_a_store_is_removed_and_not_followed(target: Path, tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "data").write_text("x")
    store = made(target, 2.0, overwrite=True)
    (store / "link").symlink_to(keep, target_is_directory=True)
    write.discard(store)
    assert (keep / "data").read_text() == "x"
