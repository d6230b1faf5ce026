"""`evq run`, `logs` and `wait`: a task's life as it happens, told from the log itself."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from evq.core import decide
from evq.core.bus.connect import Bus
from evq.core.events import Cause, Outcome
from evq.core.subjects import lifecycle


async def first_task(bus: Bus) -> str:
    """The id of the task that is enqueued next."""
    async with bus.log.follow(1, ["evq.q.>"]) as batches:
        async for batch in batches:
            return batch[0].subject.rpartition(".")[2]
    raise AssertionError


async def test_run_shows_the_output_and_ends_with_its_status(
    evq: Any, bus: Bus, played: Any
) -> None:
    await played.appear("default")
    async with evq.start("run", "--", "train") as process:
        task = await first_task(bus)
        await played.claims(task)
        started = await played.starts(task)
        await played.says(started, ("s", "Resolved 3 packages"), ("o", "epoch 1"), ("e", "hmm"))
        await played.ends(task, 3, "exit status 3")
        out, err = await process.communicate()
    assert process.returncode == 3
    assert out.decode() == "epoch 1\n"
    said = err.decode()
    assert "hmm\n" in said
    for words in ("claimed by laptop", "code 0.5s (cached)", "running on laptop, pid 42"):
        assert words in said
    assert said.index("claimed by") < said.index("running on") < said.index("hmm")
    assert "Resolved 3 packages" in said
    assert "failed  task" in said
    assert f"evq retry {task}" in said


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        ({"outcome": Outcome.COMPLETED, "exit_code": 0}, 0),
        ({"outcome": Outcome.FAILED, "exit_code": 7, "cause": Cause.CODE}, 7),
        ({"outcome": Outcome.FAILED, "exit_code": -9, "cause": Cause.SIGNAL}, 137),
        ({"outcome": Outcome.FAILED, "cause": Cause.ENVIRONMENT}, 1),
        ({"outcome": Outcome.TIMED_OUT, "exit_code": -15, "cause": Cause.TIME}, 124),
        ({"outcome": Outcome.ABORTED, "exit_code": -15, "cause": Cause.ABORT}, 143),
    ],
)
async def test_exit_statuses(evq: Any, played: Any, finish: dict[str, Any], status: int) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    await played.claims(task)
    await played.starts(task)
    await played.does(task, decide.Finish(played.holder, **finish))
    waited = await evq("wait", task, "--json")
    assert waited.status == status
    assert waited.json[0]["exit_status"] == status
    assert waited.json[0]["state"] == finish["outcome"].value


async def test_run_goes_on_over_a_retry_and_drops_what_a_zombie_says(
    evq: Any, bus: Bus, played: Any
) -> None:
    async with evq.start("run", "--retries", "1", "--", "train") as process:
        task = await first_task(bus)
        await played.claims(task)
        started = await played.starts(task)
        zombie = started.live.claim
        await played.says(started, ("o", "first try"))
        await played.does(task, decide.Finish(played.holder, Outcome.FAILED, exit_code=1))
        await played.claims(task)
        started = await played.starts(task)
        await played.says(started, ("o", "of nobody"), claim=zombie - 1)
        await played.says(started, ("o", "second try"))
        await played.ends(task)
        out, err = await process.communicate()
    assert process.returncode == 0
    assert out.decode() == "first try\nsecond try\n"
    assert "runs again in" in err.decode()


async def test_interrupting_run_leaves_the_task_alone(evq: Any, bus: Bus, played: Any) -> None:
    async with evq.start("run", "--", "train") as process:
        task = await first_task(bus)
        await played.claims(task)
        async for line in process.stderr:
            if b"claimed by laptop" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert f"detached; task {task} goes on" in err.decode()
    assert f"evq abort {task}" in err.decode()
    assert (await evq("show", task, "--json")).json["state"] == "claimed"


async def test_logs_of_the_last_attempt(evq: Any, played: Any) -> None:
    task = (await evq("enqueue", "--retries", "1", "--quiet", "--", "train")).out.strip()
    nothing = await evq("logs")
    assert (nothing.status, nothing.out) == (0, "")
    assert "has not run: it is queued" in nothing.err
    await played.runs(task, "one", exit_code=1)
    await played.claims(task)
    started = await played.starts(task)
    await played.says(started, ("s", "set-up"), ("o", "two"), ("e", "three"), ("a", "note"))
    await played.ends(task)
    assert (await evq("logs")).out == "two\nthree\nnote\n"
    assert (await evq("logs", task, "--setup")).out == "set-up\ntwo\nthree\nnote\n"
    assert (await evq("logs", "@", "--attempt", "1")).out == "one\n"
    assert (await evq("logs", "--tail", "2")).out == "three\nnote\n"
    assert (await evq("logs", "--grep", "t[wh]")).out == "two\nthree\n"
    assert (await evq("logs", "--timestamps", "--tail", "1")).out.endswith(" note\n")
    assert (await evq("logs", "--attempt", "9")).status == 4
    assert (await evq("logs", "--grep", "(")).status == 2
    lines = [json.loads(line) for line in (await evq("logs", "--json")).out.splitlines()]
    assert [line["text"] for line in lines] == ["two", "three", "note"]
    assert [line["stream"] for line in lines] == ["stdout", "stderr", "agent"]
    assert set(lines[0]) == {"attempt", "line", "at", "stream", "text"}
    assert lines[0]["attempt"] == 2


async def test_set_up_is_shown_if_there_is_nothing_else(evq: Any, played: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    claimed = await played.claims(task)
    await played.says(claimed, ("s", "no solution found"))
    finish = decide.Finish(
        played.holder, Outcome.FAILED, cause=Cause.ENVIRONMENT, evidence="no solution"
    )
    await played.does(task, finish)
    assert (await evq("logs")).out == "no solution found\n"


async def test_logs_that_follow_end_with_the_task(evq: Any, played: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    await played.claims(task)
    started = await played.starts(task)
    await played.says(started, ("o", "early"), ("o", "before"))
    async with evq.start("logs", "-f", "--tail", "1") as process:
        assert await process.stdout.readline() == b"before\n"
        await played.says(started, ("o", "after"))
        assert await process.stdout.readline() == b"after\n"
        await played.ends(task)
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"completed" in err


async def test_wait_ends_when_all_have_ended(evq: Any, bus: Bus, played: Any) -> None:
    ids = [(await evq("enqueue", "--quiet", "--", "train")).out.strip() for _ in range(2)]
    await played.runs(ids[0])
    async with evq.start("wait", *ids) as process:
        assert ids[0].encode() in await process.stdout.readline()
        await played.runs(ids[1], exit_code=5)
        out, _ = await process.communicate()
    assert process.returncode == 5
    assert f"failed  task {ids[1]}" in out.decode()


async def test_wait_gives_up(evq: Any) -> None:
    await evq("enqueue", "--quiet", "--", "train")
    result = await evq("wait", "--timeout", "100ms")
    assert result.status == 75
    assert "not ended in 100ms" in result.err


async def test_events_of_a_task_and_of_all(evq: Any, bus: Bus, played: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    other = (await evq("enqueue", "--quiet", "--", "true")).out.strip()
    await played.runs(task)
    kinds = ["enqueued", "claimed", "phase", "phase", "started", "finished"]
    found = [json.loads(line) for line in (await evq("events", task, "--json")).out.splitlines()]
    assert [one["event"]["kind"] for one in found] == kinds
    assert set(found[0]) == {"seq", "subject", "at", "by", "id", "event"}
    text = (await evq("events")).out
    assert text.count("\n") == 7
    assert other in text and "claimed by laptop, attempt 1" in text
    assert (await evq("events", "-n", "1")).out.count("\n") == 1
    async with evq.start("events", "-f", "--json", other) as process:
        assert json.loads(await process.stdout.readline())["event"]["kind"] == "enqueued"
        assert (await evq("abort", other)).status == 0
        out, _ = await process.communicate()
    assert json.loads(out)["event"]["kind"] == "aborted"
    assert process.returncode == 0


async def test_following_outlives_a_cut_connection(evq: Any, wire: Any, played: Any) -> None:
    cable, login = wire
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    await played.claims(task)
    started = await played.starts(task)
    await played.says(started, ("o", "before"))
    async with evq.start("logs", "-f", task, env={"EVQ_SERVER": login.server}) as process:
        assert await process.stdout.readline() == b"before\n"
        cable.cut()
        await played.says(started, ("o", "after"))
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"after\n"
        await played.ends(task)
        await process.communicate()
    assert process.returncode == 0
    assert lifecycle("default", task)
