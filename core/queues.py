"""Queues in their users' hands: what happens to a queue, and the one fold of it.

Everybody uses this: agents, to take nothing from a paused queue; the projector; the command line.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from .errors import Conflict

class QueueCreated(msgspec.Struct, frozen=True, tag_field="kind", tag="queue_created"):
    """Somebody made a queue. One that nobody made comes into being with its first task."""

    queue: str
    description: str
    reason: str


class QueueDescribed(msgspec.Struct, frozen=True, tag_field="kind", tag="queue_described"):
    """Somebody said what a queue is for."""

    queue: str
    description: str
    reason: str


class QueuePaused(msgspec.Struct, frozen=True, tag_field="kind", tag="queue_paused"):
    """Agents take nothing from the queue until `queue_resumed`; what runs goes on."""

    queue: str
    reason: str


class QueueResumed(msgspec.Struct, frozen=True, tag_field="kind", tag="queue_resumed"):
    """Agents take tasks from the queue again."""

    queue: str
    reason: str


class QueueDeleted(msgspec.Struct, frozen=True, tag_field="kind", tag="queue_deleted"):
    """Somebody wants the queue no longer: its description is forgotten, and so is its pause. The
    next task that is enqueued there brings it into being again."""

    queue: str
    reason: str


QueueEvent = QueueCreated | QueueDescribed | QueuePaused | QueueResumed | QueueDeleted
