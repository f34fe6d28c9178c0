"""What ends a run, as an exit code; and how MPI's own ports are kept to an interface."""

from __future__ import annotations

import os

import click
import pytest

from cubeengine.cli.app import Terminated
from cubeengine.errors import BudgetExceeded, LaunchError, SourceFormatError, SpecError
from cubeengine.launch import launch, taking_part
from cubeengine.launch.mpi import exit_code
from cubeengine.launch.ranks import keep_to_interface


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError("x"), 2),
        (SourceFormatError("x"), 3),
        (BudgetExceeded("x"), 4),
        (MemoryError(), 4),
        (LaunchError("x"), 5),
        (OSError("x"), 5),
        (ZeroDivisionError(), 5),
        (click.UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_exit_code_is_that_of_the_command_line(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("environment", "interface"),
    [
        ({"PMI_SIZE": "4", "MPI_LOCALNRANKS": "4"}, "lo"),
        ({"PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}, None),
        ({"SLURM_STEP_NUM_NODES": "1"}, "lo"),
        ({"SLURM_STEP_NUM_NODES": "2"}, None),
        ({"SLURM_STEP_NUM_NODES": "2", "CUBEENGINE_INTERFACE": "ib0"}, "ib0"),
        ({"SLURM_STEP_NUM_NODES": "1", "FI_TCP_IFACE": "eth9"}, "eth9"),
        ({}, None),
    ],
)
def test_mpi_over_tcp_listens_where_we_do(environment: dict[str, str], interface: str | None) -> None:
    keep_to_interface(environment)

    assert environment.get("FI_TCP_IFACE") == interface
    assert environment.get("UCX_NET_DEVICES") in (interface, "lo")


def test_how_a_site_has_ucx_connect_holds() -> None:
    environment = {"SLURM_STEP_NUM_NODES": "1", "UCX_TLS": "rc"}
    keep_to_interface(environment)

    assert "UCX_NET_DEVICES" not in environment


@pytest.mark.parametrize("name", ["threads", "processes", "slurm", "tcp://127.0.0.1:1"])
def test_other_launchers_have_one_process_that_takes_part(name: str) -> None:
    before = dict(os.environ)
    with taking_part(name):
        pass
    assert os.environ == before


def test_slurm_wants_to_know_how_many_workers() -> None:
    from cubeengine.budget import Budget

    with pytest.raises(SpecError, match="give the number of workers that Slurm starts"):
        launch("slurm", workers=None, budget=Budget())
