"""A real projector that follows samples of machines: asked, killed, verified and rebuilt."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import msgspec
import pytest
from sampled import sample, since_noon

from evq.core import subjects, wire
from evq.core.fleet.samples import Sample
from evq.projector.samples.columns import HOUR, MINUTE
from evq.projector.samples.roll_up import roll_up


async def tell(user: Any, *samples: Sample) -> None:
    """Say them as an agent does."""
    for made in samples:
        subject, id = subjects.samples(made.agent), os.urandom(8).hex()
        await user.bus.samples.publish(subject, wire.encode_sample(made), id)


async def test_the_questions_about_machines(projector: Any, user: Any) -> None:
    await projector.start()
    now = since_noon()
    await tell(user, sample(now - 60, cpu=10), sample(now, cpu=20), sample(now, agent="b"))
    [machine] = await user.ask("machine", agent="a")
    assert machine["cpu"] == {"mean": 20, "max": 22, "last": 19}
    assert machine["memory"]["mean"] == 100 * 2**20
    assert {row["agent"] for row in await user.ask("machine")} == {"a", "b"}
    gpus = await user.ask("machine_gpus", agent="a")
    assert [(row["gpu"], row["trouble"]) for row in gpus] == [("GPU-0", ""), ("GPU-1", "lost")]
    [task] = await user.ask("machine_tasks", agent="b")
    assert task["task"] == "task00000001"
    assert [row["user"] for row in await user.ask("machine_processes", agent="a")] == ["ada", "eve"]
    for hours in (1, 100):
        assert (
            sum(row["readings"] for row in await user.ask("machine_curve", agent="a", hours=hours))
            == 40
        )
        assert (
            sum(row["readings"] for row in await user.ask("gpu_curve", gpu="GPU-0", hours=hours))
            == 60
        )
    assert (await user.ask("status"))[0]["samples_seq"] == 3
    assert await user.sql("SELECT count(*), max(cpu.max) FROM machine_samples") == [[3, 22.0]]
    assert await user.sql("SELECT sum(readings)::BIGINT FROM gpu_hours") == [[120]]


async def test_a_tasks_curve_is_that_of_its_last_attempt(projector: Any, user: Any) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    shares = sample().shares
    assert shares
    own = msgspec.structs.replace(shares, task=(task.id,), claim=(task.attempts[0].claim,))
    await tell(user, sample(since_noon(), shares=own))
    [minute] = await user.ask("task_curve", task=task.id)
    assert (minute["attempt"], minute["cpu"]["mean"]) == (1, 200)
    assert await user.sql("SELECT t.name FROM task_latest JOIN tasks t USING (task)") == [["train"]]


async def test_killed_again_and_again_it_has_every_sample_once(
    projector: Any, user: Any, until: Any
) -> None:
    now = since_noon()
    for round in range(4):
        await projector.start()
        # Two hours apart: each round has minutes and hours to sum up.
        await tell(user, *(sample(now - 90_000 + round * 7200 + at) for at in range(0, 600, 20)))
        assert (await user.ask("status"))[0]["samples_seq"] == 30 * (round + 1)
        assert projector.end(signal.SIGKILL) == -signal.SIGKILL
    await projector.start()
    assert await user.sql("SELECT count(*), count(DISTINCT ts) FROM machine_samples") == [
        [120, 120]
    ]

    async def summed_up() -> bool:
        return bool(await user.sql("SELECT 1 FROM machine_hours HAVING sum(readings) = 2400"))

    await until(summed_up)
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_a_lost_end_is_forgotten(projector: Any, user: Any) -> None:
    await projector.start()
    now = since_noon()
    await tell(user, sample(now - 8000), sample(now))
    await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    database = projector.database()
    database.execute("UPDATE _positions SET seq = seq + 5 WHERE stream = 'EVQSAM'")
    for table in ("_machine_samples", "_machine_minutes", "_machine_hours"):
        lost = "SELECT 6 AS seq, ts, agent, readings, cpu FROM _machine_samples WHERE seq = 2"
        database.execute(f"INSERT INTO {table} BY NAME {lost}")
    database.execute("INSERT INTO _rolled VALUES ('minute', 6), ('hour', 6)")
    database.close()
    await projector.start()
    assert "EVQSAM has lost its end: back to 2" in projector.said
    assert await user.sql("SELECT sum(readings)::BIGINT FROM machine_hours") == [[40]]
    await tell(user, sample(now, cpu=77))
    assert [row["cpu"]["mean"] for row in await user.ask("machine")] == [77]
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_verify_finds_what_is_missing_and_what_is_too_much(projector: Any, user: Any) -> None:
    await projector.start()
    # By a clock that is fast: older samples may be summed up by now, and do not count any more.
    soon = since_noon() + 300
    await tell(user, sample(soon), sample(soon + 60))
    await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said
    database = projector.database()
    database.execute("DELETE FROM _gpu_samples WHERE gpu = 'GPU-0' AND seq = 2")
    hour = "SELECT 'a' AS agent, 7 AS readings, TIMESTAMP '2026-01-01' AS ts"
    database.execute(f"INSERT INTO _task_hours BY NAME {hour}")
    database.close()
    assert await projector.run("--verify") == 1
    assert "agent a: 60 readings of a gpu in the database, 80 in the stream" in projector.said
    assert "agent a: 7 readings of a task in the database, 0 in their minutes" in projector.said


@pytest.mark.parametrize("summed_up", [True, False])
async def test_a_rebuild_keeps_what_the_stream_has_lost(
    projector: Any, user: Any, summed_up: bool
) -> None:
    await projector.start()
    old = since_noon() - 7200
    await tell(user, sample(old), sample(old, agent="gone"), sample(old + 1, cpu=50))
    await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    if summed_up:
        database = projector.database()
        for unit in (MINUTE, HOUR):
            roll_up(database, unit, time.time())
        database.close()
    await user.bus.requests.api("STREAM.PURGE.EVQSAM", {"seq": 3})
    await tell(user, sample(old + 7200, cpu=30))
    assert await projector.run("--rebuild") == 0, projector.said
    await projector.start()
    assert await user.sql("SELECT count(*) FROM machine_samples") == [[4]]
    assert await user.sql("SELECT sum(readings)::BIGINT, max(cpu.max) FROM machine_hours") == [
        [80, 52.0]
    ]
    assert await user.sql("SELECT agent, cpu.mean FROM machine_latest ORDER BY agent") == [
        ["a", 30.0],
        ["gone", 10.0],
    ]
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_what_is_older_than_it_is_to_be_kept_goes(
    projector: Any, user: Any, until: Any
) -> None:
    now = since_noon()
    await tell(user, sample(now - 3 * 86_400, cpu=5), sample(now, cpu=6))
    await projector.start()

    async def gone() -> bool:
        return bool((await user.ask("status"))[0]["samples"] == 1)

    await until(gone)
    assert await user.sql("SELECT cpu.mean FROM machine_minutes ORDER BY ts") == [[5.0], [6.0]]
