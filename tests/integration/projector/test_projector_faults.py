"""A real projector whose process, disk, streams or server fail."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from evq.core.bus.connect import Bus
from evq.core.bus.requests import ApiError
from evq.core.errors import ProjectorAway
from evq.core.events import Outcome
from evq.core.ports import BusAway
from evq.projector.follow import Follower, following


async def test_killed_again_and_again_it_counts_everything_once(
    projector: Any, user: Any, until: Callable[..., Any]
) -> None:
    chance = random.Random(7)
    enough = asyncio.Event()

    async def work() -> int:
        points = 0
        while not enough.is_set():
            receipt = await user.add()
            outcome = chance.choice([Outcome.COMPLETED, Outcome.FAILED])
            task = await user.live(receipt.task, outcome)
            for _ in range(5):
                values = [chance.random() for _ in range(chance.randrange(1, 20))]
                await user.points(task, *values)
                points += len(values)
        return points

    async def further(than: int) -> bool:
        return int((await user.ask("status"))[0]["lifecycle_seq"]) > than

    working = asyncio.create_task(work())
    for _ in range(5):
        await projector.start()
        reached = int((await user.ask("status"))[0]["lifecycle_seq"])
        goal = reached + chance.randrange(20)
        await until(lambda goal=goal: further(goal))
        assert projector.end(signal.SIGKILL) == -signal.SIGKILL
    enough.set()
    points = await working
    await projector.start()
    last = await user.bus.log.last_seq()
    assert await user.sql("SELECT count(*), count(DISTINCT seq) FROM events") == [[last, last]]
    assert await user.sql("SELECT count(*) FROM metrics") == [[points]]
    assert await user.sql("SELECT sum(n)::BIGINT FROM metric_latest") == [[points]]
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_telemetry_that_its_server_lost_is_forgotten(projector: Any, user: Any) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    await user.points(task, 1.0, 2.0)
    await user.ask("status")
    assert projector.end(signal.SIGTERM) == 0
    database = projector.database()
    database.execute("UPDATE _positions SET seq = seq + 5 WHERE stream = 'EVQTEL'")
    database.execute("INSERT INTO _metrics SELECT place + (3 << 20), claim, task, 1, ts, name, 7, 9"
                     " FROM _metrics LIMIT 1")  # fmt: skip
    database.execute("UPDATE _metric_latest SET value = 9, max = 9, n = 3")
    database.execute("INSERT INTO _logs VALUES (4, $1, $2, 1, 0, NULL, 'stdout', 'lost')",
                     [task.attempts[0].claim, task.id])  # fmt: skip
    database.close()
    await projector.start()
    await user.points(task, 3.0)
    [summed] = await user.ask("metrics", task=task.id)
    assert (summed["first"], summed["last"], summed["max"], summed["n"]) == (1, 3, 3, 3)
    assert not await user.ask("logs", task=task.id)
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_it_goes_on_after_the_database_failed(bus: Bus, user: Any, tmp_path: Path) -> None:
    said: list[str] = []
    async with following(bus, tmp_path / "evq.duckdb", said.append) as follower:
        running = asyncio.create_task(follower.run())
        await user.add()
        await follower.reach((1, 0, 0))
        await follower.alone(lambda database: database.close())
        await user.add()
        await follower.reach((2, 0, 0))
        tasks = await follower.alone(lambda d: d.rows("SELECT count(*) FROM tasks"))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert tasks == [(2,)]
    assert "begins again" in said[0]


async def test_it_waits_while_the_disk_is_nearly_full(
    bus: Bus, user: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    said: list[str] = []
    follower = Follower(bus, tmp_path / "evq.duckdb", said.append, free=lambda path: 2**20)
    await follower.open()
    running = asyncio.create_task(follower.run())
    await user.add()
    await until(lambda: said)
    assert "only 1 MiB are free" in said[0]
    assert follower.position == (0, 0, 0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await follower.close()


async def test_a_second_projector_is_refused_even_after_a_snapshot(
    projector: Any, user: Any
) -> None:
    await projector.start()
    await user.add()
    assert await user.sql("SELECT count(*) FROM tasks") == [[1]]
    assert projector.process is not None
    first, said = projector.process.pid, projector.said
    for options in ((), ("--verify",), ("--rebuild",)):
        assert await projector.run(*options) == 5, options
        assert f"process {first} has it open" in projector.said, said
    assert await user.sql("SELECT count(*) FROM tasks") == [[1]]


async def test_a_stream_that_was_made_anew_is_noticed(projector: Any, user: Any) -> None:
    await projector.start()
    await user.add()
    await user.ask("status")
    with suppress(ApiError):
        await user.bus.requests.api("STREAM.DELETE.EVQ")
    await user.bus.prepare()
    process, projector.process = projector.process, None
    assert process is not None
    assert await asyncio.to_thread(process.wait, 30) == 5, projector.said
    assert "evq projector --rebuild" in projector.said
    assert await projector.run() == 5
    assert "is not the one" in projector.said
    assert await projector.run("--rebuild") == 0, projector.said
    await projector.start()


async def test_it_lives_on_when_the_server_is_killed(
    own_projector: Any, own_user: Any, own_nats_server: Any, until: Callable[..., Any]
) -> None:
    await own_projector.start()
    first = await own_user.add()
    assert await own_user.ask("resolve", prefix=first.task)
    own_nats_server.restart()
    later = await until(lambda: patiently(own_user.add()))
    await until(lambda: patiently(own_user.ask("resolve", prefix=later.task)))


async def patiently(work: Awaitable[Any]) -> Any:
    """What `work` gives, or null while the server or the projector is away."""
    with suppress(BusAway, ProjectorAway, ApiError):
        return await work
