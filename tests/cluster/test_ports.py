"""What a port scan finds during a run: beyond loopback nobody without a certificate is talked to."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.cluster.conftest import Place, cubeengine

Address = tuple[str, int]

PATIENCE = 30.0
"""Seconds that a server may take to answer: those of MPI, which know other words, never do."""


def outer_interface() -> str:
    """Return the name of an interface that other machines reach."""
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return name
    pytest.skip("this machine has no network beyond loopback")


def listening(processes: list[psutil.Process]) -> Iterator[Address]:
    for process in processes:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                yield connection.laddr.ip, connection.laddr.port


def is_loopback(address: Address) -> bool:
    return address[0] in ("127.0.0.1", "::1")


def asks_for_certificate(address: Address) -> bool:
    """Return whether a server speaks TLS, and ends the connection of a client that shows no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, timeout=PATIENCE) as plain:
        try:
            with context.wrap_socket(plain) as secure:
                secure.recv(1)  # what we sent might meet a closed port, and hide the answer
        except ssl.SSLError as err:
            return "CERTIFICATE_REQUIRED" in str(err)
        except OSError:
            return False
    return False


def answers_dask(address: Address) -> bool:
    """Return whether a server answers a client of dask that has no credentials."""

    async def ask() -> Any:
        from distributed.core import rpc

        async with rpc(f"tcp://{address[0]}:{address[1]}", timeout=3) as server:
            return await asyncio.wait_for(server.identity(), 3)

    try:
        return bool(asyncio.run(ask()))
    except (OSError, TimeoutError):
        return False


def answers_http(address: Address) -> bool:
    with socket.create_connection(address, timeout=3) as plain:
        plain.settimeout(3)
        try:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return plain.recv(4) == b"HTTP"
        except OSError:
            return False


def probe(address: Address) -> tuple[bool, bool, bool]:
    return asks_for_certificate(address), answers_dask(address), answers_http(address)


def check(ports: set[Address], *, secure: int) -> None:
    """Check what listens: at least so many ports ask for a certificate, and none that are outside talk."""
    with ThreadPoolExecutor(len(ports)) as pool:  # together, while the run is there
        found = dict(zip(ports, pool.map(probe, ports), strict=True))
    assert sum(guarded for guarded, _, _ in found.values()) >= secure, found
    for address, (_, dask, http) in found.items():
        assert not dask, address
        assert is_loopback(address) or not http, address


@pytest.mark.parametrize("inside", [True, False])
def test_ranks_listen_on_one_interface_and_ask_for_certificates(
    place: Place, mpirun: str, inside: bool
) -> None:
    variables = {} if inside else {"CUBEENGINE_INTERFACE": outer_interface()}
    command = cubeengine("run", "endless.yaml", "-o", "out/cube.zarr", "--launcher", "mpi")
    process = place.start(mpirun, "-n", "3", *command, **variables)
    place.wait_until_written(process)
    starter = set(listening([psutil.Process(process.pid)]))  # its ports are open in the ranks as well
    ports = set(listening(place.all_processes())) - starter

    assert "0.0.0.0" not in {host for host, _ in ports}
    outside = {address for address in ports if not is_loopback(address)}
    assert bool(outside) != inside, outside
    check(ports, secure=5)  # the scheduler, two nannies, two workers
    process.send_signal(signal.SIGINT)
    assert place.end(process).code == 130


def test_jobs_listen_on_one_interface_and_ask_for_certificates(place: Place, slurm: None) -> None:
    command = cubeengine("run", "endless.yaml", "-o", "out/cube.zarr", "--launcher", "slurm")
    options = ["--workers", "2", "--memory", "1 GiB"]
    process = place.start(*command, *options, CUBEENGINE_SLURM_INTERFACE=outer_interface())
    place.wait_until_written(process)
    ports = set(listening(place.all_processes()))

    assert "0.0.0.0" not in {host for host, _ in ports}
    assert not all(map(is_loopback, ports))
    check(ports, secure=5)
    commands = [" ".join(found.cmdline()) for found in place.all_processes()]
    secrets = [path.read_text().splitlines()[1] for path in place.folder.rglob("key.pem")]
    assert len(secrets) == 1
    assert not any(secrets[0] in command for command in commands)
    process.send_signal(signal.SIGINT)
    assert place.end(process).code == 130
