"""What there is: workers, queues, tasks, and what is known of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from ....core.artifacts import artifacts_of
from ....core.errors import NotFound
from ....core.sdk.waiting import explain
from ..source import Source
from .rows import Rows, rows_of

State = Literal[
    "held", "queued", "claimed", "running", "completed", "failed", "aborted", "timed_out"
]
Limit = Annotated[int, Query(ge=1, le=10_000, description="How many at most.")]
Offset = Annotated[int, Query(ge=0, description="How many to leave out at the beginning.")]


def looks(source: Source) -> APIRouter:
    """The routes that read."""
    router = APIRouter()
    get = router.get

    @get("/fleet", tags=["fleet"])
    async def fleet() -> Response:
        """Workers, queues and live tasks as they are at this moment, and how fresh that is.

        Times are microseconds since 1970.
        """
        live = source.fleet
        return _json(
            {
                "seq": live.seq,
                "behind": live.behind,
                "connected": live.connected,
                "projected": live.projected,
                "agents": list(live.agents.values()),
                "queues": list(live.queues.values()),
            }
        )

    @get("/workers", tags=["fleet"])
    async def workers() -> Response:
        """The agents that are there, and those that were."""
        return _json(list(source.fleet.agents.values()))

    @get("/workers/{name}", tags=["fleet"])
    async def worker(name: str) -> Response:
        """One agent: what it offers, runs and last saw of its machine."""
        if name not in source.fleet.agents:
            raise NotFound(f"there is no agent {name}", fix="/api/workers lists them")
        return _json(source.fleet.agents[name])

    @get("/workers/{name}/curve", tags=["fleet"])
    async def worker_curve(name: str, hours: Annotated[float, Query(gt=0, le=720)] = 24) -> Rows:
        """What its machine did, over time."""
        return rows_of(await source.named("machine_curve", agent=name, hours=hours))

    @get("/gpus", tags=["fleet"])
    async def gpus() -> Rows:
        """Every GPU, with its last reading."""
        return rows_of(await source.named("machine_gpus"))

    @get("/queues", tags=["queues"])
    async def queues() -> Response:
        """The queues: what is in them, who serves them, what limits them."""
        return _json(list(source.fleet.queues.values()))

    @get("/queues/{name}", tags=["queues"])
    async def queue(name: str) -> Response:
        """One queue."""
        if name not in source.fleet.queues:
            raise NotFound(f"there is no queue {name}", fix="/api/queues lists them")
        return _json(source.fleet.queues[name])

    @get("/queues/{name}/line", tags=["queues"])
    async def line(name: str, limit: Limit = 100) -> Response:
        """Who waits there, who is next first."""
        return _json(source.fleet.line(name, limit))

    @get("/tasks", tags=["tasks"])
    async def tasks(
        state: Annotated[list[State] | None, Query(description="In one of these states.")] = None,
        queue: str | None = None,
        user: str | None = None,
        archived: Annotated[bool, Query(description="Those in the archive.")] = False,
        arrays: Annotated[bool, Query(description="Each array as one row.")] = False,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Rows:
        """Tasks, the newest first."""
        chosen: dict[str, Any] = {"states": state, "queue": queue, "user": user}
        chosen |= {"archived": archived, "arrays": arrays}
        return rows_of(await source.named("tasks", **chosen, limit=limit, offset=offset))

    @get("/tasks/{task}", tags=["tasks"])
    async def task(task: str) -> Response:
        """Everything about a task, folded from the log: its spec, state, attempts and phases."""
        return _json(await source.client.get(await source.client.resolve(task)))

    @get("/tasks/{task}/why", tags=["tasks"])
    async def why(task: str) -> Response:
        """Why it is in the state that it is in, in words."""
        known = await source.client.get(await source.client.resolve(task))
        found = await explain(source.client, known)
        return _json(
            {
                "waits": found.waits.text if found.waits else "",
                "reasons": found.reasons,
                "position": found.position,
                "start": found.start_text,
            }
        )

    @get("/tasks/{task}/logs", tags=["tasks"])
    async def logs(
        task: str,
        attempt: int | None = None,
        after: Annotated[int, Query(ge=-1, description="Only lines behind this one.")] = -1,
        limit: Limit = 1000,
    ) -> Rows:
        """Lines of its log."""
        chosen = {"task": await source.client.resolve(task), "attempt": attempt}
        return rows_of(await source.named("logs", **chosen, after=after, limit=limit))

    @get("/tasks/{task}/logs.txt", tags=["tasks"], response_class=PlainTextResponse)
    async def log_text(task: str, attempt: int | None = None) -> PlainTextResponse:
        """Its log as text, as far as the first million lines."""
        chosen = {"task": await source.client.resolve(task), "attempt": attempt}
        answer = await source.named("logs", **chosen, after=-1, limit=1_000_000)
        return PlainTextResponse("".join(f"{row['text']}\n" for row in answer.rows))

    @get("/tasks/{task}/metrics", tags=["tasks"])
    async def metrics(task: str) -> Rows:
        """Each metric's last, least and largest value."""
        return rows_of(await source.named("metrics", task=await source.client.resolve(task)))

    @get("/tasks/{task}/artifacts", tags=["tasks"])
    async def artifacts(task: str, attempt: int | None = None) -> Response:
        """What it, or one attempt of it, saved last under each name. The files themselves are
        under `/tasks/ID/artifacts/NAME`."""
        known = await source.client.get(await source.client.resolve(task))
        return _json(list(artifacts_of(known, attempt).values()))

    @get("/tasks/{task}/events", tags=["tasks"])
    async def events(task: str, after: int = 0, limit: Limit = 1000) -> Rows:
        """What happened to it, event by event."""
        whole = await source.client.resolve(task)
        return rows_of(await source.named("events", task=whole, after=after, limit=limit))

    @get("/events", tags=["events"])
    async def all_events(after: int = 0, limit: Limit = 1000) -> Rows:
        """Events behind a sequence of the log; `/api/events/stream` goes on with them live."""
        return rows_of(await source.named("events", after=after, limit=limit))

    @get("/status", tags=["fleet"])
    async def status() -> Rows:
        """How far the projector is."""
        return rows_of(await source.named("status"))

    return router


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
