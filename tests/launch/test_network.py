"""Which address is listened at."""

from __future__ import annotations

import socket

import pytest

from cubeengine.errors import LaunchError
from cubeengine.launch.network import INTERFACE, LOOPBACK, listening_address, own_address


def test_ranks_of_one_machine_use_loopback() -> None:
    assert listening_address({socket.gethostname()}) == LOOPBACK
    assert own_address("tls://127.0.0.1:4711") == LOOPBACK


def test_named_interface_is_used_whoever_is_on_the_other_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERFACE, "lo")

    assert listening_address({"192.0.2.1"}) == LOOPBACK
    assert own_address("tls://192.0.2.1:4711") == LOOPBACK


def test_unknown_interface_is_told_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchError, match=r"no network interface 'ib7' .* known: .*lo"):
        listening_address((), "ib7")


def test_host_that_is_not_found_is_told() -> None:
    with pytest.raises(LaunchError, match=r"finds no route to 'nowhere\.invalid'.*CUBEENGINE_INTERFACE"):
        listening_address({"nowhere.invalid"})
