"""Retention: what is old goes and nothing else, whoever is killed; a rebuild does the same."""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projecting import caught_up

from evq.core import events, subjects, wire
from evq.core.ports import Entry
from evq.core.retention import MOST_POINTS, Trimmed
from evq.core.sdk.author import now
from evq.core.sdk.export import export
from evq.projector.history.trim import step

SECOND = 1_000_000


async def wish(user: Any, **moments: int | None) -> int:
    """Append an event of retention; its sequence."""
    end = (await user.bus.telemetry.info()).state.last_seq
    event = Trimmed(reason="it is old", telemetry=end, **moments)
    envelope = user.author.envelope(event)
    entry = Entry(subjects.HISTORY_EVENTS, wire.encode(envelope), envelope.id)
    return int(await user.bus.log.append(entry))


async def curve(user: Any, task: Any, at: int, values: list[float], name: str = "loss") -> None:
    """Points of a metric, in records of a thousand."""
    for begin in range(0, len(values), 1000):
        some = values[begin : begin + 1000]
        steps = tuple(range(begin, begin + len(some)))
        record = events.Metric(
            attempt=1,
            claim=task.attempts[0].claim,
            at=tuple(at + number for number in steps),
            name=(name,) * len(some),
            step=steps,
            value=tuple(value if math.isfinite(value) else "nan" for value in some),
        )
        await user.say(task, record)


async def carried_out(user: Any, until: Callable[..., Any]) -> None:
    async def nothing_left() -> bool:
        return bool((await user.ask("trim_left"))[0]["attempts"] == 0)

    await until(nothing_left)


async def test_what_is_old_goes_and_nothing_else(
    projector: Any, user: Any, until: Callable[..., Any]
) -> None:
    await projector.start()
    chance = random.Random(11)
    old = [await user.live((await user.add()).task) for _ in range(4)]
    running = await user.claim((await user.add()).task)
    before = now()
    young = await user.live((await user.add()).task)
    values = {}
    for task in (*old, running, young):
        values[task.id] = [chance.gauss(0, 1) for _ in range(chance.choice([5, 1000, 1001, 7000]))]
        values[task.id][chance.randrange(1, 5)] = math.nan
        await curve(user, task, 5, values[task.id])
        await user.lines(task, "one", "two")
    # Of an old task, but by its clock younger than the wish.
    later = [float(n) for n in range(2000)]
    await curve(user, old[0], before + SECOND, later, "later")
    kept = len(await user.ask("events", limit=10_000))
    await wish(user, metrics=before, logs=before)
    await carried_out(user, until)
    for task in (*old, running, young):
        said = values[task.id]
        (summed,) = [m for m in await user.ask("metrics", task=task.id) if m["name"] == "loss"]
        finite = [value for value in said if math.isfinite(value)]
        assert (summed["n"], summed["first"]) == (len(said), said[0])
        left = await user.sql(
            f"SELECT step, value FROM metrics WHERE task = '{task.id}' AND name = 'loss'"
            " ORDER BY step"
        )
        assert all(
            value == said[number] or (value == "nan" and math.isnan(said[number]))
            for number, value in left
        )
        lines = await user.ask("logs", task=task.id)
        if task in old:
            assert len(left) <= MOST_POINTS
            assert len(left) == len(said) or len(said) > MOST_POINTS
            found = [value for _, value in left if value != "nan"]
            assert (min(found), max(found)) == (min(finite), max(finite))
            assert left[0] == [0, said[0]] and left[-1] == [len(said) - 1, said[-1]]
            assert "nan" in [value for _, value in left]
            assert lines == []
        else:
            assert len(left) == len(said)
            assert [line["text"] for line in lines] == ["one", "two"]
    assert await user.sql("SELECT count(*) FROM metrics WHERE name = 'later'") == [[2000]]
    assert len(await user.ask("events", limit=10_000)) == kept + 1
    assert len(await user.ask("tasks")) == 6
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


async def test_verification_finds_what_went_though_it_had_to_stay(
    projector: Any, user: Any, until: Callable[..., Any]
) -> None:
    await projector.start()
    old = await user.live((await user.add()).task)
    before = now()
    young = await user.live((await user.add()).task)
    for task in (old, young):
        await curve(user, task, 5, [float(n) for n in range(1500)])
        await user.lines(task, "one")
    await wish(user, metrics=before, logs=before)
    await carried_out(user, until)
    assert projector.end(signal.SIGTERM) == 0
    database = projector.database()
    database.execute("DELETE FROM _logs WHERE task = $1", [young.id])
    database.execute("DELETE FROM _metrics WHERE task = $1 AND value = 1499", [old.id])
    database.close()
    assert await projector.run("--verify") == 1
    assert f"task {young.id}: 0 log lines in the database, 1 in the log" in projector.said
    assert f"task {old.id}: loss is not what is left of its curve" in projector.said


