"""A real projector process on a real server: what it answers is what the log says."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import msgspec
import psutil
import pytest
from projecting import caught_up

from evq.core import events, subjects, wire
from evq.core.decide import DeclareLost
from evq.core.errors import NotFound, QueryFailed, UsageError
from evq.core.handle import find, handle
from evq.core.questions import Head, Named, Sql
from evq.core.state import Task

# --- what it says is what the log says ------------------------------------------------------------


async def test_an_answer_knows_of_everything_written_before(projector: Any, user: Any) -> None:
    await projector.start()
    await caught_up(user)
    for _ in range(5):
        task = (await user.add()).task
        (shown,) = [row async for row in user.rows(Named("show", {"task": task}))]
        assert msgspec.json.decode(shown["fold"], type=Task) == await user.get(task)
    assert await user.resolve(task[:8]) == task
    assert [row["position"] async for row in user.rows(Named("why", {"task": task}))] == [5]


async def test_a_life_in_all_views(projector: Any, user: Any) -> None:
    receipt = await user.add()
    task = await user.live(receipt.task)
    claim = task.attempts[0].claim
    await user.points(task, 3.0, "nan", 1.0)
    await user.lines(task, "one", "two")
    await user.say(task, events.Progress(attempt=1, claim=claim, at=9, done=1.0, total=2.0))
    await projector.start()
    [listed] = await user.ask("tasks", states=["completed"])
    assert (listed["task"], listed["progress_done"], listed["metrics"]) == (task.id, 1, "loss=1")
    [summed] = await user.ask("metrics", task=task.id)
    assert (summed["first"], summed["last"], summed["min"], summed["n"]) == (3, 1, 1, 3)
    curve = await user.ask("curve", tasks=[task.id], names=["loss"], pixels=3)
    assert [point["value"] for point in curve] == [3, "nan", 1]
    lines = await user.ask("logs", task=task.id, after=0)
    assert [(line["text"], line["stream"]) for line in lines] == [("two", "stdout")]
    kinds = [event["kind"] for event in await user.ask("events", task=task.id)]
    assert kinds == ["enqueued", "claimed", "started", "finished"]
    [queue] = await user.ask("queues")
    assert (queue["queue"], queue["completed"], queue["queued"]) == ("q", 1, 0)
    assert await user.sql("SELECT state FROM tasks") == [["completed"]]
    assert (await user.ask("status"))[0]["dead_letters"] == 0


async def test_of_two_remarks_of_one_name_the_later_counts(projector: Any, user: Any) -> None:
    task = await user.live((await user.add()).task)
    said = events.Remarks(attempt=1, claim=task.attempts[0].claim, at=9, params={"lr": "0.1"})
    await user.say(task, said)
    later = {"params": {"lr": "0.2", "a'b": ""}, "tags": {"by": "ä"}}
    await user.say(task, msgspec.structs.replace(said, **later))
    await projector.start()
    found = [tuple(row.values()) for row in await user.ask("remarks", task=task.id)]
    assert found == [("param", "a'b", ""), ("param", "lr", "0.2"), ("tag", "by", "ä")]


async def test_strange_messages_stop_nobody(projector: Any, user: Any) -> None:
    await projector.start()
    receipt = await user.add()
    task = await user.get(receipt.task)
    subject = subjects.lifecycle("q", task.id)
    zombie = events.Progress(attempt=1, claim=10**9, at=5, done=1.0)
    future = b'{"id":"x","at":5,"by":"b","event":{"kind":"paused"}}'
    for number, (where, data) in enumerate(
        [
            (subject, future),
            (subject, b"\xff\x00"),
            (subjects.lifecycle("q", "zzzzzzzzzzzz"), future),
            (subjects.telemetry("q", task.id, "a"), b"{}"),
            (subjects.telemetry("q", task.id, "a"), wire.encode_telemetry(zombie)),
        ]
    ):
        await user.bus.requests.request(where, data, {"Nats-Msg-Id": f"strange-{number}"})
    later = await user.add()
    assert await user.ask("resolve", prefix=later.task)
    [status] = await user.ask("status")
    assert status["dead_letters"] == 4
    shown = await user.ask("show", task=task.id)
    assert msgspec.json.decode(shown[0]["fold"], type=Task) == await find(user.bus.log, task.id)
    assert [event["kind"] for event in await user.ask("events", task=task.id)][-1] == "paused"


async def test_a_lost_attempt_and_a_second_one(projector: Any, user: Any) -> None:
    await projector.start()
    task = await user.claim((await user.add()).task)
    lost = DeclareLost(attempt=1, why="silent")
    task = (await handle(user.bus.log, user.author, task, lost)).task
    assert (await user.ask("show", task=task.id))[0]["position"] == 1
    await user.live(task.id)
    found = await user.sql("SELECT attempt, outcome, cause FROM attempts ORDER BY attempt")
    assert found == [[1, "lost", "lost_agent"], [2, "completed", None]]


# --- rebuild, verify, and who may have the file ---------------------------------------------------


async def test_a_manipulated_row_is_found_and_mended(projector: Any, user: Any) -> None:
    await projector.start()
    tasks = [await user.live((await user.add()).task) for _ in range(3)]
    await user.points(tasks[0], 1.0, 2.0)
    await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said
    database = projector.database()
    database.execute("UPDATE _tasks SET state = 'failed' WHERE task = $1", [tasks[0].id])
    database.execute("DELETE FROM _attempts WHERE task = $1", [tasks[1].id])
    database.execute("INSERT INTO _phases SELECT claim, task, 1, 9, 'x', ended, 1, true, ''"
                     " FROM _attempts WHERE task = $1", [tasks[2].id])  # fmt: skip
    database.execute("DELETE FROM _metrics WHERE value = 2")
    database.execute("UPDATE _events SET \"by\" = 'eve' WHERE seq = 2")
    database.execute("DELETE FROM _events WHERE seq = 4")
    database.close()
    assert await projector.run("--verify") == 1
    for difference in (
        f"_tasks: task {tasks[0].id}: state differ from the log",
        f"_attempts: task {tasks[1].id}: not in the database",
        f"_phases: task {tasks[2].id}: not in the log",
        f"task {tasks[0].id}: 1 points in the database, 2 in the log",
        "_events: event 2: it is not what the log says",
        "_events: event 4: it is not what the log says",
    ):
        assert difference in projector.said
    assert await projector.run("--rebuild") == 0, projector.said
    assert "3 tasks" in projector.said
    assert await projector.run("--verify") == 0, projector.said
    assert [path.name for path in projector.store.iterdir() if path.name != "said"] == [
        "evq.duckdb"
    ]


async def test_a_database_of_an_older_evq_is_rebuilt_by_itself(projector: Any, user: Any) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    assert await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    database = projector.database()
    database.execute("UPDATE _version SET version = 1")
    database.execute("DELETE FROM _tasks")
    database.close()
    await projector.start()
    assert "written by an older version of evq" in projector.said
    assert [row["state"] for row in await user.ask("tasks")] == ["completed"]
    assert task.id in str(await user.sql("SELECT task FROM tasks"))


async def test_a_rebuild_keeps_telemetry_that_the_stream_has_lost(
    projector: Any, user: Any
) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    await user.points(task, 7.0, 8.0)
    await user.lines(task, "long ago")
    await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    await user.bus.requests.api("STREAM.PURGE.EVQTEL")
    await user.points(task, 9.0)
    assert await projector.run("--rebuild") == 0, projector.said
    await projector.start()
    assert [line["text"] for line in await user.ask("logs", task=task.id)] == ["long ago"]
    [summed] = await user.ask("metrics", task=task.id)
    assert (summed["first"], summed["last"], summed["n"]) == (7, 9, 3)
    projector.end(signal.SIGTERM)
    assert await projector.run("--verify") == 0, projector.said


# --- SQL of users ---------------------------------------------------------------------------------


async def test_an_endless_query_ends_while_the_projection_goes_on(
    projector: Any, user: Any
) -> None:
    await projector.start()
    endless = "SELECT count(*) FROM range(1000000000000000::BIGINT) a, range(1000) b"
    asking = asyncio.create_task(user.sql(endless, timeout=2.0))
    while not asking.done():
        receipt = await user.add()
        assert await user.ask("resolve", prefix=receipt.task)
    with pytest.raises(QueryFailed, match="ended after 2 s"):
        await asking


async def test_a_client_that_goes_away_frees_the_process(
    projector: Any, user: Any, until: Callable[..., Any]
) -> None:
    await projector.start()
    assert projector.process is not None
    family = psutil.Process(projector.process.pid)
    question = Sql("SELECT repeat('x', 1000) FROM range(1000000)", rows=10**6, timeout=300.0)
    async with aclosing(user.answer(question)) as parts:
        assert isinstance(await anext(parts), Head)
        assert await anext(parts)
        assert len(family.children()) == 2
    await until(lambda: len(family.children()) == 1)


async def test_a_wrong_question_is_answered_with_what_is_wrong(projector: Any, user: Any) -> None:
    await user.add()  # of an empty table DuckDB reads neither rows nor parameters
    await projector.start()
    with pytest.raises(NotFound, match="no query @colours"):
        await user.ask("colours")
    with pytest.raises(QueryFailed):
        await user.ask("tasks", limit="many")
    with pytest.raises(QueryFailed) as raised:
        await user.sql("SELECT colour FROM tasks")
    assert "colour" in raised.value.why
    with pytest.raises(UsageError, match="cannot be read"):
        async for _ in user.bus.calls.ask(subjects.question("named"), b"?", 5):
            pass
