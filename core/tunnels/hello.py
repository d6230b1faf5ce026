"""The first word of a tunnel, to the agent that runs the task."""

from __future__ import annotations

import re

import msgspec

MOST_CONNECTIONS = 128
"""Connections of one tunnel at the same time; more wait at the near end."""

MOST_TUNNELS = 32
"""Tunnels to one attempt at the same time."""


FREE = 0
"""Declared in the place of a port: one that is free on the worker, which the task asks for."""

LONGEST = 200
"""Characters of who asks, and of where."""

_INBOX = re.compile(r"(?!evq|\$)[^\s.*>]+(\.[^\s.*>]+)+")
"""An agent answers with rights of its own: never where evq's or NATS' own words go."""


def port_text(port: int) -> str:
    """A declared port for people."""
    return "the free port" if port == FREE else f"port {port}"


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a tunnel: to which port of which task, where the answer is heard, and who asks."""

    task: str
    port: int
    reply: str
    by: str

    @property
    def fit(self) -> bool:
        """Whether one may answer it, and put into a log who asks."""
        words = (self.reply, self.by)
        if any(len(word) > LONGEST or not word.isprintable() for word in words):
            return False
        return _INBOX.fullmatch(self.reply) is not None
