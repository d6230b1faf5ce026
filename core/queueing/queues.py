"""Queues in their users' hands: what happens to a queue, and the one fold of it.

Everybody uses this: agents, to take nothing from a paused queue; the projector; the command line.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ..errors import Conflict

# --- events -------------------------------------------------------------------------------------


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


class QueueRuled(
    msgspec.Struct, frozen=True, tag_field="kind", tag="queue_ruled", omit_defaults=True
):
    """Somebody said how a queue is shared out: evenly among users if it is `fair`."""

    queue: str
    reason: str
    fair: bool = False


QueueEvent = QueueCreated | QueueDescribed | QueuePaused | QueueResumed | QueueDeleted | QueueRuled

# --- the fold -----------------------------------------------------------------------------------


class Pause(msgspec.Struct, frozen=True):
    """Why nothing is taken from a queue: since when, who wanted it so, and why."""

    at: int
    by: str
    reason: str


class QueueState(msgspec.Struct, frozen=True):
    """A queue, folded from its events. One that nobody did anything to has none but its name.

    `created` is when somebody made it, null if it came into being with a task. `fair` is as in
    `QueueRuled`. `seq`, `at`, `by` and `reason` are of the last event. `unknown` counts
    events that this version cannot read.
    """

    name: str
    description: str = ""
    created: int | None = None
    pause: Pause | None = None
    deleted: bool = False
    fair: bool = False
    seq: int = 0
    at: int = 0
    by: str = ""
    reason: str = ""
    unknown: int = 0

    @property
    def name_of_state(self) -> str:
        """`open`, `paused` or `deleted`."""
        return "deleted" if self.deleted else "paused" if self.pause else "open"


def evolve_queue(
    queue: QueueState, seq: int, at: int, by: str, event: QueueEvent | None
) -> QueueState:
    """`queue` after one more event; null is one that this version cannot read."""
    if event is None:
        return replace(queue, seq=seq, unknown=queue.unknown + 1)
    after = replace(queue, seq=seq, at=at, by=by, reason=event.reason)
    match event:
        case QueueCreated(description=description):
            return replace(after, description=description, created=at, deleted=False)
        case QueueDescribed(description=description):
            return replace(after, description=description, deleted=False)
        case QueuePaused(reason=reason):
            return replace(after, pause=Pause(at, by, reason), deleted=False)
        case QueueResumed():
            return replace(after, pause=None)
        case QueueDeleted():
            bare = QueueState(queue.name, deleted=True, unknown=queue.unknown)
            return replace(bare, seq=seq, at=at, by=by, reason=event.reason)
        case QueueRuled(fair=fair):
            return replace(after, fair=fair, deleted=False)


def check_change(queue: QueueState, event: QueueEvent) -> None:
    """Raise `Conflict` if `event` makes no sense for the queue as it is."""
    name = queue.name
    if queue.unknown:
        raise Conflict(
            f"queue {name} has {queue.unknown} events from a newer evq",
            why="this version cannot tell what they mean, so it does not decide",
            fix="upgrade evq on this machine",
        )
    match event:
        case QueueCreated() if queue.created is not None:
            raise Conflict(
                f"there is a queue {name} already",
                why=f"made for: {queue.description}" if queue.description else "it was created",
                fix=f"evq queue describe {name} TEXT",
            )
        case QueuePaused() if queue.pause:
            raise Conflict(
                f"queue {name} is paused already",
                why=f"by {queue.pause.by}: {queue.pause.reason}",
                fix=f"evq queue resume {name}",
            )
        case QueueResumed() if queue.pause is None:
            raise Conflict(
                f"queue {name} is not paused",
                why="agents take its tasks as it is",
                fix=f"evq queue {name}",
            )
        case QueueDeleted() if queue.deleted:
            raise Conflict(f"queue {name} is deleted already", why=f"by {queue.by}: {queue.reason}")
        case QueueRuled(fair=fair) if fair == queue.fair:
            raise Conflict(
                f"queue {name} is shared out {rules_text(queue) or 'by age'} already",
                why="nothing would change",
                fix=f"evq queue {name}",
            )
        case (
            QueueCreated()
            | QueueDescribed()
            | QueuePaused()
            | QueueResumed()
            | QueueDeleted()
            | QueueRuled()
        ):
            return


def rules_text(queue: QueueState) -> str:
    """How a queue is shared out, in words; empty if nobody said anything."""
    return "evenly among users" if queue.fair else ""
