from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.spec.model import CubeSpec
from cubeengine.submit.job import memory_per_cpu
from cubeengine.submit.script import JobScript, directive
from cubeengine.submit.site import Site, load_site
from tests.submit.scripts import script, shellcheck

EXPECTED = Path(__file__).parent / "expected"
ODD = """it's "a" $HOME `date` #1 100% \\ é"""


def odd_script() -> JobScript:
    site = Site.loads(
        '[batch]\ntime = "90"\nntasks = 3\nmem = "8 GiB"\nexclusive = true\nrequeue = false\n'
        'extra = ["--constraint=rome"]\n[job]\nstart = ["mpirun"]\nsetup = ["module load mpi"]\n'
    )
    return script(
        site,
        spec=Path(f"/home/{ODD}/cube.yaml"),
        output=Path(f"/data/{ODD}.zarr"),
        options=site.batch.changed({"account": ODD, "reservation": "night shift"}),
        logs=Path('/data/it\'s 100% "logs"'),
        settings=(f"cubes=[{ODD}]", "axes.0.unit=ps"),
        environment={"SIT_PSDM_DATA": f"/data/{ODD}"},
        run=252,
        experiment="xpptut15",
        events=1000,
        every=3,
        memory="4 GiB",
        overwrite=True,
        force=True,
    )


SCRIPTS = {
    "generic": script,
    "s3df": lambda: script("s3df"),
    "threads": lambda: script(launcher="threads"),
    "odd": odd_script,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_as_expected(name: str) -> None:
    assert SCRIPTS[name]().text("1.2.3") == (EXPECTED / f"{name}.sh").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_clean(name: str, tmp_path: Path) -> None:
    path = tmp_path / "job.sh"
    path.write_text(SCRIPTS[name]().text("1.2.3"))

    done = subprocess.run(
        [shellcheck(), "--enable=all", "--exclude=SC2250", path], capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH, whose srun notes its words and what the progress file is."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "srun"
    program.write_text(
        '#!/bin/bash\nprintf \'%s\\0\' "$CUBEENGINE_PROGRESS" "$SIT_PSDM_DATA" "$@" >"$SEEN"\n'
    )
    program.chmod(0o755)
    return folder


def words_of(text: str, fake: Path) -> list[str]:
    """Run a script and give the words that srun got."""
    path, seen = fake / "job.sh", fake / "seen"
    path.write_bytes(os.fsencode(text))
    environment = {"PATH": f"{fake}:/usr/bin:/bin", "SEEN": str(seen), "SLURM_JOB_ID": "77"}
    subprocess.run(["bash", path], check=True, env=environment, capture_output=True)
    return os.fsdecode(seen.read_bytes()).split("\0")[:-1]


TEXTS = st.text(
    st.one_of(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), st.sampled_from("'\"\\$`\n #%@ ")
    ),
    min_size=1,
    max_size=30,
)
NAMES = TEXTS.filter(lambda text: "/" not in text and text not in (".", ".."))


@given(folder=NAMES, value=TEXTS, account=NAMES, logs=NAMES, data=TEXTS)
def test_words_arrive_as_they_are_or_are_refused(
    fake: Path, folder: str, value: str, account: str, logs: str, data: str
) -> None:
    made = script(
        spec=Path(f"/home/{folder}/cube.yaml"),
        output=Path(f"/data/{folder}.zarr"),
        settings=(f"cube={value}",),
        logs=Path("/logs") / logs,
        environment={"SIT_PSDM_DATA": data},
    )  # fmt: skip
    made = JobScript(**{name: getattr(made, name) for name in JobScript.__slots__} | {"name": account})
    try:
        text = made.text("1.2.3")
    except SpecError:
        assert not account.isprintable() or not logs.isprintable() or "\\" in account + logs
        return

    progress, root, *words = words_of(text, fake)
    assert progress == f"/logs/{logs}/{account}_77.json"
    assert root == data
    assert words == [
        "--mpi=pmi2", "--kill-on-bad-exit=1",
        "cubeengine", "run", f"/home/{folder}/cube.yaml", "--set", f"cube={value}",
        "--output", f"/data/{folder}.zarr", "--launcher", "mpi", "--resume",
    ]  # fmt: skip


def test_name_that_is_no_utf8_arrives_as_it_is(fake: Path) -> None:
    name = os.fsdecode(b"/home/caf\xe9/cube.yaml")

    assert name in words_of(script(spec=Path(name)).text("1.2.3"), fake)


@given(st.text(min_size=1, max_size=40))
def test_options_are_one_line_or_refused(value: str) -> None:
    try:
        line = directive("account", value)
    except SpecError:
        assert not value.isprintable()
    else:
        assert len(line.splitlines()) == 1


@pytest.mark.parametrize("account", ["lcls\n#SBATCH --uid=0", "a\rb", "a\x00b", "a\u2028b", "\udcff"])
def test_line_ends_in_an_account_are_refused(account: str) -> None:
    with pytest.raises(SpecError, match="account: sbatch cannot take"):
        directive("account", account)


def test_endless_option_is_refused() -> None:
    with pytest.raises(SpecError, match="more than 1,000"):
        directive("account", "a" * 1001)


def test_backslash_in_the_folder_of_logs_is_refused() -> None:
    with pytest.raises(SpecError, match="no backslash in the name of a log"):
        script(logs=Path("/data/a\\b")).text("1.2.3")


def test_setup_that_reads_unset_variables_works(fake: Path) -> None:
    site = load_site("generic")
    job = site.job.model_copy(
        update={"setup": ('test -z "$NOBODY_SETS_THIS"', 'export SIT_PSDM_DATA="from setup"')}
    )

    _, root, *_ = words_of(script(site.model_copy(update={"job": job})).text("1.2.3"), fake)
    assert root == "from setup"


def test_setup_that_fails_ends_the_job(fake: Path) -> None:
    site = load_site("generic")
    job = site.job.model_copy(update={"setup": ("false",)})

    with pytest.raises(subprocess.CalledProcessError):
        words_of(script(site.model_copy(update={"job": job})).text("1.2.3"), fake)


def test_time_limit_is_needed() -> None:
    with pytest.raises(SpecError, match="give --time"):
        script(Site())


def test_job_of_a_spec_without_experiment_has_a_name() -> None:
    spec = CubeSpec.from_dict({"cube": "delay", "run": {"smalldata": "night.h5"}})

    assert script(of=spec).name == "r0252_delay"
    with pytest.raises(SpecError, match=r"needs run\.experiment"):
        script("s3df", of=spec)


def test_memory_is_asked_for_workers_and_what_looks_after_them() -> None:
    gib = 2**30
    assert memory_per_cpu("mpi", 2 * gib, 1) == 2.5 * gib
    assert memory_per_cpu("processes", 2 * gib, 4) == 2.25 * gib
    assert memory_per_cpu("threads", 3 * gib, 4) == gib
    assert memory_per_cpu("tcp://host:1", 2 * gib, 1) == 4 * gib
