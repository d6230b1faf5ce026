"""The port `Log`: append with an expectation, read back, follow. And `Telemetry`, its cousin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from evq.core.bus.connect import connect
from evq.core.errors import NotFound
from evq.core.ports import BusAway, Entry, Log, Stored, WrongSequence


def entry(subject: str, number: int, expect: int | None = None) -> Entry:
    return Entry(subject, str(number).encode(), f"id-{number}", expect)


async def fill(log: Log, subjects: Sequence[str]) -> None:
    for number, subject in enumerate(subjects, 1):
        assert await log.append(entry(subject, number)) == number


async def collect(batches: AsyncIterator[list[Stored]], count: int) -> list[Stored]:
    found: list[Stored] = []
    async for batch in batches:
        found += batch
        if len(found) >= count:
            break
    return found


def seqs(messages: Sequence[Stored]) -> list[int]:
    return [message.seq for message in messages]


# --- append -----------------------------------------------------------------------------------


async def test_the_first_append_expects_nothing_and_the_next_the_one_before(bus: Any) -> None:
    first = await bus.log.append(entry("evq.t.q.a", 1, expect=0))
    second = await bus.log.append(entry("evq.t.q.a", 2, expect=first))
    assert (first, second) == (1, 2)
    assert await bus.log.last_seq() == 2


@pytest.mark.parametrize("expect", [0, 2, 7])
async def test_a_wrong_expectation_stores_nothing(bus: Any, expect: int) -> None:
    await fill(bus.log, ["evq.t.q.a", "evq.t.q.b"])
    with pytest.raises(WrongSequence):
        await bus.log.append(entry("evq.t.q.a", 9, expect))
    assert await bus.log.last_seq() == 2


async def test_an_expectation_is_about_its_own_subject(bus: Any) -> None:
    await fill(bus.log, ["evq.t.q.a", "evq.t.q.b", "evq.q.q.5.c0.a"])
    assert await bus.log.append(entry("evq.t.q.a", 4, expect=1)) == 4


async def test_one_of_many_wins(bus: Any, peer: Any) -> None:
    await fill(bus.log, ["evq.t.q.a"])
    tries = [
        (bus if number % 2 else peer).log.append(entry("evq.t.q.a", number, expect=1))
        for number in range(10, 30)
    ]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, WrongSequence)] == [2]
    assert seqs(await bus.log.history("evq.t.q.a")) == [1, 2]


async def test_the_same_id_twice_is_one_message(bus: Any, peer: Any) -> None:
    assert await bus.log.append(entry("evq.t.q.a", 1)) == 1
    assert await peer.log.append(entry("evq.t.q.a", 1)) == 1
    assert await bus.log.last_seq() == 1


async def test_an_append_whose_ack_was_lost_is_known_as_ours(bus: Any, peer: Any) -> None:
    """Even when others have written behind it: the same id and expectation give its sequence."""
    await fill(bus.log, ["evq.t.q.a"])
    ours = entry("evq.t.q.a", 7, expect=1)
    seq = await bus.log.append(ours)
    await peer.log.append(entry("evq.t.q.a", 8, expect=seq))
    assert await bus.log.append(ours) == seq
    assert seqs(await bus.log.history("evq.t.q.a")) == [1, 2, 3]


async def test_a_batch_stores_all(bus: Any) -> None:
    entries = [entry("evq.t.q.a", 1, 0), entry("evq.q.q.5.c0.a", 2), entry("evq.t.q.b", 3, 0)]
    assert await bus.log.append_all(entries) == 3
    found = [await bus.log.get(seq) for seq in (1, 2, 3)]
    assert [(m.subject, m.data) for m in found] == [(e.subject, e.data) for e in entries]


@pytest.mark.parametrize("wrong", [0, 1, 2])
async def test_a_batch_with_one_wrong_expectation_stores_none(bus: Any, wrong: int) -> None:
    entries = [entry(f"evq.t.q.{name}", n, 5 if n == wrong else 0) for n, name in enumerate("abc")]
    with pytest.raises(WrongSequence):
        await bus.log.append_all(entries)
    assert await bus.log.last_seq() == 0
    assert await bus.log.append(entry("evq.t.q.a", 9, 0)) == 1


async def test_a_batch_of_one_is_an_append(bus: Any) -> None:
    assert await bus.log.append_all([entry("evq.t.q.a", 1, 0)]) == 1
    assert await bus.log.append_all([entry("evq.t.q.a", 1, 0)]) == 1


async def test_a_batch_of_a_thousand(bus: Any) -> None:
    entries = [entry(f"evq.t.q.x{number}", number, 0) for number in range(1000)]
    assert await bus.log.append_all(entries) == 1000
    assert (await bus.log.get(500)).subject == "evq.t.q.x499"


# --- read back --------------------------------------------------------------------------------


async def test_an_empty_log(bus: Any) -> None:
    assert await bus.log.last_seq() == 0
    assert await bus.log.get(1) is None
    assert await bus.log.last("evq.t.q.a") is None
    assert await bus.log.history("evq.t.q.a") == []


async def test_get(bus: Any) -> None:
    await fill(bus.log, ["evq.t.q.a", "evq.t.q.b"])
    assert await bus.log.get(2) == Stored(2, "evq.t.q.b", b"2")
    assert await bus.log.get(3) is None


async def test_an_event_grows_old_by_the_servers_clock(bus: Any, world: Any, until: Any) -> None:
    await fill(bus.log, ["evq.t.q.a"])
    young = await bus.log.age(1)
    assert 0 <= young < 20
    world.pass_time(30.0)

    async def older() -> bool:
        return bool(await bus.log.age(1) > young)

    await until(older)
    with pytest.raises(NotFound):
        await bus.log.age(2)


async def test_the_servers_clock_tells_what_was_stored_by_when(
    bus: Any, world: Any, until: Any
) -> None:
    await fill(bus.log, ["evq.t.q.a"])
    first = await bus.log.stored_at(1)
    world.pass_time(1.0)

    async def passed() -> bool:
        return bool(await bus.log.age(1) > 0.01)

    await until(passed)
    await bus.log.append(entry("evq.t.q.b", 2))
    second = await bus.log.stored_at(2)
    assert first < second
    times = (first - 1, first, second - 1, second, second + 10**9)
    assert [await bus.log.seq_at(at) for at in times] == [0, 1, 1, 2, 2]
    with pytest.raises(NotFound):
        await bus.log.stored_at(3)


async def test_the_last_message_until_a_sequence(bus: Any) -> None:
    await fill(bus.log, ["evq.t.q.a", "evq.t.q.b", "evq.t.q.a"])
    found = [await bus.log.last("evq.t.q.a", until) for until in (0, 1, 2, 3, 9)]
    assert [stored and stored.seq for stored in found] == [None, 1, 1, 3, 3]
    assert (await bus.log.last("evq.t.q.*", 2)).seq == 2


async def test_history_is_in_order_and_begins_after(bus: Any) -> None:
    await fill(bus.log, ["evq.t.q.a", "evq.t.q.b"] * 4)
    assert seqs(await bus.log.history("evq.t.q.a")) == [1, 3, 5, 7]
    assert seqs(await bus.log.history("evq.t.q.a", after=3)) == [5, 7]
    assert seqs(await bus.log.history("evq.t.q.a", after=4)) == [5, 7]
    assert await bus.log.history("evq.t.q.a", after=7) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("evq.q.*.*.*.a", [1, 4]),
        ("evq.t.q.*", [2, 3]),
        ("evq.t.>", [2, 3]),
        ("evq.*.q.>", [1, 2, 3]),
        ("evq.t.*", []),
        ("evq.q.*.*.*.z", []),
    ],
)
async def test_patterns(bus: Any, pattern: str, found: list[int]) -> None:
    await fill(bus.log, ["evq.q.q.5.c0.a", "evq.t.q.a", "evq.t.q.b", "evq.q.other.9.c0.a"])
    assert seqs(await bus.log.history(pattern)) == found
    first = await bus.log.first(pattern)
    assert (first.seq if first else None) == (found[0] if found else None)
    last = await bus.log.last(pattern)
    assert (last.seq if last else None) == (found[-1] if found else None)


# --- follow -----------------------------------------------------------------------------------


async def test_follow_begins_at_a_sequence_and_goes_on_live(bus: Any, peer: Any) -> None:
    await fill(bus.log, ["evq.t.q.a"] * 5)
    async with bus.log.follow(3) as batches:
        assert seqs(await collect(batches, 3)) == [3, 4, 5]
    async with bus.log.follow(5) as batches:
        first = await anext(batches)
        await peer.log.append_all([entry("evq.t.q.b", n) for n in (6, 7, 8)])
        assert seqs(first) + seqs(await collect(batches, 3)) == [5, 6, 7, 8]


async def test_follow_waits_for_what_is_not_there_yet(bus: Any, peer: Any) -> None:
    async with bus.log.follow(1) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        await peer.log.append(entry("evq.t.q.a", 1))
        assert seqs(await waiting) == [1]


async def test_follow_while_others_write_misses_nothing(bus: Any, peer: Any) -> None:
    async def write() -> None:
        for number in range(200):
            await peer.log.append(entry("evq.t.q.a", number))

    writing = asyncio.ensure_future(write())
    async with bus.log.follow(1) as batches:
        assert seqs(await collect(batches, 200)) == list(range(1, 201))
    await writing


async def test_follow_more_than_one_batch(bus: Any) -> None:
    for start in range(0, 9000, 1000):
        await bus.log.append_all([entry("evq.t.q.a", start + n) for n in range(1000)])
    async with bus.log.follow(1) as batches:
        assert seqs(await collect(batches, 9000)) == list(range(1, 9001))


async def test_follow_large_messages(bus: Any) -> None:
    """More bytes than one pull brings."""
    for number in range(30):
        await bus.log.append(Entry("evq.t.q.a", bytes(800_000), f"id-{number}"))
    async with bus.log.follow(1) as batches:
        found = await collect(batches, 30)
    assert seqs(found) == list(range(1, 31))
    assert {len(message.data) for message in found} == {800_000}


async def test_follow_some_subjects(bus: Any) -> None:
    await fill(bus.log, ["evq.t.q.a", "evq.t.q.b", "evq.t.r.c", "evq.x.agent.w", "evq.t.q.a"])
    async with bus.log.follow(1, ["evq.t.q.a", "evq.x.>"]) as batches:
        assert seqs(await collect(batches, 3)) == [1, 4, 5]


async def test_telemetry_is_stored_once_and_followed(bus: Any, peer: Any) -> None:
    for _ in range(2):
        await bus.telemetry.publish("evqtel.q.a.w", b"x", "id-1")
    await bus.telemetry.publish("evqtel.q.b.w", b"y", "id-2")
    async with peer.telemetry.follow(1) as batches:
        assert [m.data for m in await collect(batches, 2)] == [b"x", b"y"]
    assert await bus.log.last_seq() == 0


# --- when the server or the wire fails: real ones only ----------------------------------------


async def store(bus: Any, entry: Entry) -> int:
    """Append as everybody does who must: the same entry until its outcome is known."""
    while True:
        try:
            return await bus.log.append(entry)
        except BusAway as away:
            await bus.wait(away)


@pytest.mark.parametrize("rounds_unread", [set(), {1}])
async def test_follow_survives_a_killed_server(
    own_nats_server: Any, rounds_unread: set[int]
) -> None:
    server = own_nats_server
    async with connect(server.login, "test", 30) as bus, connect(server.login, "peer", 30) as peer:
        await bus.prepare()
        async with bus.log.follow(1) as batches:
            seen: list[Stored] = []
            for round in range(3):
                for number in range(round * 10, round * 10 + 10):
                    await store(peer, entry("evq.t.q.a", number))
                if round not in rounds_unread:
                    seen += await collect(batches, (round + 1) * 10 - len(seen))
                await asyncio.to_thread(server.restart)
            await store(peer, entry("evq.t.q.a", 99))
            seen += await collect(batches, 31 - len(seen))
            assert seqs(seen) == list(range(1, 32))


async def test_an_append_whose_answer_is_lost_can_be_repeated(
    jetstream_bus: Any, wire: Any, until: Any
) -> None:
    cable, login = wire
    async with connect(login, "test", 30) as bus:
        first = await bus.log.append(entry("evq.t.q.a", 1, 0))
        ours = entry("evq.t.q.a", 2, first)
        cable.mute = True
        waiting = asyncio.ensure_future(bus.log.append(ours))
        await until(lambda: _stored(jetstream_bus, 2))
        cable.cut()
        with pytest.raises(BusAway):
            await waiting
        cable.mute = False
        await jetstream_bus.log.append(entry("evq.t.q.a", 3, 2))  # others go on behind it
        assert await store(bus, ours) == 2
        assert seqs(await bus.log.history("evq.t.q.a")) == [1, 2, 3]


async def _stored(bus: Any, seq: int) -> bool:
    return await bus.log.last_seq() == seq


async def test_while_the_server_is_away_nothing_is_kept_for_later(own_nats_server: Any) -> None:
    server = own_nats_server
    async with connect(server.login, "test", 30) as bus:
        await bus.prepare()
        await asyncio.to_thread(server.kill)
        with pytest.raises(BusAway):
            await bus.log.append(entry("evq.t.q.a", 1, 0))
        await asyncio.to_thread(server.start)
        assert await store(bus, entry("evq.t.q.a", 2, 0)) == 1
        assert await bus.log.last_seq() == 1


async def test_many_appends_under_a_killed_server_are_one_message_each(
    own_nats_server: Any,
) -> None:
    server = own_nats_server
    async with connect(server.login, "test", 30) as bus:
        await bus.prepare()
        entries = [entry(f"evq.t.q.x{number}", number, 0) for number in range(300)]
        writing = [asyncio.ensure_future(store(bus, entry)) for entry in entries]
        await writing[0]
        await asyncio.to_thread(server.restart)
        assert sorted(await asyncio.gather(*writing)) == list(range(1, 301))
    async with connect(server.login, "reader", 30) as reader:
        assert await reader.log.last_seq() == 300


async def test_follow_leaves_no_gap_where_messages_were_lost_on_the_wire(
    jetstream_bus: Any, wire: Any, until: Any
) -> None:
    cable, login = wire
    writer = jetstream_bus
    async with connect(login, "test", 30) as bus, bus.log.follow(1) as batches:
        await fill(writer.log, ["evq.t.q.a"] * 3)
        seen = await collect(batches, 3)
        cable.mute = True
        for number in (4, 5, 6):
            await writer.log.append(entry("evq.t.q.a", number))
        cable.cut()
        await until(lambda: not bus.connected)
        cable.mute = False
        await writer.log.append(entry("evq.t.q.a", 7))
        seen += await collect(batches, 4)
        assert seqs(seen) == [1, 2, 3, 4, 5, 6, 7]
