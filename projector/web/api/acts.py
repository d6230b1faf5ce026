"""What a user may do; each is an event with who and why."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ....core.errors import UsageError
from ....core.events import DrainRequested, ResumeRequested, StopRequested
from ....core.queueing.queues import QueuePaused, QueueResumed
from ....core.sdk.client import Client
from ....core.sdk.moving import Back, Before, Front, Mover, Step, Where
from ....core.sdk.viewers import Role
from ..acting import client_of, viewer_of
from ..source import Source


class Why(BaseModel):
    """Why something is done."""

    reason: str = Field(default="", max_length=1000)


class Aside(Why):
    """GPUs to take out of use, by their ids; all of the agent if there are none."""

    gpus: list[str] = []


class Stop(Why):
    """How an agent is to end."""

    now: bool = Field(default=False, description="Give the running tasks back to their queues.")


class Place(Why):
    """Where a task is to stand."""

    to: Literal["front", "back", "by", "before"]
    by: int = Field(default=0, description="Places towards the back, negative to the front.")
    before: str = Field(default="", description="The task before which it is to stand.")
    queue: str | None = None
    priority: int | None = None

    @property
    def where(self) -> Where:
        """As `Mover` takes it."""
        match self.to:
            case "front":
                return Front()
            case "back":
                return Back()
            case "by":
                return Step(self.by)
            case "before":
                return Before(self.before)


class Tags(BaseModel):
    """Tags that a task is to have, and those that it is not."""

    add: list[str] = []
    remove: list[str] = []


class Done(BaseModel):
    """What was done."""

    done: str


def _acting(request: Request) -> Client:
    source: Source = request.app.state.source
    return client_of(source, viewer_of(source, request), Role.OPERATOR)


Acting = Annotated[Client, Depends(_acting)]
"""A client in the name of who asks. It takes the role operator."""


def acts(source: Source) -> APIRouter:
    """The routes that change something."""
    router = APIRouter()
    post = router.post

    @post("/tasks/{task}/abort", tags=["tasks"])
    async def abort(task: str, why: Why, client: Acting) -> Done:
        """End a task: at once if it waits, by a word to its agent if it runs."""
        await client.abort(await client.resolve(task), why.reason)
        return Done(done="aborted")

    @post("/tasks/{task}/retry", tags=["tasks"])
    async def retry(task: str, why: Why, client: Acting) -> Done:
        """Put a task that has ended back into its queue."""
        await client.retry(await client.resolve(task), why.reason)
        return Done(done="queued")

    @post("/tasks/{task}/dequeue", tags=["tasks"])
    async def dequeue(task: str, why: Why, client: Acting) -> Done:
        """Take a task that waits out of its queue."""
        await client.dequeue(await client.resolve(task), why.reason)
        return Done(done="dequeued")

    @post("/tasks/{task}/move", tags=["tasks"])
    async def move(task: str, place: Place, client: Acting) -> Done:
        """Let a task that waits stand elsewhere."""
        mover = Mover(client, place.reason, place.queue, place.priority)
        (outcome,) = await mover.move([await client.resolve(task)], place.where)
        if outcome.error:
            raise outcome.error
        after = outcome.after
        return Done(done=f"at place {after.position} of {after.queue}" if after else "moved")

    @post("/tasks/{task}/tag", tags=["tasks"])
    async def tag(task: str, tags: Tags, client: Acting) -> Done:
        """Give a task tags, and take others away."""
        after = await client.tag(await client.resolve(task), tags.add, tags.remove)
        return Done(done=f"tagged {' '.join(after.tags)}" if after.tags else "has no tag")

    @post("/tasks/{task}/archive", tags=["tasks"])
    async def archive(task: str, why: Why, client: Acting) -> Done:
        """Let lists leave out a task that has ended."""
        await client.archive(await client.resolve(task), why.reason)
        return Done(done="archived")

    @post("/tasks/{task}/unarchive", tags=["tasks"])
    async def unarchive(task: str, why: Why, client: Acting) -> Done:
        """Take a task out of the archive."""
        await client.unarchive(await client.resolve(task), why.reason)
        return Done(done="not archived")

    @post("/queues/{name}/pause", tags=["queues"])
    async def pause(name: str, why: Why, client: Acting) -> Done:
        """Let agents take nothing from a queue."""
        await client.change_queue(QueuePaused(name, why.reason))
        return Done(done="paused")

    @post("/queues/{name}/resume", tags=["queues"])
    async def resume_queue(name: str, why: Why, client: Acting) -> Done:
        """Let agents take tasks from a queue again."""
        await client.change_queue(QueueResumed(name, why.reason))
        return Done(done="open")

    @post("/workers/{name}/drain", tags=["fleet"])
    async def drain(name: str, aside: Aside, client: Acting) -> Done:
        """Let an agent, or GPUs of it, take nothing more."""
        await _check_agent(client, name)
        await client.order(DrainRequested(name, aside.reason, tuple(aside.gpus)))
        return Done(done="told to drain")

    @post("/workers/{name}/resume", tags=["fleet"])
    async def resume_worker(name: str, aside: Aside, client: Acting) -> Done:
        """Let a drained agent take tasks again."""
        await _check_agent(client, name)
        await client.order(ResumeRequested(name, aside.reason, tuple(aside.gpus)))
        return Done(done="told to resume")

    @post("/workers/{name}/stop", tags=["fleet"])
    async def stop(name: str, how: Stop, client: Acting) -> Done:
        """End an agent after its tasks, or now."""
        there = source.fleet.agents.get(name)
        if there is None or there.presence is None:
            raise UsageError(f"no agent {name} is there", fix="/api/workers lists them")
        await client.order(StopRequested(name, there.presence.instance, how.reason, how.now))
        return Done(done="told to stop")

    return router


async def _check_agent(client: Client, name: str) -> None:
    if not await client.is_agent(name):
        raise UsageError(f"there is no agent {name}", fix="/api/workers lists them")
