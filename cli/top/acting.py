"""What may be done from `evq top`: the same events as the verbs write, with a reason and a name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from ...core.errors import Conflict
from ...core.events import DrainRequested, ResumeRequested
from ...core.ids import check_name
from ...core.queueing.queues import QueuePaused, QueueResumed
from ...core.sdk.live import LiveAgent, LiveQueue, LiveTask

if TYPE_CHECKING:
    from ...core.sdk.client import Client

REASON = "evq top"
"""What is recorded if no reason is typed."""


class Action(msgspec.Struct, frozen=True):
    """Something that changes the world, if it is confirmed.

    `asks` is what has to be typed besides the reason, null if nothing. `do` gets the client, the
    reason and what was typed, and returns what was done, in words.
    """

    title: str
    do: Callable[[Client, str, str], Awaitable[str]]
    asks: str | None = None


def abort(task: LiveTask) -> Action:
    """End a task."""

    async def do(client: Client, reason: str, _: str) -> str:
        after = await client.abort(task.id, reason)
        ends = "is aborted" if after.name_of_state == "aborted" else "is told to end"
        return f"task {task.id} {ends}"

    return Action(f"Abort task {task.id} ({task.name})", do)


def retry(task: LiveTask) -> Action:
    """Run a task again that has ended."""

    async def do(client: Client, reason: str, _: str) -> str:
        after = await client.retry(task.id, reason)
        return f"task {task.id} waits in queue {after.place.queue} again"

    return Action(f"Retry task {task.id} ({task.name})", do)


def move(task: LiveTask) -> Action:
    """Let a task stand in another queue, or before all others."""

    async def do(client: Client, reason: str, to: str) -> str:
        from ...core.sdk.moving import End, Front, Mover

        front = to in ("front", "")
        queue = None if front else check_name(to, "queue")
        (moved,) = await Mover(client, reason, queue).move([task.id], Front() if front else End())
        if moved.error:
            raise moved.error
        where = f"place {moved.after.position} of queue {moved.after.queue}" if moved.after else to
        return f"task {task.id} stands at {where}"

    return Action(f"Move task {task.id} ({task.name})", do, "to: a queue, or front")


def drain(agent: LiveAgent) -> Action:
    """Let an agent take nothing more."""

    async def do(client: Client, reason: str, _: str) -> str:
        await client.order(DrainRequested(agent.name, reason))
        return f"agent {agent.name} takes nothing more; what runs goes on"

    return Action(f"Drain agent {agent.name}, which has {agent.busy} tasks", do)


def resume(agent: LiveAgent) -> Action:
    """Let a drained agent take tasks again."""

    async def do(client: Client, reason: str, _: str) -> str:
        if agent.presence and not agent.presence.drains:
            raise Conflict(f"agent {agent.name} is not drained", why=agent.why)
        await client.order(ResumeRequested(agent.name, reason))
        return f"agent {agent.name} may take tasks again"

    return Action(f"Resume agent {agent.name}", do)


def pause_or_resume(queue: LiveQueue) -> Action:
    """Let nothing be taken from a queue, or let it go on."""

    async def pause(client: Client, reason: str, _: str) -> str:
        await client.change_queue(QueuePaused(queue.name, reason))
        return f"queue {queue.name} is paused; what runs goes on"

    async def go_on(client: Client, reason: str, _: str) -> str:
        await client.change_queue(QueueResumed(queue.name, reason))
        return f"queue {queue.name} goes on"

    if queue.state == "paused":
        return Action(f"Resume queue {queue.name}, paused by {queue.by}", go_on)
    return Action(f"Pause queue {queue.name}, in which {queue.queued} tasks wait", pause)
