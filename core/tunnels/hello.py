"""The first word of a tunnel, to the agent that runs the task."""

from __future__ import annotations

import msgspec

MOST_CONNECTIONS = 128
"""Connections of one tunnel at the same time; more wait at the near end."""

MOST_TUNNELS = 32
"""Tunnels to one attempt at the same time."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a tunnel: to which port of which task, where the answer is heard, and who asks."""

    task: str
    port: int
    reply: str
    by: str
