"""A real projector process on a real server: killed, cut off, lied to, asked at bad moments."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from evq.core import events, subjects, wire
from evq.core.bus.connect import Bus, Login
from evq.core.bus.requests import ApiError
from evq.core.decide import Claim, DeclareLost, Finish, Holder, Start
from evq.core.errors import ProjectorAway, QueryFailed, UsageError
from evq.core.events import Outcome
from evq.core.handle import find, handle
from evq.core.questions import Head, Named, Sql
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.state import Task
from evq.projector.store import Database, database_file

SPEC = Spec(entry=Command(("train",)), name="train", queue="q", user="ada", host="box")
READY = "the projector answers"


class Projector:
    """`python -m evq.projector` on a store of its own."""

    def __init__(self, login: Login, store: Path, until: Callable[..., Any]) -> None:
        self.store = store
        self._said = store / "said"
        self._env = {**os.environ, "EVQ_SERVER": login.server, "EVQ_TOKEN": login.token or ""}
        self._until = until
        self.process: subprocess.Popen[bytes] | None = None
        store.mkdir()

    @property
    def said(self) -> str:
        return self._said.read_text("utf-8")

    def _popen(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "evq.projector", "--store", str(self.store)]
        with self._said.open("wb") as said:
            return subprocess.Popen([*command, *options], env=self._env, stderr=said)

    async def start(self) -> None:
        self.process = process = self._popen()
        await self._until(lambda: READY in self.said or process.poll() is not None)
        assert process.poll() is None, self.said

    async def run(self, *options: str) -> int:
        """Run one that ends by itself; its status."""
        process = self._popen(*options)
        try:
            return await asyncio.to_thread(process.wait, 60)
        finally:
            process.kill()
            process.wait()

    def end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(how)
        return process.wait(30)

    def database(self) -> Database:
        return Database(database_file(self.store))


@pytest.fixture
def projector(nats_server: Any, tmp_path: Path, until: Callable[..., Any]) -> Iterator[Projector]:
    made = Projector(nats_server.login, tmp_path / "store", until)
    yield made
    if made.process:
        assert made.end(signal.SIGTERM) == 0, made.said


@pytest.fixture
async def client(bus: Bus) -> AsyncIterator[Client]:
    yield Client(bus)


async def rows(client: Client, name: str, **params: Any) -> list[dict[str, Any]]:
    return [row async for row in client.rows(Named(name, params))]


async def sql(client: Client, text: str, **limits: Any) -> list[list[Any]]:
    return [list(row.values()) async for row in client.rows(Sql(text, **limits))]


async def live(client: Client, task: str, outcome: Outcome = Outcome.COMPLETED) -> Task:
    """Bring a task to its end, as an agent does."""
    known = await client.get(task)
    log, author = client.bus.log, client.author
    claim = Claim(agent="a", instance="i", slot=0, hint=known.origin, lease=30.0)
    known = (await handle(log, author, known, claim)).task
    holder = Holder("i", len(known.attempts))
    start = Start(holder, pid=1, argv=("train",), host="h", folder="/f")
    known = (await handle(log, author, known, start)).task
    return (await handle(log, author, known, Finish(holder, outcome, exit_code=0))).task


async def say(client: Client, task: Task, record: events.Telemetry) -> None:
    subject = subjects.telemetry("q", task.id, "a")
    await client.bus.telemetry.publish(subject, wire.encode_telemetry(record), os.urandom(8).hex())


def metric(claim: int, *values: float | str) -> events.Metric:
    count = len(values)
    return events.Metric(
        attempt=1,
        claim=claim,
        at=tuple(range(count)),
        name=("loss",) * count,
        step=tuple(range(count)),
        value=values,
    )


def log(claim: int, *lines: str) -> events.Log:
    count = len(lines)
    return events.Log(
        attempt=1, claim=claim, first=0, at=(5,) * count, stream="o" * count, text=lines
    )


# --- what it says is what the log says ------------------------------------------------------------


async def test_an_answer_knows_of_everything_written_before(
    projector: Projector, client: Client
) -> None:
    await projector.start()
    for _ in range(5):
        receipt = await client.enqueue(SPEC)
        shown = await rows(client, "show", task=receipt.task)
        assert msgspec.json.decode(shown[0]["fold"], type=Task) == await client.get(receipt.task)
    assert await client.resolve(receipt.task[:8]) == receipt.task
    assert [row["position"] for row in await rows(client, "why", task=receipt.task)] == [5]


async def test_a_life_in_all_views(projector: Projector, client: Client) -> None:
    receipt = await client.enqueue(SPEC)
    task = await live(client, receipt.task)
    claim = task.attempts[0].claim
    await say(client, task, metric(claim, 3.0, "nan", 1.0))
    await say(client, task, log(claim, "one", "two"))
    await say(client, task, events.Progress(attempt=1, claim=claim, at=9, done=1.0, total=2.0))
    await projector.start()
    [listed] = await rows(client, "tasks", states=["completed"])
    assert (listed["task"], listed["progress_done"], listed["metrics"]) == (task.id, 1, "loss=1")
    [summed] = await rows(client, "metrics", task=task.id)
    assert (summed["first"], summed["last"], summed["min"], summed["n"]) == (3, 1, 1, 3)
    curve = await rows(client, "curve", task=task.id, name="loss", points=3)
    assert [point["value"] for point in curve] == [3, "nan", 1]
    lines = await rows(client, "logs", task=task.id, after=0)
    assert [(line["text"], line["stream"]) for line in lines] == [("two", "stdout")]
    kinds = [event["kind"] for event in await rows(client, "events", task=task.id)]
    assert kinds == ["enqueued", "claimed", "started", "finished"]
    [queue] = await rows(client, "queues")
    assert (queue["queue"], queue["completed"], queue["queued"]) == ("q", 1, 0)
    assert await sql(client, "SELECT state FROM tasks") == [["completed"]]
    assert (await rows(client, "status"))[0]["dead_letters"] == 0


async def test_strange_messages_stop_nobody(projector: Projector, client: Client) -> None:
    await projector.start()
    receipt = await client.enqueue(SPEC)
    task = await client.get(receipt.task)
    subject = subjects.lifecycle("q", task.id)
    future = b'{"id":"x","at":5,"by":"b","event":{"kind":"paused"}}'
    for number, (where, data) in enumerate(
        [
            (subject, future),
            (subject, b"\xff\x00"),
            (subjects.lifecycle("q", "zzzzzzzzzzzz"), future),
            (subjects.telemetry("q", task.id, "a"), b"{}"),
            (subjects.telemetry("q", task.id, "a"), wire.encode_telemetry(metric(10**9, 1.0))),
        ]
    ):
        await client.bus.requests.request(where, data, {"Nats-Msg-Id": f"strange-{number}"})
    later = await client.enqueue(SPEC)
    assert await rows(client, "resolve", prefix=later.task)
    [status] = await rows(client, "status")
    assert status["dead_letters"] == 4
    shown = await rows(client, "show", task=task.id)
    assert msgspec.json.decode(shown[0]["fold"], type=Task) == await find(client.bus.log, task.id)
    assert [event["kind"] for event in await rows(client, "events", task=task.id)][-1] == "paused"


async def test_killed_again_and_again_it_counts_everything_once(
    projector: Projector, client: Client, until: Callable[..., Any]
) -> None:
    chance = random.Random(7)
    done = asyncio.Event()

    async def work() -> int:
        points = 0
        for _ in range(60):
            receipt = await client.enqueue(SPEC)
            outcome = chance.choice([Outcome.COMPLETED, Outcome.FAILED])
            task = await live(client, receipt.task, outcome)
            for _ in range(5):
                values = [chance.random() for _ in range(chance.randrange(1, 20))]
                await say(client, task, metric(task.attempts[0].claim, *values))
                points += len(values)
        done.set()
        return points

    async def seq() -> int:
        with suppress(ProjectorAway):
            return int((await rows(client, "status"))[0]["lifecycle_seq"])
        return 0

    working = asyncio.create_task(work())
    kills = 0
    while not done.is_set():
        await projector.start()
        before = await seq()

        async def further(before: int = before) -> bool:
            return done.is_set() or await seq() > before + chance.randrange(20)

        await until(further)
        projector.end(signal.SIGKILL)
        kills += 1
    points = await working
    await projector.start()
    last = await client.bus.log.last_seq()
    assert await sql(client, "SELECT count(*), count(DISTINCT seq) FROM events") == [[last, last]]
    assert await sql(client, "SELECT count(*), sum(n) FROM metrics, (SELECT sum(n) AS n FROM"
                     " metric_latest) GROUP BY ALL") == [[points, points * points]] or await sql(
        client, "SELECT (SELECT count(*) FROM metrics), (SELECT sum(n) FROM metric_latest)"
    ) == [[points, points]]  # fmt: skip
    assert kills >= 2
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_a_lost_attempt_and_a_second_one(projector: Projector, client: Client) -> None:
    await projector.start()
    task = await client.get((await client.enqueue(SPEC)).task)
    claim = Claim(agent="a", instance="i", slot=0, hint=task.origin, lease=30.0)
    task = (await handle(client.bus.log, client.author, task, claim)).task
    lost = DeclareLost(attempt=1, why="silent")
    task = (await handle(client.bus.log, client.author, task, lost)).task
    assert (await rows(client, "show", task=task.id))[0]["position"] == 1
    await live(client, task.id)
    found = await sql(client, "SELECT attempt, outcome, cause FROM attempts ORDER BY attempt")
    assert found == [[1, "lost", "lost_agent"], [2, "completed", None]]


# --- rebuild, verify, and who may have the file ---------------------------------------------------


async def test_a_manipulated_row_is_found_and_mended(projector: Projector, client: Client) -> None:
    await projector.start()
    tasks = [await live(client, (await client.enqueue(SPEC)).task) for _ in range(3)]
    await say(client, tasks[0], metric(tasks[0].attempts[0].claim, 1.0, 2.0))
    await rows(client, "status")
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said
    database = projector.database()
    database.execute("UPDATE _tasks SET state = 'failed' WHERE task = $1", [tasks[0].id])
    database.execute("DELETE FROM _attempts WHERE task = $1", [tasks[1].id])
    database.execute("INSERT INTO _phases SELECT claim, task, 1, 9, 'x', ended, 1, true, ''"
                     " FROM _attempts WHERE task = $1", [tasks[2].id])  # fmt: skip
    database.execute("DELETE FROM _metrics WHERE value = 2")
    database.close()
    assert await projector.run("--verify") == 1
    for difference in (
        f"_tasks: task {tasks[0].id}: state differ from the log",
        f"_attempts: task {tasks[1].id}: not in the database",
        f"_phases: task {tasks[2].id}: not in the log",
        f"task {tasks[0].id}: 1 points in the database, 2 in the log",
    ):
        assert difference in projector.said
    assert await projector.run("--rebuild") == 0, projector.said
    assert "3 tasks" in projector.said
    assert await projector.run("--verify") == 0, projector.said
    assert [path.name for path in projector.store.iterdir() if path.name != "said"] == [
        "evq.duckdb"
    ]


async def test_a_rebuild_keeps_telemetry_that_the_stream_has_lost(
    projector: Projector, client: Client
) -> None:
    await projector.start()
    task = await live(client, (await client.enqueue(SPEC)).task)
    claim = task.attempts[0].claim
    await say(client, task, metric(claim, 7.0, 8.0))
    await say(client, task, log(claim, "long ago"))
    await rows(client, "status")
    assert projector.end(signal.SIGTERM) == 0
    await client.bus.requests.api("STREAM.PURGE.EVQTEL")
    await say(client, task, metric(claim, 9.0))
    assert await projector.run("--rebuild") == 0, projector.said
    await projector.start()
    assert [line["text"] for line in await rows(client, "logs", task=task.id)] == ["long ago"]
    [summed] = await rows(client, "metrics", task=task.id)
    assert (summed["first"], summed["last"], summed["n"]) == (7, 9, 3)
    projector.end(signal.SIGTERM)
    assert await projector.run("--verify") == 0, projector.said


async def test_a_second_projector_is_refused_even_after_a_snapshot(
    projector: Projector, client: Client, nats_server: Any, until: Callable[..., Any]
) -> None:
    await projector.start()
    await client.enqueue(SPEC)
    assert await sql(client, "SELECT count(*) FROM tasks") == [[1]]
    assert projector.process is not None
    first, said = projector.process.pid, projector.said
    for options in ((), ("--verify",), ("--rebuild",)):
        assert await projector.run(*options) == 5, options
        assert f"process {first} has it open" in projector.said, said
    assert await sql(client, "SELECT count(*) FROM tasks") == [[1]]


async def test_a_stream_that_was_made_anew_is_noticed(projector: Projector, client: Client) -> None:
    await projector.start()
    await client.enqueue(SPEC)
    await rows(client, "status")
    with suppress(ApiError):
        await client.bus.requests.api("STREAM.DELETE.EVQ")
    await client.bus.prepare()
    process, projector.process = projector.process, None
    assert process is not None
    assert await asyncio.to_thread(process.wait, 30) == 5
    assert "evq projector --rebuild" in projector.said
    assert await projector.run() == 5
    assert "is not the one" in projector.said
    assert await projector.run("--rebuild") == 0, projector.said
    await projector.start()


async def test_it_lives_on_when_the_server_is_killed(
    own_nats_server: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    from evq.core.bus.connect import connect

    projector = Projector(own_nats_server.login, tmp_path / "store", until)
    async with connect(own_nats_server.login, "test", patience=30) as bus:
        await bus.prepare()
        client = Client(bus)
        await projector.start()
        await client.enqueue(SPEC)
        own_nats_server.restart()
        await bus.standing.wait()
        later = await client.enqueue(SPEC)

        async def known() -> Any:
            with suppress(ProjectorAway):
                return await rows(client, "resolve", prefix=later.task)

        assert await until(known)
        assert projector.end(signal.SIGTERM) == 0


# --- SQL of users ---------------------------------------------------------------------------------


async def test_an_endless_query_ends_while_the_projection_goes_on(
    projector: Projector, client: Client
) -> None:
    await projector.start()
    endless = "SELECT count(*) FROM range(1000000000000000::BIGINT) a, range(1000) b"
    asking = asyncio.create_task(sql(client, endless, timeout=2.0))
    while not asking.done():
        receipt = await client.enqueue(SPEC)
        assert await rows(client, "resolve", prefix=receipt.task)
    with pytest.raises(QueryFailed, match="ended after 2 s"):
        await asking


async def test_a_client_that_goes_away_frees_the_process(
    projector: Projector, client: Client, until: Callable[..., Any]
) -> None:
    await projector.start()
    assert projector.process is not None
    family = psutil.Process(projector.process.pid)
    question = Sql("SELECT repeat('x', 1000) FROM range(1000000)", rows=10**6, timeout=300.0)
    async with aclosing(client.answer(question)) as parts:
        assert isinstance(await anext(parts), Head)
        assert await anext(parts)
        assert len(family.children()) == 2
    await until(lambda: len(family.children()) == 1)


async def test_a_wrong_question_is_answered_with_what_is_wrong(
    projector: Projector, client: Client
) -> None:
    await projector.start()
    with pytest.raises(UsageError, match="no question"):
        await rows(client, "colours")
    with pytest.raises(QueryFailed):
        await rows(client, "tasks", limit="many")
    with pytest.raises(QueryFailed) as raised:
        await sql(client, "SELECT colour FROM tasks")
    assert "colour" in raised.value.why
    with pytest.raises(UsageError, match="cannot be read"):
        async for _ in client.bus.calls.ask(subjects.question("named"), b"?", 5):
            pass
