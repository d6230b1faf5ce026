"""The controller of all schedules of a server: writes down what is due, then enqueues it.

The task of a due time has a key that follows from the journal. So whoever goes on after a crash
enqueues it again, and there is still one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from functools import partial

from ...core.errors import Conflict, EvqError, Superseded
from ...core.ports import BusAway
from ...core.sdk.author import now
from ...core.sdk.bulk import end_each
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal, journals
from ...core.sdk.watch import watch
from ...core.subjects import service_events
from ..enqueueing import enqueue
from ..journals import Journals
from .decide import clock, decide, task_for
from .due import due_between, next_due
from .facts import Due, Fact, Ran, Refused, State, evolve
from .last import unended
from .when import When

SERVICE = "schedule"
CONTROLLER = "schedules"
"""One controller serves all schedules; this is its name."""

LOOK_AGAIN = 30.0
"""Seconds after which the clock is looked at again: it may have been set."""


JOURNALS: Journals[State, Fact] = Journals(SERVICE, facts=Fact, start=State(), evolve=evolve)
open_journal, load_journal, all_schedules = JOURNALS.open, JOURNALS.load, JOURNALS.all


async def serve(client: Client, holder: str) -> None:
    """Do what schedules say, speaking for them as `holder`, until another attempt takes over."""
    async with asyncio.TaskGroup() as group:
        news = asyncio.Event()
        group.create_task(_listen(client, news))
        controller = Controller(client, holder)
        while True:
            news.clear()
            try:
                await controller.look()
            except BusAway as away:
                await client.bus.wait(away)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), controller.seconds_left())


async def _listen(client: Client, news: asyncio.Event) -> None:
    """Set `news` whenever somebody decides something about a schedule."""
    last = await client.bus.log.last_seq()
    async with aclosing(watch(client.bus, last, (service_events(SERVICE, "*"),))) as events:
        async for _ in events:
            news.set()


class Controller:
    """One run of the controller, with the journals of all schedules."""

    def __init__(self, client: Client, holder: str) -> None:
        self._client = client
        self._holder = holder
        self._journals: dict[str, Journal[State, Fact]] = {}

    async def look(self) -> None:
        """Do all that is due in any schedule."""
        for name in await journals(self._client, SERVICE):
            try:
                await self._look_at(await self._journal(name))
            except Superseded:
                raise
            except EvqError as error:
                # One that cannot be read, or whose time zone is not known here, stops no other.
                print(f"{name}: {error}", flush=True)

    async def _journal(self, name: str) -> Journal[State, Fact]:
        journal = self._journals.get(name)
        if journal is None:
            journal = open_journal(self._client, name)
            await journal.load()
            await journal.take(self._holder)
            self._journals[name] = journal
        else:
            await journal.catch_up()
        return journal

    async def _look_at(self, journal: Journal[State, Fact]) -> None:
        while True:
            if due := journal.state.pending:
                await self._carry_out(journal, due)
            if _choose(journal.state, last_runs=False) is None:
                return
            last_runs = bool(await self._unended(journal.state))
            if not await journal.decide(partial(_choose, last_runs=last_runs)):
                return

    async def _carry_out(self, journal: Journal[State, Fact], due: Due) -> None:
        """Enqueue the task of a due time, as often as it takes, and write down that it is there."""
        state = journal.state
        left = await self._unended(state)
        definition = state.definition
        assert definition is not None
        if definition.overlap == "replace":
            await self._end(left, f"schedule {journal.name} is due again")
        try:
            spec = task_for(journal.name, state, due, unended=left)
            ran = Ran(
                due.at, await enqueue(self._client, spec, definition.array), bool(definition.array)
            )
        except EvqError as error:
            why = str(error)
            await journal.decide(lambda _: (Refused(due.at, why), f"cannot enqueue it: {why}"))
        else:
            words = f"enqueued {ran.text}{_next(state, due)}"
            await journal.decide(lambda _: (ran, words))

    async def _end(self, tasks: Sequence[str], reason: str) -> None:
        abort = partial(self._client.abort, reason=reason)
        for one in await end_each(self._client, tasks, abort):
            if one.error and not isinstance(one.error, Conflict):  # else it has ended meanwhile
                raise one.error

    async def _unended(self, state: State) -> list[str]:
        """What of the last due time has not ended, as far as the next one wants to know."""
        overlap = state.definition.overlap if state.definition else "several"
        if state.last is None or overlap == "several":
            return []
        return await unended(self._client, state.last, all_of_them=overlap != "skip")

    def seconds_left(self) -> float:
        """How long nothing is due."""
        moment = now()
        states = [journal.state for journal in self._journals.values()]
        coming = [
            at
            for state in states
            if state.definition and not state.paused
            if (at := _next_due(state.definition.when, state.until))
        ]
        left = (min(coming) - moment) / 1e6 if coming else LOOK_AGAIN
        return min(LOOK_AGAIN, max(0.0, left))


def _next_due(when: When, after: int) -> int | None:
    """The next due time; null also of what this machine cannot reckon with."""
    with suppress(EvqError):
        return next_due(when, after)
    return None


def _next(state: State, due: Due) -> str:
    """When it is due after that, in words; empty if never."""
    when = state.definition and state.definition.when
    at = next_due(when, max(state.until, due.at)) if when else None
    return f"; next {clock(at, when.zone)}" if at and when else ""


def _choose(state: State, *, last_runs: bool) -> tuple[Fact, str] | None:
    if state.definition is None:
        return None
    return decide(state, now(), partial(due_between, state.definition.when), last_runs=last_runs)
