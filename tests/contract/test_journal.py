"""A service's journal: one fold, one who writes, and nothing lost when that one dies."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from evq.core import subjects, wire
from evq.core.errors import Conflict, Superseded, UsageError
from evq.core.journal import Decided, Noted, holder_of
from evq.core.ports import Entry
from evq.core.sdk.client import Client
from evq.core.sdk.journal import Journal, journals


class Counted(msgspec.Struct, frozen=True, tag_field="what", tag="counted"):
    number: int


class Stopped(msgspec.Struct, frozen=True, tag_field="what", tag="stopped"):
    why: str


Fact = Counted | Stopped


class State(msgspec.Struct, frozen=True):
    numbers: tuple[int, ...] = ()
    stopped: str = ""


def evolve(state: State, noted: Noted[Fact]) -> State:
    match noted.fact:
        case Counted(number):
            return State((*state.numbers, number), state.stopped)
        case Stopped(why):
            return State(state.numbers, why)


def count(state: State) -> tuple[Fact, str] | None:
    if state.stopped:
        return None
    number = len(state.numbers)
    return Counted(number), f"number {number}"


def stop(state: State) -> tuple[Fact, str]:
    return Stopped("enough"), "enough"


async def journal(bus: Any, holder: str = "", name: str = "numbers") -> Journal[State, Fact]:
    made = Journal(Client(bus), "counter", name, facts=Fact, start=State(), evolve=evolve)
    await made.load()
    if holder:
        await made.take(holder)
    return made


async def test_what_was_decided_is_read_by_the_next(bus: Any) -> None:
    first = await journal(bus, holder_of("t", 1))
    for _ in range(3):
        await first.decide(count)
    second = await journal(bus, holder_of("t", 2))
    assert second.state == State((0, 1, 2))
    noted = await second.decide(count)
    assert noted is not None
    assert (noted.fact, noted.words, noted.holder) == (Counted(3), "number 3", "t.2")


async def test_an_older_holder_is_refused(bus: Any) -> None:
    old = await journal(bus, "t.1")
    await old.decide(count)
    await journal(bus, "t.2")
    with pytest.raises(Superseded, match="another attempt"):
        await old.decide(count)
    assert (await journal(bus)).state == State((0,))


async def test_a_person_may_have_a_say_between_two_decisions(bus: Any) -> None:
    controller, person = await journal(bus, "t.1"), await journal(bus)
    await controller.decide(count)
    await person.decide(stop)
    assert await controller.decide(count) is None
    assert controller.state == person.state == State((0,), "enough")


async def test_two_people_count_on(bus: Any) -> None:
    one, two = await journal(bus), await journal(bus)
    for _ in range(4):
        await one.decide(count)
        await two.decide(count)
    assert (await journal(bus)).state.numbers == tuple(range(8))


async def test_a_follower_sees_what_others_and_what_it_decides(bus: Any) -> None:
    controller, person = await journal(bus, "t.1"), await journal(bus)
    seen: list[Fact] = []
    async with aclosing(controller.follow()) as decided:
        await person.decide(count)
        async for noted in decided:
            seen.append(noted.fact)
            if isinstance(noted.fact, Stopped):
                break
            if len(seen) == 1:
                await controller.decide(count)
                await person.decide(stop)
    assert seen == [Counted(0), Counted(1), Stopped("enough")]
    assert controller.state == State((0, 1), "enough")


async def test_a_follower_hears_that_another_speaks(bus: Any) -> None:
    old = await journal(bus, "t.1")
    async with aclosing(old.follow()) as decided:
        new = await journal(bus, "t.2")
        await new.decide(count)
        with pytest.raises(Superseded):
            async for _ in decided:
                pass


async def test_decisions_made_at_once_are_each_folded_once(bus: Any) -> None:
    made = await journal(bus, "t.1")
    async with aclosing(made.follow()) as decided:
        await asyncio.gather(*(made.decide(count) for _ in range(10)), made.catch_up())
        seen = [await anext(decided) for _ in range(10)]
    assert made.state.numbers == tuple(range(10))
    assert [noted.fact for noted in seen] == [Counted(number) for number in range(10)]


async def test_journals_are_known_by_name(bus: Any) -> None:
    assert await journals(Client(bus), "counter") == []
    for name in ("b", "a"):
        await (await journal(bus, name=name)).decide(count)
    assert await journals(Client(bus), "counter") == ["a", "b"]
    assert await journals(Client(bus), "other") == []


async def test_a_decision_of_a_newer_evq_is_not_passed_over(bus: Any) -> None:
    client = Client(bus)
    newer = Decided(service="counter", name="numbers", words="a jump", fact={"what": "jumped"})
    envelope = client.author.envelope(newer)
    subject = subjects.service_events("counter", "numbers")
    await bus.log.append(Entry(subject, wire.encode(envelope), envelope.id))
    with pytest.raises(Conflict, match="cannot be read"):
        await journal(bus)


async def test_too_long_a_decision_is_refused(bus: Any) -> None:
    with pytest.raises(UsageError, match="too long"):
        await (await journal(bus)).decide(lambda _: (Stopped("x" * 600_000), "long"))
