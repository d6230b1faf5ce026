"""`evq queue`, `evq move` and `evq dequeue`, as a person uses them, with a real projector."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evq.core.bus.connect import Bus
from evq.core.sdk.client import Client

READY = "the projector answers"


@pytest.fixture
async def told(
    nats_server: Any, jetstream_bus: Bus, tmp_path: Path, until: Callable[..., Any]
) -> AsyncIterator[None]:
    """A projector on the server, as a process of its own."""
    said = tmp_path / "said"
    env = {**os.environ, "EVQ_LOGIN": msgspec.json.encode(nats_server.login).decode()}
    argv = [sys.executable, "-P", "-m", "evq.projector", "--store", str(tmp_path / "store")]
    with said.open("wb") as file:
        process = subprocess.Popen(argv, env=env, stderr=file)
    try:
        await until(lambda: READY in said.read_text() or process.poll() is not None)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
async def waiting(bus: Bus, make_spec: Callable[..., Any]) -> list[str]:
    """Four tasks that wait in the queue gpu."""
    specs = [make_spec(queue="gpu", name=name) for name in "abcd"]
    return [receipt.task for receipt in await Client(bus).enqueue_many(specs)]


async def order(evq: Any, queue: str = "gpu") -> list[str]:
    return [row["task"] for row in (await evq("queue", "peek", queue, "--json")).json]


async def undo(evq: Any, printed: str) -> None:
    """Run the commands that were printed."""
    commands = [line.split("undo ", 1)[1] for line in printed.splitlines() if "undo " in line]
    assert commands
    for command in commands:
        done = await evq(*shlex.split(command)[1:])
        assert done.status == 0, done.err


@pytest.mark.usefixtures("told")
async def test_a_queue_from_its_making_to_its_end(evq: Any, waiting: list[str]) -> None:
    made = await evq("queue", "create", "gpu", "--description", "big cards", "--json")
    assert made.json["description"] == "big cards" and made.json["state"] == "open"
    page = (await evq("queue", "gpu")).out
    assert "big cards" in page and "4, the oldest for" in page and waiting[0] in page
    paused = await evq("queue", "pause", "gpu", "--reason", "they are moved")
    again = await evq("queue", "pause", "gpu")
    assert again.status == 5 and "they are moved" in again.err and "resume gpu" in again.err
    (listed,) = (await evq("queues", "--json")).json
    assert (listed["state"], listed["reason"], listed["queued"]) == ("paused", "they are moved", 4)
    assert listed["next_task"] == waiting[0] and "@" in listed["by"]
    assert "paused: they are moved" in (await evq("queues")).out
    asked = await evq("enqueue", "-q", "gpu", "--no-code", "--", "true")
    assert "queue 'gpu' is paused" in asked.err and "they are moved" in asked.err
    facts = (await evq("enqueue", "-q", "gpu", "--no-code", "--json", "--", "true")).json
    assert (facts["paused"], facts["served"]) == ("they are moved", False)
    await undo(evq, paused.out)
    refused = await evq("queue", "delete", "gpu")
    assert refused.status == 5 and "6 tasks wait" in refused.err
    before = await order(evq)
    gone = await evq("queue", "delete", "gpu", "--force", "--reason", "sold")
    assert gone.status == 0 and (await evq("queues")).out == ""
    assert "deleted" in (await evq("queue", "gpu")).out
    await undo(evq, gone.out)
    assert await order(evq) == before
    (back,) = (await evq("queues", "--json")).json
    assert (back["description"], back["state"]) == ("big cards", "open")


@pytest.mark.usefixtures("told")
async def test_clear_restores_what_was_before(evq: Any, waiting: list[str], bus: Bus) -> None:
    client = Client(bus)
    await client.abort(waiting[1], "a mistake")
    await client.retry(waiting[1], "no mistake")
    asked = (await evq("queue", "clear", "gpu", "--dry-run")).out.split()
    assert asked == [waiting[0], waiting[2], waiting[3], waiting[1]]
    assert (await evq("queue", "count", "gpu")).out == "4\n"
    cleared = await evq("queue", "clear", "gpu", "--reason", "a wrong sweep")
    assert (await evq("queue", "count", "gpu", "--json")).json == {"queue": "gpu", "queued": 0}
    reasons = {(await client.get(task)).state.evidence for task in waiting}  # type: ignore[union-attr]
    assert reasons == {"a wrong sweep", "a mistake"}
    await undo(evq, cleared.out)
    assert await order(evq) == asked


@pytest.mark.usefixtures("told")
async def test_many_tasks_are_named_by_their_events(
    evq: Any, bus: Bus, make_spec: Callable[..., Any]
) -> None:
    tasks = [r.task for r in await Client(bus).enqueue_many([make_spec(queue="gpu")] * 30)]
    cleared = await evq("queue", "clear", "gpu")
    assert "undo evq retry --where" in cleared.out
    await undo(evq, cleared.out)
    found = (await evq("queue", "peek", "gpu", "-n", "50", "--json")).json
    assert [row["task"] for row in found] == tasks


@pytest.mark.usefixtures("told")
async def test_move(evq: Any, waiting: list[str]) -> None:
    a, b, c, d = waiting
    front = await evq("move", d, "--front", "--reason", "urgent")
    assert f"task {d} is number 1 of 4 in queue gpu, priority 5" in front.out
    assert f"undo evq move {d} --down 3" in front.out
    assert await order(evq) == [d, a, b, c]
    await undo(evq, front.out)
    assert await order(evq) == waiting
    two = await evq("move", c, d, "--before", b)
    assert await order(evq) == [a, c, d, b]
    await undo(evq, two.out)
    assert await order(evq) == waiting
    (facts,) = (await evq("move", a, "--to", "night", "--priority", "9", "--json")).json
    assert (facts["queue"], facts["priority"], facts["position"]) == ("night", 9, 1)
    await undo(evq, "\n".join(f"undo {command}" for command in facts["undo"]))
    assert await order(evq) == waiting
    chosen = await evq("move", "--where", "name in ('a', 'c')", "--to", "night", "--dry-run")
    assert chosen.out.split() == [a, c] and "2 tasks would be moved" in chosen.err
    assert (await evq("events", d)).out.count("moved to") == 4
    assert "urgent" in (await evq("events", d)).out


@pytest.mark.usefixtures("told")
async def test_dequeue(evq: Any, waiting: list[str]) -> None:
    a, b, c, d = waiting
    out = await evq("dequeue", a, b)
    assert f"task {a} is aborted" in out.out and f"undo evq retry {a} {b}" in out.out
    refused = await evq("dequeue", a, c)
    assert refused.status == 5 and "waits in no queue" in refused.err
    assert await order(evq) == [d]
    await evq("dequeue", "--where", "queue = 'gpu'")
    assert await order(evq) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["move", "@"], "not said where"),
        (["move", "@", "--front", "--back"], "do not go together"),
        (["move", "@", "--up", "2", "--to", "x"], "counts places"),
        (["move", "--front"], "none is named"),
        (["dequeue", "@", "--where", "true"], "both are given"),
        (["queue", "pause", "a.b"], "cannot be the name"),
        (["move", "@", "--to", "a b"], "cannot be the name"),
    ],
)
async def test_wrong_use(evq: Any, words: list[str], said: str) -> None:
    await evq("enqueue", "--no-code", "--quiet", "--", "true")
    done = await evq(*words)
    assert done.status == 2 and said in done.err and "Traceback" not in done.err


async def test_a_queue_is_shared_out_and_back(evq: Any) -> None:
    shared = await evq("queue", "share", "gpu", "--fair", "--reason", "we are many")
    assert "queue gpu is shared out evenly among users" in shared.out
    again = await evq("queue", "share", "gpu", "--fair")
    assert again.status == 5 and "evenly among users already" in again.err
    assert "shared    evenly among users" in (await evq("queue", "gpu")).out
    await evq("enqueue", "-q", "gpu", "--no-code", "--", "true")
    (listed,) = (await evq("queues", "--json")).json
    assert listed["fair"] is True
    # The task waits in its user's own lane from now on.
    (enqueued,) = (
        line for line in (await evq("events", "--json")).out.splitlines() if "enqueued" in line
    )
    assert '"fair":true' in enqueued
    await undo(evq, shared.out)
    assert (await evq("queues", "--json")).json[0]["fair"] is False


async def test_without_a_projector(evq: Any, waiting: list[str]) -> None:
    """What needs no place in line is done; the rest says what is missing."""
    assert (await evq("queue", "pause", "gpu")).status == 0
    assert "paused" in (await evq("queue", "gpu")).out
    moved = await evq("move", waiting[0], "--to", "night")
    assert moved.status == 0 and "queue night, priority 5" in moved.out
    assert (await evq("dequeue", waiting[1])).status == 0
    assert (await evq("move", waiting[2], "--front")).status == 3
    assert (await evq("queue", "peek", "gpu")).status == 3


async def test_a_server_that_was_never_used(evq: Any, nats_server: Any, bus: Bus) -> None:
    for stream in ("EVQ", "KV_evq-queues"):
        await bus.requests.api(f"STREAM.DELETE.{stream}")
    assert (await evq("queue", "pause", "gpu", "--reason", "not yet")).status == 0
    assert "not yet" in (await evq("enqueue", "-q", "gpu", "--no-code", "--", "true")).err
    assert (await evq("queue", "nothing")).status == 4
