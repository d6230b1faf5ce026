"""The port `Calls`: words that may be lost, and answers in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from evq.core.errors import EvqError, NotFound, ProjectorAway, QueryFailed

SUBJECT = "evqsvc.test"


async def ask(bus: Any, data: bytes = b"", timeout: float = 20.0) -> list[bytes]:
    return [part async for part in bus.calls.ask(SUBJECT, data, timeout)]


async def count_up(data: bytes) -> AsyncIterator[bytes]:
    for number in range(int(data)):
        yield b"%d" % number


async def test_parts_come_in_order(bus: Any, peer: Any) -> None:
    async with bus.calls.serve(SUBJECT, count_up):
        for parts in (0, 1, 50):
            assert await ask(peer, b"%d" % parts) == [b"%d" % number for number in range(parts)]


async def test_an_empty_part_is_a_part(bus: Any, peer: Any) -> None:
    async def answer(data: bytes) -> AsyncIterator[bytes]:
        for part in (b"", b"x", b""):
            yield part

    async with bus.calls.serve(SUBJECT, answer):
        assert await ask(peer) == [b"", b"x", b""]


async def test_several_ask_at_once(bus: Any, peer: Any) -> None:
    async with bus.calls.serve(SUBJECT, count_up):
        answers = await asyncio.gather(*(ask(peer, b"%d" % n) for n in range(20)))
    assert [len(answer) for answer in answers] == list(range(20))


@pytest.mark.parametrize("kind", [QueryFailed, NotFound, EvqError])
async def test_an_error_travels_whole(bus: Any, peer: Any, kind: type[EvqError]) -> None:
    async def answer(data: bytes) -> AsyncIterator[bytes]:
        yield b"first"
        raise kind("what ä", why="line one\nline two", fix="do\tthis")

    seen = []
    async with bus.calls.serve(SUBJECT, answer):
        with pytest.raises(EvqError) as caught:
            async for part in peer.calls.ask(SUBJECT, b"", 20):
                seen.append(part)
    error = caught.value
    assert (type(error), error.what, error.why, error.fix) == (
        kind,
        "what ä",
        "line one\nline two",
        "do\tthis",
    )
    assert seen == [b"first"]


async def test_a_mistake_of_the_one_who_serves_is_told(bus: Any, peer: Any) -> None:
    """It must not look like silence to the one who asks."""

    async def answer(data: bytes) -> AsyncIterator[bytes]:
        yield b"first"
        raise ZeroDivisionError("oh")

    async with bus.calls.serve(SUBJECT, answer):
        with pytest.raises(EvqError, match="ZeroDivisionError"):
            await ask(peer)


async def test_nobody_serves(bus: Any, peer: Any) -> None:
    with pytest.raises(ProjectorAway):
        await ask(peer)
    async with bus.calls.serve(SUBJECT, count_up):
        assert await ask(peer, b"1") == [b"0"]
    with pytest.raises(ProjectorAway):
        await ask(peer)


async def test_whoever_is_too_slow_is_away(bus: Any, peer: Any) -> None:
    async def answer(data: bytes) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async with bus.calls.serve(SUBJECT, answer):
        with pytest.raises(ProjectorAway):
            await ask(peer, timeout=0.05)


async def test_a_part_is_made_when_the_one_before_was_taken(bus: Any, peer: Any) -> None:
    made: list[int] = []

    async def answer(data: bytes) -> AsyncIterator[bytes]:
        for number in range(5):
            made.append(number)
            yield b"%d" % number

    async with bus.calls.serve(SUBJECT, answer):
        taken = 0
        async for _ in peer.calls.ask(SUBJECT, b"", 20):
            taken += 1
            assert len(made) == taken
    assert taken == 5


async def test_whoever_stops_asking_stops_the_answer(bus: Any, peer: Any) -> None:
    closed = asyncio.Event()

    async def answer(data: bytes) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
        finally:
            closed.set()

    async with bus.calls.serve(SUBJECT, answer):
        parts = peer.calls.ask(SUBJECT, b"", 20)
        assert await anext(parts) == b"more"
        await parts.aclose()
    await closed.wait()


async def test_tell_reaches_all_who_listen(bus: Any, peer: Any) -> None:
    await bus.calls.tell("evqcmd.w1", b"nobody hears this")
    async with (
        bus.calls.listen("evqcmd.w1") as ours,
        peer.calls.listen("evqcmd.w1") as theirs,
        peer.calls.listen("evqcmd.w2") as others,
    ):
        await peer.calls.tell("evqcmd.w1", b"one")
        await peer.calls.tell("evqcmd.w1", b"two")
        await bus.calls.tell("evqcmd.w2")
        for words in (ours, theirs):
            assert [await anext(words), await anext(words)] == [b"one", b"two"]
        assert await anext(others) == b""
