"""Gives events an id, a time and a name: the part of writing that the heart must not do."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time

from ..events import Envelope, Event
from ..ids import task_id


def now() -> int:
    """Microseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1000


def user_name() -> str:
    """Who runs this process, by name if the name can be had."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def host_name() -> str:
    """This machine's name, without its domain."""
    return socket.gethostname().partition(".")[0] or "localhost"


def new_task_id() -> str:
    """A task id that nobody has."""
    return task_id(secrets.token_bytes(8))


class Author:
    """Writes events in one name; see `handle.Author`."""

    def __init__(self, by: str | None = None) -> None:
        self.by = by or f"{user_name()}@{host_name()}"

    def envelope(self, event: Event) -> Envelope:
        """The event with a fresh id and the present time."""
        return Envelope(id=secrets.token_hex(10), at=now(), by=self.by, event=event)
