"""A real projector is asked for moments that are past, while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from projecting import caught_up

from evq.core import events, subjects, wire
from evq.core.decide import Move
from evq.core.errors import Conflict, NotFound, QueryFailed, UsageError
from evq.core.past import ByClock, BySequence, Moment
from evq.core.ports import Entry
from evq.core.questions import Named, Sql
from evq.core.queueing.queues import QueuePaused
from evq.core.sdk.parquet import save_parquet
from evq.core.sdk.past import Past, find_moment


async def past(user: Any, seq: int) -> Past:
    await caught_up(user)
    return Past(user, await find_moment(user.bus.log, BySequence(seq)))


async def told(client: Any, question: Named | Sql, *fields: str) -> list[list[Any]]:
    return [[row[name] for name in fields] async for row in client.rows(question)]


async def test_questions_and_queries_are_answered_as_then(projector: Any, user: Any) -> None:
    await projector.start()
    first, second = [(await user.add()).task for _ in range(2)]
    claimed = await user.claim(first)
    await user.points(claimed, 3.0, 1.0)
    seq = await user.bus.log.last_seq()
    await user.put(second, Move("other", 9, None, "why not"))
    await user.change_queue(QueuePaused("q", "maintenance"))
    await user.abort(second, "enough")
    expected = [[first, "claimed", "q", "a"], [second, "queued", "q", None]]
    fields = ("task", "state", "queue", "agent")
    query = Sql(f"SELECT {', '.join(fields)} FROM tasks")
    then = await past(user, seq)

    async def ask() -> None:
        assert sorted(await told(then, Named("tasks"), *fields)) == sorted(expected)
        assert sorted(await told(then, query, *fields)) == sorted(expected)
        assert await told(then, Named("queues"), "queue", "state", "queued") == [["q", "open", 1]]
        line = Named("line", {"queue": "q"})
        assert await told(then, line, "task", "position") == [[second, 1]]
        assert await then.queues() == {}
        assert (await then.get(second)).name_of_state == "queued"

    await ask()
    now = dict(await told(user, Sql("SELECT task, state FROM tasks"), "task", "state"))
    assert now[second] == "aborted"
    # The projection goes on, and what it learns of the task is not told of that moment.
    await user.abort(first, "enough")
    await ask()
    with pytest.raises(Conflict):
        await then.abort(first, "in the past")


async def test_a_parquet_file_has_what_there_was(projector: Any, user: Any, tmp_path: Path) -> None:
    await projector.start()
    first = await user.add()
    second = await user.add()
    await told(user, Named("tasks"), "task")
    file = tmp_path / "tasks.parquet"
    for question in (Sql("SELECT task FROM tasks"), Named("tasks", {"limit": 10})):
        for client, known in (
            (user, {first.task, second.task}),
            (await past(user, first.seq), {first.task}),
        ):
            size = await save_parquet(client, question, file)
            assert size == file.stat().st_size
            rows = duckdb.read_parquet(str(file)).select("task").fetchall()
            assert {task for (task,) in rows} == known
    with pytest.raises(QueryFailed, match="cannot be carried out"):
        await save_parquet(user, Sql("SELECT nothing FROM tasks"), file)
    with pytest.raises(UsageError, match="no single query"):
        await save_parquet(user, Named("curve", {"tasks": [first.task]}), file)
    with pytest.raises(UsageError, match="cannot be written"):
        await save_parquet(user, Sql("SELECT 1"), tmp_path / "nowhere" / "file")
    assert not list(tmp_path.glob(".*"))


async def test_the_server_s_clock_says_which_moment_is_meant(projector: Any, user: Any) -> None:
    log = user.bus.log
    await projector.start()
    tasks = [(await user.add()).task for _ in range(3)]
    await caught_up(user)
    at = await log.stored_at(2)
    moment = await find_moment(log, ByClock(at))
    assert moment == Moment(2, at)
    then = Past(user, moment)
    assert sorted(await told(then, Named("tasks"), "task")) == sorted([[t] for t in tasks[:2]])
    with pytest.raises(NotFound, match="no task"):
        await then.get(tasks[2])
    before = Past(user, await find_moment(log, ByClock(await log.stored_at(1) - 1)))
    assert await told(before, Named("tasks"), "task") == []
    assert await told(before, Named("queues"), "queue") == []
    for seq in (0, 4):
        with pytest.raises(NotFound, match="no event"):
            await find_moment(log, BySequence(seq))


async def test_what_a_task_said_later_is_not_told(projector: Any, user: Any) -> None:
    await projector.start()
    task = await user.claim((await user.add()).task)
    claim = task.attempts[0].claim
    at = task.attempts[0].claimed
    for when, value in ((at, 3.0), (at + 10_000_000, 1.0)):
        record = events.Metric(
            attempt=1, claim=claim, at=(when,), name=("loss",), step=(0,), value=(value,)
        )
        await user.say(task, record)
    await caught_up(user)
    now = await told(user, Named("tasks"), "metrics")
    assert now == [["loss=1"]]
    then = Past(user, Moment(await user.bus.log.last_seq(), at + 5_000_000))
    assert await told(then, Named("tasks"), "metrics") == [["loss=3"]]
    metric = Named("metrics", {"task": task.id})
    assert await told(then, metric, "value", "first", "max", "n") == [[3, 3, 3, 1]]


async def test_agents_are_those_that_were_there(projector: Any, user: Any) -> None:
    await projector.start()
    up = events.AgentUp(
        agent="a", instance="i", host="box", pid=7, queues=("q",), order="strict", slots=2,
        version="1", cpus=4, memory=2**30, platform="linux", python="3.11", gpus=("G-1", "G-2"),
    )  # fmt: skip
    for event in (
        up,
        events.DrainRequested("a", "fan", ("G-2",)),
        events.AgentPaused("a", "i", "disk"),
    ):
        envelope = user.author.envelope(event)
        data = wire.encode(envelope)
        await user.bus.log.append(Entry(subjects.agent_events("a"), data, envelope.id))
    task = await user.claim((await user.add()).task)
    seq = await user.bus.log.last_seq()
    down = user.author.envelope(events.AgentDown("a", "i", "asked"))
    data = wire.encode(down)
    await user.bus.log.append(Entry(subjects.agent_events("a"), data, down.id))
    [agent] = await (await past(user, seq)).agents()
    assert (agent.host, agent.slots, agent.paused, agent.takes) == ("box", 2, "disk", False)
    assert agent.claims == (task.attempts[0].claim,)
    assert [running.task for running in agent.running] == [task.id]
    assert (agent.free.slots, agent.drained_gpus) == (1, ("G-2",))
    assert [device.id for device in agent.devices] == ["G-1", "G-2"]
    assert await (await past(user, seq + 1)).agents() == []
    assert (await (await past(user, 2)).agents())[0].paused == ""


async def test_a_query_cannot_leave_its_moment(projector: Any, user: Any) -> None:
    await projector.start()
    for _ in range(2):
        await user.add()
    then = await past(user, 1)
    count = Sql("SELECT count(*) AS n FROM main.tasks")
    assert await told(then, count, "n") == [[1]]
    with pytest.raises(QueryFailed, match="cannot be carried out"):
        await told(then, Sql("SET VARIABLE moment_seq = 2"))
    with pytest.raises(QueryFailed, match="not in the database"):
        await told(Past(user, Moment(10, 0)), Named("tasks"), "task")
