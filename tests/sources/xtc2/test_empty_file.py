"""A file of events without events beside an smd file that announces some: it is named wherever it matters."""

from __future__ import annotations

from pathlib import Path

import pytest

import cubeengine as ce
from tests.makers.xtc2 import write_small_run
from tests.makers.xtc2_frames import write_frame_run


@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize("maker", ["frames", "small"])
def test_an_empty_file_of_events_is_named_where_its_fields_are_asked_for(
    tmp_path: Path, maker: str, size: int
) -> None:
    if maker == "frames":
        write_frame_run(tmp_path, n_events=20, shape=(4, 6))
        name, stream, n_events = "camera/raw/raw", 0, 20
    else:
        write_small_run(tmp_path, per_step=5, chunks=False)
        name, stream, n_events = "jungfrau/0/raw/raw", 1, 30
    path = tmp_path / f"xpptest24-r0031-s{stream:03d}-c000.xtc2"
    path.write_bytes(path.read_bytes()[:size])
    run = ce.open_run(tmp_path)
    message = rf"{path.name} \({size} bytes\) has none of the {n_events} events that its smd file announces"
    spec = ce.CubeSpec.from_dict({"cube": "a", "signals": [name]})
    with pytest.raises(ce.SpecError, match=f"cannot be a signal: .*{message}") as caught:
        ce.plan(run, spec)
    assert "different number" not in str(caught.value)
    with pytest.raises(ce.SpecError, match=message):
        run[name].read()
    with pytest.raises(ce.SpecError, match=message):
        run.source.read(name)
