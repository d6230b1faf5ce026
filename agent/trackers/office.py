"""What the server for MLflow clients is told by its agent."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec


class Office(msgspec.Struct, frozen=True):
    """The key of tickets, the folder with the sockets of slots, that with the work of attempts."""

    key: str
    sockets: str
    work: str


def new_office(sockets: Path, work: Path) -> Office:
    """An office with a key of its own."""
    return Office(secrets.token_hex(32), str(sockets), str(work))
