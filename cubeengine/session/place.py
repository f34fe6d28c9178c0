"""Where a run lies and what its shots are told by, as a spec says it."""

from __future__ import annotations

from pathlib import Path

from cubeengine.events.run import Run
from cubeengine.sources.joined import JoinedSource
from cubeengine.spec.model import RunSpec
from cubeengine.spec.shots import laser_shots, xray_shots


def run_spec(run: Run) -> RunSpec:
    """Describe an open run so that a spec opens it again, by full paths; empty for arrays in memory.

    Where event codes tell the state of laser and X-rays, that is said as well, as in a starter spec.
    """
    smalldata, raw = _files(run)
    run_id = run.run_id
    return RunSpec(
        experiment=None if run_id is None else run_id.experiment,
        run=None if run_id is None else run_id.run,
        smalldata=None if smalldata is None else str(smalldata),
        xtc=None if raw is None else str(raw),
        **_states(run),
    )


def _files(run: Run) -> tuple[Path | None, Path | None]:
    """Return the smallData file, and the raw file or the directory of several."""
    source = run.source
    if isinstance(source, JoinedSource):
        return source.smalldata.files[0].path, _raw([file.path for file in source.raw.files])
    paths = [file.path for file in source.files]
    if not paths:
        return None, None
    return (None, _raw(paths)) if ".xtc2" in paths[0].suffixes else (paths[0], None)


def _raw(paths: list[Path]) -> Path:
    files = [path for path in paths if ".smd" not in path.suffixes]
    return files[0] if len(files) == 1 else files[0].parent


def _states(run: Run) -> dict[str, str]:
    found = {"laser": laser_shots(run), "xray": xray_shots(run)}
    return {key: shots.text for key, shots in found.items() if shots.text is not None and shots.by_code}
