"""The floors of the package: imports go down only, also those inside functions and for type checking."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cubeengine"

FLOORS = {
    "cubeengine": 0,  # the root holds the version; its names load lazily, from any floor
    "errors": 0, "types": 0, "units": 0, "budget": 0, "measure": 0, "progress": 0,
    "marks": 0, "schema": 0, "shared": 0, "terminal": 0,
    "kernels": 1, "sources": 1, "store": 1,
    "detectors": 2, "plots": 2, "combine": 2,
    "events": 3, "report": 3,
    "spec": 4,
    "planning": 5,
    "graph": 6,
    "launch": 7,
    "engine": 7,
    "api": 8, "submit": 8,
    "demo": 9, "look": 9, "picking": 9, "pedestals": 9,
    "session": 10,
    "compat": 11,
    "cli": 12,
}  # fmt: skip

SIBLINGS = {"kernels", "sources", "store", "detectors", "plots", "combine"}
"""Parts of one floor that know nothing of one another."""

ALLOWED = {
    # planning decides: of what is stored and read it knows the shape only
    ("planning", "store"): {"cubeengine.store.layout"},
    ("planning", "sources"): {"cubeengine.sources.base"},
    ("planning", "kernels"): None,
    ("planning", "detectors"): None,
    # of the floors below them, these use nothing else
    ("detectors", "kernels"): None,
    ("plots", "store"): None,
    ("combine", "store"): None,
    ("report", "store"): None,
    ("report", "plots"): None,
    ("events", "sources"): None,
    ("events", "kernels"): None,
    ("spec", "events"): None,
    ("spec", "detectors"): None,
    ("spec", "store"): {"cubeengine.store.files"},
    ("submit", "spec"): None,
}
"""For parts that may not use all that is below: which modules of which part; None for all of them."""

PRINTING = {"cubeengine.compat.printing"}
"""Beside the command line: methods that are called `print...`, for notebooks that call them."""

RESTRICTED = {user for user, _ in ALLOWED} - {"planning"}
HEAVY = {
    "planning": {"dask", "distributed", "h5py", "zarr", "xarray", "numba"},
    "schema": {"dask", "distributed", "h5py", "zarr", "xarray", "numba"},
    "spec": {"dask", "distributed", "h5py", "zarr", "xarray", "numba"},
    "kernels": {"dask", "distributed", "h5py", "zarr", "xarray"},
    "sources": {"dask", "distributed", "zarr", "xarray"},
    "cli": {"dask", "distributed", "h5py", "zarr", "numba"},
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def part_of(module: str) -> str:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "cubeengine"


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(path: Path) -> Iterator[str]:
    """Yield every module that is imported anywhere in a file."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            # "from cubeengine import api" imports a module as well
            yield from (f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}"))


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return name.startswith("cubeengine.") and (path.is_dir() or path.with_suffix(".py").is_file())


def own_imports(path: Path) -> set[str]:
    return {name for name in imports_of(path) if name.split(".")[0] == "cubeengine"}


def test_every_part_of_the_package_has_a_floor() -> None:
    assert {part_of(module_name(path)) for path in MODULES} <= FLOORS.keys()


def fault(path: Path, imported: str) -> str:
    """Say what is wrong with an import; nothing for one that is right."""
    own, other = part_of(module_name(path)), part_of(imported)
    if own in (other, "cubeengine"):
        return ""
    if FLOORS[other] > FLOORS[own]:
        return "is above it"
    if own in SIBLINGS and FLOORS[other] == FLOORS[own]:
        return "is beside it"
    modules = ALLOWED.get((own, other))
    if modules is not None and imported not in modules | {f"cubeengine.{other}"}:
        return f"is not one of {sorted(modules)}"
    if own in RESTRICTED and FLOORS[other] > 0 and (own, other) not in ALLOWED:
        return f"is none of its business: {own} does not use {other}"
    return ""


def test_imports_go_down_only() -> None:
    pairs = {(path, imported) for path in MODULES for imported in own_imports(path)}
    crossing = {(part_of(module_name(path)), part_of(imported)) for path, imported in pairs}
    for own in sorted(FLOORS, key=FLOORS.__getitem__, reverse=True):
        used = sorted(other for user, other in crossing if user == own and other != own)
        print(f"{FLOORS[own]:2} {own:10} imports {', '.join(used)}")  # noqa: T201 - shown when it fails

    faults = [(module_name(path), imported, fault(path, imported)) for path, imported in sorted(pairs)]
    assert [f"{own} imports {other}, which {why}" for own, other, why in faults if why] == []


def test_light_parts_import_no_heavy_package() -> None:
    found = []
    for path in MODULES:
        part = part_of(module_name(path))
        names = at_once(path) if part == "cli" else imports_of(path)
        heavy = {name.split(".")[0] for name in names} & HEAVY.get(part, set())
        found += [f"{module_name(path)} imports {name}" for name in sorted(heavy)]

    assert found == []


def at_once(path: Path) -> list[str]:
    """Return what a module imports when it is imported itself."""
    return [name for node in parsed(path).body for name in names_of(node)]


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_root_imports_nothing_when_it_is_imported() -> None:
    assert at_once(PACKAGE / "__init__.py") == ["__future__", "typing"]


def test_every_name_of_the_root_can_be_had() -> None:
    import cubeengine

    for name in cubeengine.__all__:
        assert getattr(cubeengine, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cubeengine.no_such_name


def test_only_the_command_line_prints() -> None:
    for path in MODULES:
        if part_of(module_name(path)) == "cli" or module_name(path) in PRINTING:
            continue
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, f"{module_name(path)} prints"


def test_nothing_is_executed_or_unpickled() -> None:
    for path in MODULES:
        tree = parsed(path)
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {func.id for func in calls if isinstance(func, ast.Name)}
        assert not names & {"eval", "exec", "compile", "__import__"}, module_name(path)
        assert "pickle" not in {name.split(".")[0] for name in imports_of(path)}, module_name(path)
