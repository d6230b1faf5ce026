"""Agents are killed, tasks moved, queues paused; then twenty moments of it are looked back at."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import oracle
import pytest
from scene import Scene
from waiting import until

from evq.core.decide import Move, Rejected
from evq.core.errors import Conflict
from evq.core.handle import absorb, absorb_queue, from_hint
from evq.core.ports import Stored
from evq.core.queueing.queues import QueuePaused, QueueResumed, QueueState
from evq.core.state import Task
from evq.core.subjects import parse_hint, parse_lifecycle, parse_queue_events
from evq.projector.rows import task_row

TASKS = 24
KILLS = 4
MOMENTS = 20
AT_ONCE = 2

FIELDS = ("state", "queue", "priority", "rank", "agent", "attempts", "failures", "losses")
ENDS = ("exit_code", "cause", "outcome", "abort_reason")


@pytest.mark.timeout(400)
async def test_twenty_moments_of_a_chaotic_run(scene: Scene) -> None:
    chance = random.Random(7)
    await chaos(scene, chance)
    log = await oracle.read(scene.client.bus.log)
    moments = sorted(chance.sample(range(1, len(log)), MOMENTS))
    async with a_projector(scene):
        turns = asyncio.Semaphore(AT_ONCE)
        told = await asyncio.gather(*(look_back(scene, seq, turns) for seq in moments))
    for seq, (tasks, queues) in zip(moments, told, strict=True):
        then = [stored for stored in log if stored.seq <= seq]
        assert by(tasks, "task") == tasks_after(then), f"tasks at event {seq}"
        assert by(queues, "queue") == queues_after(then), f"queues at event {seq}"
    seen = {row["state"] for tasks, _ in told for row in tasks}
    assert {"queued", "running", "completed"} <= seen, "too little happened"


async def chaos(scene: Scene, chance: random.Random) -> None:
    """Tasks run to their ends while agents die and people interfere."""
    await scene.queue("q", express=True)
    client = scene.client
    tasks = [await scene.enqueue("seconds=0.3", losses=KILLS) for _ in range(TASKS)]

    def ended() -> int:
        return sum(bool(scene.ended(task)) for task in tasks)

    async def interfere() -> None:
        # However long agents take to come up, not all that they would run is aborted by then.
        await until(ended, "a task has run")
        while ended() < TASKS:
            task, rank = chance.choice(tasks), chance.choice([None, chance.uniform(-10, 10)])
            with suppress(Rejected, Conflict):
                match chance.randrange(8):
                    case 0:
                        await client.abort(task, "chance")
                    case 1:
                        await client.change_queue(QueuePaused("q", "chance"))
                        await client.change_queue(QueueResumed("q", "chance"))
                    case _:
                        await client.put(task, Move("q", chance.choice([1, 5]), rank, "chance"))
            seen = len(scene.history(task))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await until(lambda: len(scene.history(task)) > seen)  # noqa: B023

    async def kill() -> None:
        agents = [await scene.agent(f"a{number}", "--slots", "2") for number in range(2)]
        for number in range(KILLS):
            goal = min(TASKS, ended() + 3)
            await until(lambda: ended() >= goal)  # noqa: B023
            agents.pop(0).kill()
            agents.append(await scene.agent(f"b{number}", "--slots", "2"))

    await asyncio.gather(interfere(), kill())
    for task in tasks:
        await scene.end(task)


@asynccontextmanager
async def a_projector(scene: Scene) -> AsyncIterator[None]:
    """A projector process that answers, as long as the block runs."""
    login = msgspec.json.encode(scene.server.login).decode()
    argv = [sys.executable, "-P", "-m", "evq.projector", "--store", str(scene.folder / "store")]
    said = scene.folder / "projector-said"
    with said.open("wb") as file:
        process = subprocess.Popen(argv, env={**os.environ, "EVQ_LOGIN": login}, stderr=file)
    try:
        await until(lambda: "the projector answers" in said.read_text(), "a projector")
        yield
    finally:
        process.terminate()
        process.wait(30)


async def look_back(
    scene: Scene, seq: int, turns: asyncio.Semaphore
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What `evq ls` and `evq queues` print of the moment after an event."""
    async with turns:
        tasks = await evq(scene, "ls", "--all", "--ranks", "--as-of", f"#{seq}", "--json")
        return tasks, await evq(scene, "queues", "--as-of", f"#{seq}", "--json")


async def evq(scene: Scene, *words: str) -> list[dict[str, Any]]:
    login = scene.server.login
    environment = {**os.environ, "EVQ_SERVER": login.server, "EVQ_TOKEN": login.token or ""}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evq.cli.main", *words, env=environment,
        cwd=scene.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    found: list[dict[str, Any]] = msgspec.json.decode(out)
    return found


def by(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    fields = (
        (*FIELDS, *ENDS) if key == "task" else ("state", "queued", "claimed", "running", "next")
    )
    named = [{**row, "next": row.get("next_task")} for row in rows]
    return {row[key]: {name: row[name] for name in fields} for row in named}


# --- the log, folded up to there ------------------------------------------------------------------


def folded(log: Sequence[Stored]) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for stored in log:
        if place := parse_lifecycle(stored.subject):
            tasks[place[1]] = absorb(tasks[place[1]], stored)
        elif parse_hint(stored.subject):
            name, task, _ = from_hint(stored)
            if task:
                tasks[name] = task
    return tasks


def tasks_after(log: Sequence[Stored]) -> dict[str, dict[str, Any]]:
    rows = {name: task_row(task) for name, task in folded(log).items()}
    return {
        name: {field: getattr(row, field) for field in (*FIELDS, *ENDS)}
        for name, row in rows.items()
    }


def queues_after(log: Sequence[Stored]) -> dict[str, dict[str, Any]]:
    """The only queue, as its own events and its tasks made it; none before anything was there."""
    queue = QueueState("q")
    for stored in log:
        if parse_queue_events(stored.subject):
            queue = absorb_queue(queue, stored)
    tasks = list(folded(log).values())
    states = [task.name_of_state for task in tasks]
    line = [task for task in tasks if task.name_of_state == "queued"]
    first = min(line, key=lambda task: (-task.place.priority, task.place.rank), default=None)
    counts = {name: states.count(name) for name in ("queued", "claimed", "running")}
    return {"q": {"state": queue.name_of_state, **counts, "next": first.id if first else None}}
