from __future__ import annotations

from pathlib import Path

import pytest

from cubeengine.errors import SpecError
from cubeengine.submit.site import SITES, Site, jobs_folder, load_site


@pytest.mark.parametrize("name", SITES)
def test_sites_of_the_package_are_valid_and_give_a_time_limit(name: str) -> None:
    assert load_site(name).batch.time is not None


def test_every_site_file_has_a_name() -> None:
    found = {path.name for path in jobs_folder().joinpath("sites").iterdir()}

    assert found == {f"{name}.toml" for name in SITES}


def test_s3df_charges_the_experiment() -> None:
    site = load_site("s3df")

    assert (site.batch.partition, site.batch.account) == ("milano", "lcls:{experiment}")
    assert not any("psana" in line or "psconda" in line for line in site.job.setup)


def test_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[batch]\nntasks = 4\nnodes = 2\ntime = 30\nmem = "8 GiB"\n[job]\nsetup = ["module load x"]\n'
    )

    site = load_site(str(path))
    assert (site.batch.nodes, site.batch.time, site.batch.mem) == ("2", "30", 8 * 2**30)
    assert site.job.setup == ("module load x",)


def test_all_problems_are_told_with_lines_and_nearest_names() -> None:
    text = '[batch]\npartitoin = "milano"\ntime = "soon"\nntasks = "many"\n\n[path]\n\n[job]\nlauncher = 3\n'

    with pytest.raises(SpecError) as caught:
        Site.loads(text, "mine.toml")
    message = str(caught.value)
    assert "mine.toml has 5 problems" in message
    assert "mine.toml:2:1: batch.partitoin: unknown key 'partitoin'; nearest: 'partition'" in message
    assert "mine.toml:3:1: batch.time: must be a time limit" in message
    assert "mine.toml:4:1: batch.ntasks: must be a whole number" in message
    assert "mine.toml:6:1: path: unknown key 'path'; nearest: 'paths'" in message
    assert "mine.toml:9:1: job.launcher: must be text, but is 3" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[batch\n", "not valid TOML"),
        ("batch = 3\n", "must be a mapping"),
        ('[job]\nsetup = ["a\\nb"]\n', "one line of shell"),
        ('[paths]\ndata = "{home}/x"\n', "cannot be filled in"),
        ('[paths]\ndata = ""\n', "name of a folder"),
        ('[batch]\nnodes = "1,2"\n', "number of nodes or a range"),
        ("[batch]\nmem = true\n", "memory size"),
        ("[batch]\nntasks = 0\n", "ntasks"),
        ("[batch]\nsignal_seconds = 70000\n", "signal_seconds"),
        ('[batch]\naccount = "a\\u0007"\n', "printable"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Site.loads(text)


def test_unknown_site_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="nearest: 's3df'"):
        load_site("s3fd")


def test_missing_large_and_odd_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read as a site file: No such file"):
        load_site(str(tmp_path / "none.toml"))
    odd = tmp_path / "odd.toml"
    odd.write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="is not UTF-8"):
        load_site(str(odd))
    odd.write_text("# " + "x" * 100_001)
    with pytest.raises(SpecError, match="is this a site file"):
        load_site(str(odd))


@pytest.mark.parametrize("time", ["90", "2:30:00", "30:00", "1-12", "1-12:30", "1-12:30:00"])
def test_time_limits_of_sbatch_are_known(time: str) -> None:
    assert Site().batch.changed({"time": time}).time == time


def test_wrong_flags_are_named() -> None:
    with pytest.raises(SpecError, match=r"batch options: time: must be a time limit"):
        Site().batch.changed({"time": "two hours"})
