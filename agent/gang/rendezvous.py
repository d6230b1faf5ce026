"""Where the members of a gang meet: an address that all can reach, and a free port on it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SOMEWHERE = ("192.0.2.1", 9)
"""An address of no machine (RFC 5737): it only asks the kernel for the way out of this one."""

LOOPBACK = "127.0.0.1"


def reachable_address(chosen: str, server: tuple[str, int] | None, alone: bool) -> str:
    """The address by which the others reach this machine.

    That is what the administrator has `chosen`, else the interface on the way to the server. Where
    the server is this very machine, that says nothing to others, unless all members are here
    (`alone`); then it is the interface on the way to the world.
    """
    if chosen:
        return chosen
    address = server and _source(*server)
    if address and (alone or not ipaddress.ip_address(address).is_loopback):
        return address
    return (not alone and _source(*SOMEWHERE)) or LOOPBACK


def _source(host: str, port: int) -> str | None:
    """The address of this machine from which packets to `host` leave it. None is sent."""
    with suppress(OSError):
        for family, kind, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind) as probe, suppress(OSError):
                probe.connect(place)
                return str(probe.getsockname()[0])
    return None


@contextmanager
def free_port(address: str) -> Iterator[int]:
    """A port that nobody has, and nobody is given while the block runs."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        try:
            held.bind((address, 0))
        except OSError:
            # The administrator's address is perhaps that of a router in front of this machine.
            held.bind(("", 0))
        yield int(held.getsockname()[1])