async def test_it_is_the_same_whoever_is_killed_and_after_a_rebuild(
    projector: Any, user: Any, until: Callable[..., Any]
) -> None:
    await projector.start()
    chance = random.Random(5)
    for _ in range(3):
        tasks = [await user.live((await user.add()).task) for _ in range(3)]
        tasks.append(await user.claim((await user.add()).task))
        for task in tasks:
            size = chance.choice([10, 1500, 4000])
            await curve(user, task, 5, [chance.random() for _ in range(size)])
            await user.lines(task, "one", "two", "three")
        moments = {what: now() for what in ("metrics", "logs") if chance.random() < 0.8}
        await wish(user, **moments)
        projector.end(signal.SIGKILL)
        await projector.start()
        projector.end(signal.SIGKILL)
        await projector.start()
    # One that ended is put back and runs again after the wish.
    await user.retry(tasks[0].id, "again")
    await carried_out(user, until)
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said
    first = contents(projector)
    assert first["_trimmed"] and await_all_done(projector)
    assert await projector.run("--rebuild") == 0, projector.said
    assert contents(projector) == first
    (projector.store / "evq.duckdb").unlink()
    assert await projector.run("--rebuild") == 0, projector.said
    assert contents(projector) == first
    assert await projector.run("--verify") == 0, projector.said


def contents(projector: Any) -> dict[str, set[tuple[Any, ...]]]:
    """All that the log and telemetry say."""
    database = projector.database()
    try:
        return {
            table: {tuple(map(str, row)) for row in database.rows(f"FROM {table}")}
            for table in (
                *("_tasks", "_attempts", "_events", "_metrics", "_metric_latest", "_logs"),
                "_trimmed",
            )
        }
    finally:
        database.close()


def await_all_done(projector: Any) -> bool:
    return all(row[-1] == "True" for row in contents(projector)["_trimmed"])


async def test_a_rebuild_keeps_curves_of_which_the_stream_has_lost_a_part(
    projector: Any, user: Any, until: Callable[..., Any]
) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    await curve(user, task, 5, [math.sin(n) for n in range(5000)])
    await user.lines(task, "one")
    await wish(user, metrics=now(), logs=now())
    await carried_out(user, until)
    assert projector.end(signal.SIGTERM) == 0
    first = contents(projector)
    for purge in ({"seq": 3}, None):  # the last time everything: it must not be waited for
        await user.bus.requests.api("STREAM.PURGE.EVQTEL", purge)
        assert await projector.run("--rebuild") == 0, projector.said
        assert contents(projector) == first


# Between two copies of a database there are twenty times as long as one takes.
@pytest.mark.timeout(400)
async def test_the_room_is_given_back_and_the_export_keeps_everything(
    projector: Any, user: Any, until: Callable[..., Any], tmp_path: Path
) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    chance = random.Random(2)
    await user.lines(task, *(chance.randbytes(100).hex() for _ in range(3)))
    for number in range(120):
        line = chance.randbytes(300_000).hex()
        record = events.Log(attempt=1, claim=task.attempts[0].claim, first=3 + number, at=(5,),
                            stream="o", text=(line,))  # fmt: skip
        await user.say(task, record)
    await caught_up(user)  # the copy for the export brings all that there is into the file
    await export(user, tmp_path / "history")
    file = projector.store / "evq.duckdb"
    await until(lambda: file.stat().st_size > 30 * 2**20)
    before = file.stat().st_size
    await wish(user, logs=now())
    await carried_out(user, until)
    await until(lambda: file.stat().st_size < before / 4)
    await until(lambda: "gave back" in projector.said)
    other = await user.live((await user.add()).task)
    assert [row["task"] for row in await user.ask("tasks")] == [other.id, task.id]
    assert await user.ask("logs", task=task.id) == []
    done = await export(user, tmp_path / "history")
    assert sum(p.rows for p in done.manifest.files if p.path.startswith("logs/")) == 123
    left = {path.name for path in projector.store.iterdir() if path.is_file()}
    assert left <= {"evq.duckdb", "evq.duckdb.wal", "said"}
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said


def test_a_step_ends_when_its_time_is_over(projector: Any) -> None:
    database = projector.database()
    database.start("EVQTEL", "then")
    for claim in range(3000):
        database.execute(
            "INSERT INTO _trimmed VALUES ($1, 1, 0, now()::TIMESTAMP, NULL, false)", [claim]
        )
    assert step(database, 0, seconds=0) is False
    left = "SELECT count(*) FROM _trimmed WHERE NOT done"
    assert 0 < database.rows(left)[0][0] < 3000
    while not step(database, 0, seconds=0):
        pass
    assert database.rows(left) == [(0,)]
    assert step(database, 0) is False
    database.close()
