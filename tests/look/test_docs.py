"""What docs/looking.md shows runs, and names what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cubeengine import demo, look

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "looking.md").read_text()


@pytest.mark.slow
def test_examples_run_and_save_their_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cubeengine-demo").mkdir()
    demo.write_run(tmp_path / "cubeengine-demo", n_events=2500)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(block, "looking.md", "exec"), names)

    pictures = set(re.findall(r'savefig\("(\w+\.png)"\)', TEXT)) - {"picture.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == pictures
    assert names["image"]["mean"].shape == (2, 24, 64)
    assert "ipm2/sum" in capsys.readouterr().out
    assert float(names["curve"]["difference"].max()) > 0


def test_every_function_is_named_and_every_name_is_one() -> None:
    table = TEXT[TEXT.index("| data |") : TEXT.index("## Quantities and events")]
    named = set(re.findall(r"`(\w+)`", table))

    assert named == set(look.__all__) - {"Choices", "choices"}
