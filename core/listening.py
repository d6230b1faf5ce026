"""Where a process of ours listens."""

from __future__ import annotations

import ipaddress
import re

import msgspec

from .errors import UsageError

DASHBOARD_PORT = 4280
"""Where people look for the dashboard."""


class Address(msgspec.Struct, frozen=True):
    """Where to listen. Port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def wildcard(self) -> bool:
        """Whether it means every address of this machine."""
        return self.host in ("0.0.0.0", "::")


def read_address(text: str, usual_port: int) -> Address:
    """The address in `HOST:PORT`, `HOST` or `[IPV6]:PORT`. Raises `UsageError`."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([\w.-]+))(?::(\d{1,5}))?", text)
    if found is None or int(found[3] or 0) > 65535:
        raise UsageError(
            f"{text!r} is not an address to listen on",
            why="it must be HOST:PORT, with a port up to 65535",
            fix=f"--listen 127.0.0.1:{usual_port}",
        )
    return Address(found[1] or found[2], usual_port if found[3] is None else int(found[3]))
