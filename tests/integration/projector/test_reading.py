"""Questions are read beside the writing: nobody waits for a slow one, and each has its moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from evq.core.bus.connect import Bus
from evq.core.errors import Conflict, QueryFailed
from evq.projector.follow import Follower, following
from evq.projector.readers import AT_ONCE, Readers
from evq.projector.store import Answer, Ask, Busy, Database

ENDLESS = "SELECT count(*) FROM range(1000000000000000::BIGINT) a, range(1000) b"
EVENTS = "SELECT count(*) FROM _events"


@asynccontextmanager
async def projecting(bus: Bus, path: Path) -> AsyncIterator[Follower]:
    """A follower that follows."""
    async with following(bus, path, lambda text: None) as follower:
        running = asyncio.create_task(follower.run())
        try:
            yield follower
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


class Slow:
    """A question that does not end by itself; `begun` is set when it is being read."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, ask: Ask) -> Answer:
        self._loop.call_soon_threadsafe(self.begun.set)
        return ask(ENDLESS, {})


def count_events(ask: Ask) -> Answer:
    return ask(EVENTS, {})


async def test_slow_questions_delay_neither_the_projection_nor_others(
    bus: Bus, user: Any, tmp_path: Path
) -> None:
    async with projecting(bus, tmp_path / "evq.duckdb") as follower:
        slow = [Slow() for _ in range(AT_ONCE - 1)]
        asking = [asyncio.create_task(follower.ask(question)) for question in slow]
        for question in slow:
            await question.begun.wait()
        for number in range(1, 4):
            await user.add()
            await follower.reach((number, 0, 0))
            seq, answer = await follower.ask(count_events)
            assert (seq, answer.rows) == (number, [(number,)])
        assert not any(task.done() for task in asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        # Whoever went away has left the reader to others.
        again = await asyncio.gather(*(follower.ask(count_events) for _ in range(2 * AT_ONCE)))
        assert {seq for seq, _ in again} == {3}


async def test_a_question_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    database = Database(tmp_path / "evq.duckdb")
    database.start("EVQ", "now")
    readers = Readers(database, seconds=2.0)
    with pytest.raises(QueryFailed, match="ended after 2 s"):
        await readers.ask(lambda ask: ask(ENDLESS, {}))
    assert (await readers.ask(count_events))[1].rows == [(0,)]
    readers.close()
    database.close()


async def test_a_question_is_ended_between_two_queries_too(tmp_path: Path) -> None:
    database = Database(tmp_path / "evq.duckdb")
    database.start("EVQ", "now")
    readers = Readers(database)
    between, on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def question(ask: Ask) -> Answer:
        loop.call_soon_threadsafe(between.set)
        on.wait()
        return ask(ENDLESS, {})

    asking = asyncio.create_task(readers.ask(question))
    await between.wait()
    asking.cancel()
    loop.call_soon(on.set)  # when it has been told to end, and nothing was being read
    with pytest.raises(asyncio.CancelledError):
        await asking
    readers.close()
    database.close()


async def test_the_position_is_that_of_the_rows(bus: Bus, user: Any, tmp_path: Path) -> None:
    async with projecting(bus, tmp_path / "evq.duckdb") as follower:
        told: set[int] = set()

        async def keep_asking() -> None:
            while follower.position[0] < 150:
                seq, answer = await follower.ask(count_events)
                assert answer.rows == [(seq,)]
                told.add(seq)

        askers = [asyncio.create_task(keep_asking()) for _ in range(4)]
        for number in range(1, 151):
            await user.add()
            if number % 10 == 0:
                await follower.catch_up()
        await asyncio.gather(*askers)
        assert len(told) > 2
        assert (await follower.ask(count_events))[0] == 150


async def test_several_queries_of_a_question_see_one_moment(tmp_path: Path) -> None:
    database = Database(tmp_path / "evq.duckdb")
    database.start("EVQ", "now")
    readers = Readers(database)

    def twice(ask: Ask) -> Answer:
        before = ask(EVENTS, {}).rows
        database.execute("INSERT INTO _events (seq) VALUES (1)")
        assert ask(EVENTS, {}).rows == before == [(0,)]
        return ask(EVENTS, {})

    await readers.ask(twice)
    assert (await readers.ask(count_events))[1].rows == [(1,)]
    readers.close()
    database.close()


async def test_the_file_is_let_go_whatever_is_being_read(
    bus: Bus, user: Any, tmp_path: Path
) -> None:
    path = tmp_path / "evq.duckdb"
    async with projecting(bus, path) as follower:
        slow = Slow()
        asking = asyncio.create_task(follower.ask(slow))
        await slow.begun.wait()
    with pytest.raises(Conflict, match="opened again"):
        await asking
    Database(path).close()


# --- copies for users' SQL ------------------------------------------------------------------------


def test_a_held_file_stays_what_it_was_while_much_is_written(tmp_path: Path) -> None:
    database = Database(tmp_path / "evq.duckdb", checkpoint="1MB")
    events = "INSERT INTO _events (seq, kind) SELECT i, 'x' || hash(i) FROM range({}, {}) r(i)"
    total = "SELECT count(*), sum(seq), min(kind), max(kind) FROM _events"
    database.execute(events.format(0, 200_000))
    before = database.rows(total)
    database.hold()
    # Each of these would begin a checkpoint, and the file's blocks would be used anew.
    for part in range(1, 6):
        with database.transaction():
            database.execute(f"DELETE FROM _events WHERE seq % 7 = {part}")
            database.execute(events.format(part * 200_000, (part + 1) * 200_000))
    database.checkpoint()
    database.copy(tmp_path / "copy.duckdb")
    now = database.rows(total)
    database.release()
    database.execute("INSERT INTO _events (seq, kind) VALUES (-1, 'x')")
    assert not (tmp_path / "evq.duckdb.wal").exists()
    database.close()
    copied = Database(tmp_path / "copy.duckdb")
    assert copied.rows(total) == before != now
    copied.close()


async def test_a_copy_is_of_the_positions_that_it_is_said_to_be(
    bus: Bus, user: Any, tmp_path: Path
) -> None:
    async with projecting(bus, tmp_path / "evq.duckdb") as follower:
        await user.add()
        await follower.reach((1, 0, 0))

        async def keep_adding() -> None:
            while True:
                await user.add()

        adding = asyncio.create_task(keep_adding())
        for number in range(5):
            target = tmp_path / f"copy{number}.duckdb"
            lifecycle, _, _ = await follower.copy(target)
            copied = Database(target)
            assert copied.rows(EVENTS) == [(lifecycle,)]
            assert copied.positions()["EVQ"].seq == lifecycle
            copied.close()
        adding.cancel()
        with suppress(asyncio.CancelledError):
            await adding


async def test_a_copy_waits_for_who_reads_what_was_before(
    bus: Bus, user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    loop = asyncio.get_running_loop()
    hold = Database.hold

    def told(database: Database) -> None:
        try:
            hold(database)
        except Busy:
            loop.call_soon_threadsafe(refused.set)
            raise

    monkeypatch.setattr(Database, "hold", told)
    async with projecting(bus, tmp_path / "evq.duckdb") as follower:
        await user.add()
        await follower.reach((1, 0, 0))
        reader = await follower.alone(Database.beside)
        with reader.transaction():
            assert reader.rows(EVENTS) == [(1,)]
            await user.add()
            await follower.reach((2, 0, 0))
            copying = asyncio.create_task(follower.copy(tmp_path / "copy.duckdb"))
            await refused.wait()
        lifecycle, _, _ = await copying
        reader.close()
    assert lifecycle == 2
