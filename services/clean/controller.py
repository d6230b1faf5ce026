"""The controller of one cleaning: carries its policy out whenever it is due.

It writes down that a run begins, and from where ages count back. Whoever goes on after a crash
carries that run out once more: what has gone is in no plan any more.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from functools import partial

from ...core.errors import ProjectorAway
from ...core.ports import BusAway
from ...core.sdk.author import now
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal
from ...core.units import size_text
from ...core.words.phrases import count_of
from ..journals import Journals
from .carrying import Freed, carry_out
from .facts import Carried, Fact, State, begin, evolve

SERVICE = "clean"

LOOK_AGAIN = 60.0
"""Seconds after which the clock is looked at again: it may have been set."""

AGAIN_SECONDS = 5.0
"""Seconds between two tries to reach a projector."""

JOURNALS: Journals[State, Fact] = Journals(SERVICE, facts=Fact, start=State(), evolve=evolve)
open_journal, load_journal, all_cleanings = JOURNALS.open, JOURNALS.load, JOURNALS.all


async def serve(client: Client, holder: str, name: str) -> None:
    """Carry out a policy whenever it is due, as `holder`, until it is stopped or another attempt
    takes over."""
    journal = await load_journal(client, name)
    await journal.take(holder)
    news = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(_listen(client, name, news))
        while not journal.state.stopped:
            news.clear()
            try:
                await _look(client, journal)
                pause = _seconds_left(journal.state)
            except BusAway as away:
                await client.bus.wait(away)
                continue
            except ProjectorAway as error:
                print(error, flush=True)
                pause = AGAIN_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), pause)
            await journal.catch_up()
        listening.cancel()


async def _listen(client: Client, name: str, news: asyncio.Event) -> None:
    """Set `news` whenever somebody decides something about the cleaning."""
    journal = open_journal(client, name)
    await journal.load()
    news.set()
    async with aclosing(journal.follow()) as decided:
        async for _ in decided:
            news.set()


async def _look(client: Client, journal: Journal[State, Fact]) -> None:
    """Carry out the run that is due, or that was begun before a crash."""
    if noted := await journal.decide(partial(begin, now=now())):
        print(noted.words, flush=True)
    running, definition = journal.state.running, journal.state.definition
    if running is None or definition is None:
        return
    reason = f"clean {journal.name}"
    freed = await carry_out(
        client, definition.policy, reason, running.at, journal.state.seq, partial(print, flush=True)
    )
    carried = Carried(
        number=running.number,
        tasks=freed.tasks,
        contents=freed.contents,
        messages=freed.messages,
        size=freed.size,
    )
    if noted := await journal.decide(lambda state: _over(state, carried, freed)):
        print(noted.words, flush=True)


def _over(state: State, carried: Carried, freed: Freed) -> tuple[Fact, str] | None:
    if state.running is None or state.running.number != carried.number:
        return None
    return carried, f"run {carried.number} is over: {words_for(freed)}"


def words_for(freed: Freed) -> str:
    """What a run has done, in words."""
    if not freed.tasks and not freed.contents:
        return "nothing had to go"
    return (
        f"{count_of(freed.tasks, 'task')} cleaned, {count_of(freed.contents, 'content')} removed,"
        f" about {size_text(freed.size)} free"
    )


def _seconds_left(state: State) -> float:
    """How long nothing is due."""
    return min(LOOK_AGAIN, max(0.0, (state.due - now()) / 1e6))
