"""What the datasets of a smallData file are: per event, per run, ragged, or of an align group."""

from __future__ import annotations

from collections.abc import Mapping

from cubeengine.sources.stored import Stored
from cubeengine.types import FieldInfo, FieldKind, Storage, memory_dtype, narrow_dtype

RUN_LEVEL = frozenset({"UserDataCfg", "Sums", "epicsOnce", "epics_archiver"})
"""Groups whose datasets are once per run, even if their length happens to be the number of events."""

_VARYING = ("var_",)
_RAGGED = (*_VARYING, "ragged_")


def find_groups(found: Mapping[str, Stored]) -> dict[str, Stored]:
    """Return what may be align groups: every group, at any depth, with a field `timestamp` of integers."""
    return {
        name.removesuffix("/timestamp"): stored
        for name, stored in found.items()
        if name.endswith("/timestamp")
        and name.split("/")[0] not in RUN_LEVEL
        and len(stored.shape) == 1
        and stored.dtype.kind in "iu"
    }


def group_of(name: str, groups: Mapping[str, object]) -> str:
    """Return the innermost align group a field is in; "" for the run's own."""
    above = name
    while "/" in above:
        above = above.rsplit("/", 1)[0]
        if above in groups:
            return above
    return ""


def describe(
    name: str, stored: Stored, found: Mapping[str, Stored], groups: Mapping[str, Stored], n_events: int
) -> FieldInfo:
    """Tell what a dataset is.

    Parameters
    ----------
    name : str
        Of the field.
    stored : Stored
        How it lies.
    found : mapping
        All datasets, to find lengths of ragged ones.
    groups : mapping of group to its event times
    n_events : int
        Rows of the run's own event times.
    """
    group = group_of(name, groups)
    n_rows = groups[group].n_rows if group else n_events
    # The writer gives lengths to all that varies: without them a name alone makes nothing ragged.
    fixed = stored.n_rows == n_rows and is_ragged(name, _VARYING) and not lengths_of(name, found)
    kind, note = _kind(name, stored, n_rows, group, ragged=is_ragged(name) and not fixed)
    if kind is FieldKind.RAGGED:
        note = _lengths_note(name, found)
    if stored.part_types:
        note = "; ".join(filter(None, [note, _types_note(stored)]))
    per_row = kind is not FieldKind.RUN
    return FieldInfo(
        name,
        stored.shape[1:] if per_row else stored.shape,
        memory_dtype(stored.dtype),
        kind,
        stored.storage if stored.plain_numbers else Storage("contiguous"),
        str(stored.file.path),
        stored.n_rows if per_row else 1,
        group,
        stored.problem or note,
        narrow_dtype(stored.dtype),
    )


def _types_note(stored: Stored) -> str:
    cut = stored.dtype.kind != "f" and any("float" in name for name in stored.part_types)
    lost = ": fractions are truncated, and rows with NaN are missing" if cut else ""
    return f"{' and '.join(stored.part_types)} in the part files, read as {stored.native}{lost}"


def _kind(name: str, stored: Stored, n_rows: int, group: str, *, ragged: bool) -> tuple[FieldKind, str]:
    first = name.split("/")[0]
    if first in RUN_LEVEL or not stored.shape:
        return FieldKind.RUN, ""
    if ragged:
        return FieldKind.RAGGED, ""
    if stored.problem and not stored.plain_numbers:
        return FieldKind.RUN, stored.problem
    if stored.n_rows == n_rows:
        return (FieldKind.ALIGNED if group else FieldKind.EVENT), (f"align group {group!r}" if group else "")
    whose = f"align group {group!r}" if group else "run"
    return FieldKind.RUN, f"{stored.n_rows} rows, but the {whose} has {n_rows} events"


def is_ragged(name: str, starts: tuple[str, ...] = _RAGGED) -> bool:
    """Whether a field is named as the writers name what has a varying number of values per event."""
    return any(part.startswith(starts) for part in name.split("/")) and not is_length(name)


def is_length(name: str) -> bool:
    """Whether a field is the lengths of a ragged one."""
    *above, leaf = name.split("/")
    return (
        leaf.startswith("var_")
        and leaf.endswith("_len")
        and not any(part.startswith(_RAGGED) for part in above)
    )


def lengths_of(name: str, found: Mapping[str, object]) -> str:
    """Return the field with the lengths of a ragged one; "" where there is none."""
    parts = name.split("/")
    for depth, part in enumerate(parts, start=1):
        lengths = "/".join(parts[:depth]) + "_len"
        if part.startswith(_RAGGED) and lengths in found:
            return lengths
    return ""


def _lengths_note(name: str, found: Mapping[str, Stored]) -> str:
    lengths = lengths_of(name, found)
    if lengths:
        return f"varying number of values per event, given by {lengths!r}; cannot be a signal"
    return "varying number of values per event; cannot be a signal"
