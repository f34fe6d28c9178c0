"""Which address to listen at: loopback where that is enough, else the one interface that the others reach."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection

from cubeengine.errors import LaunchError

LOOPBACK = "127.0.0.1"
INTERFACE = "CUBEENGINE_INTERFACE"
"""Environment variable that names the network interface to use, e.g. ib0."""


def listening_address(hosts: Collection[str], interface: str | None = None) -> str:
    """Return the address of this machine at which programs on some hosts can reach it.

    Parameters
    ----------
    hosts : collection of str
        Their names; that of this machine may be among them.
    interface : str, optional
        Network interface to use. Default: that named in the environment; else loopback if all programs are
        on this machine; else the one that leads to the first of the other hosts.

    Raises
    ------
    LaunchError
        If there is no such interface, or no way to another host.
    """
    interface = interface or os.environ.get(INTERFACE)
    if interface:
        return _interface_address(interface)
    others = sorted(set(hosts) - {socket.gethostname()})
    return _address_towards(others[0]) if others else LOOPBACK


def own_address(peer: str) -> str:
    """Return this machine's address at which the program at an address "tls://host:port" can reach it."""
    interface = os.environ.get(INTERFACE)
    if interface:
        return _interface_address(interface)
    return _address_towards(peer.partition("://")[2].rpartition(":")[0])


def _interface_address(name: str) -> str:
    import psutil

    interfaces = psutil.net_if_addrs()
    for address in interfaces.get(name, ()):
        if address.family == socket.AF_INET:
            return str(address.address)
    raise LaunchError(
        f"there is no network interface {name!r} with an IPv4 address on {socket.gethostname()}; known: "
        f"{', '.join(sorted(interfaces))}"
    )


def _address_towards(host: str) -> str:
    """Return the address that the routing table would have us use; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError as err:
        raise LaunchError(
            f"{socket.gethostname()} finds no route to {host!r}: {err}; give the interface in {INTERFACE}"
        ) from err


def route_address() -> str:
    """Return this machine's address on the network that leads out of it; loopback where there is none."""
    try:
        # Any address outside does; this one is kept for documentation, and nothing is sent.
        return _address_towards("192.0.2.1")
    except LaunchError:
        return LOOPBACK
