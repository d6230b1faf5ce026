"""The controller of all triggers of a server: reads what happens, and does what they say. One that
has a secret has a controller of its own, because secrets are those of a task.

How far each trigger has read follows from its journal. A match is written down before it is acted
on, under a name that makes the act one, however often it is begun.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from ...core.errors import EvqError, ProjectorAway, Superseded
from ...core.ports import BusAway
from ...core.questions import Named
from ...core.sdk.author import now
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal, journals
from ...core.sdk.services import Service, start_service
from ...core.sdk.watch import Measured, Seen
from ...core.subjects import service_events
from ..journals import Journals
from .acting import act
from .conditions import Condition, Crossing, Events, LongQueue
from .facts import Do, Fact, Matched, Read, Shorter, State, evolve, secret_of
from .matching import Matcher
from .signing import read_key

SERVICE = "trigger"
CONTROLLER = "triggers"
"""One controller serves all triggers without a secret; this is its name."""

SECRET = "WEBHOOK_SECRET"
"""The variable in which the controller of a trigger finds what it signs with."""

READ = 5000
"""Messages without a match after which it is written down how far a trigger has read."""

QUEUE_SECONDS = 2.0
"""Seconds between two looks at queues."""

T = TypeVar("T")


JOURNALS: Journals[State, Fact] = Journals(SERVICE, facts=Fact, start=State(), evolve=evolve)
open_journal, load_journal, all_triggers = JOURNALS.open, JOURNALS.load, JOURNALS.all


async def start(client: Client, name: str, do: Do) -> Service:
    """Let the controller of a trigger run; if it has a secret, its agent must know that."""
    if secret := secret_of(do):
        return await start_service(client, SERVICE, name, secrets=(f"{SECRET}={secret}",))
    return await start_service(client, SERVICE, CONTROLLER)


async def serve(client: Client, holder: str, *, name: str) -> None:
    """Do what triggers say, speaking for them as `holder`, until another attempt takes over: all
    that have no secret, or the one that is called so. Raises `UsageError` if that cannot sign."""
    secret, key = "", b""
    if name != CONTROLLER:
        (given,) = (await client.get(os.environ["EVQ_TASK_ID"])).spec.secrets
        secret, key = given.partition("=")[2], read_key(os.environ[SECRET])
    async with asyncio.TaskGroup() as group:
        await Controller(client, holder, group, name, secret, key).run()


class Controller:
    """One run of a controller, with the journals of its triggers."""

    def __init__(
        self,
        client: Client,
        holder: str,
        group: asyncio.TaskGroup,
        name: str,
        secret: str,
        key: bytes,
    ) -> None:
        """`name` as in `serve`; `secret` is the name of that which holds `key`."""
        self._client = client
        self._holder = holder
        self._group = group
        self._name, self._secret, self._key = name, secret, key
        self._matcher = Matcher(client)
        self._journals: dict[str, Journal[State, Fact]] = {}
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._metrics: asyncio.Task[None] | None = None
        self._long_since: dict[str, int] = {}

    async def run(self) -> None:
        """Read the log from where the triggers are, and do what they say, for ever."""
        start = await self._client.bus.log.last_seq()
        for name in [self._name] if self._secret else await journals(self._client, SERVICE):
            await self._learn(name)
        self._group.create_task(self._watch_queues())
        start = min([start, *(one.state.cursor for one in self._waiting_for(Events))])
        async with aclosing(self._client.watch(start)) as events:
            async for seen in events:
                if seen.subject.startswith(service_events(SERVICE, "")):
                    name = seen.subject.rpartition(".")[2]
                    if name == self._name or not self._secret:
                        await self._patiently(self._learn, name)
                for journal in self._waiting_for(Events):
                    if seen.seq > journal.state.cursor:
                        await self._patiently(self._hear, journal, seen)

    async def _refresh(self, name: str) -> None:
        """Hear of what people decided about a trigger, and go on with what was begun."""
        journal = self._journals.get(name)
        if journal is None:
            journal = open_journal(self._client, name)
            await journal.load()
            if not self._serves(journal):
                return self._leave(journal)
            await journal.take(self._holder)
            self._journals[name] = journal
            before = None
        else:
            before = journal.state.definition, journal.state.paused
            await journal.catch_up()
            if not self._serves(journal):
                return self._leave(journal)
        if before != (journal.state.definition, journal.state.paused):
            self._restart_metrics()
        self._act(journal)

    def _serves(self, journal: Journal[State, Fact]) -> bool:
        """Whether this is the trigger's controller: one with a secret has its own."""
        definition = journal.state.definition
        return self._secret == (secret_of(definition.do) if definition else "")

    def _leave(self, journal: Journal[State, Fact]) -> None:
        """The trigger is another controller's now. Raises `Superseded` if this had no other."""
        self._journals.pop(journal.name, None)
        self._restart_metrics()
        if self._secret:
            raise Superseded(f"trigger {journal.name} signs with the secret {self._secret} no more")

    async def _decide(
        self, journal: Journal[State, Fact], choose: Callable[[State], tuple[Fact, str] | None]
    ) -> None:
        """Write something down for a trigger, unless it has gone over to another controller."""
        try:
            await journal.decide(choose)
        except Superseded:
            if self._serves(journal):
                raise
            self._leave(journal)

    async def _learn(self, name: str) -> None:
        """The same; one that cannot be read stops no other."""
        try:
            await self._refresh(name)
        except Superseded:
            raise
        except EvqError as error:
            print(f"{name}: {error}", flush=True)

    def _waiting_for(self, kind: type[Condition]) -> list[Journal[State, Fact]]:
        return [
            one
            for one in self._journals.values()
            if one.state.definition
            and not one.state.paused
            and isinstance(one.state.definition.on, kind)
        ]

    async def _patiently(self, work: Callable[..., Awaitable[T]], *given: Any) -> T:
        """What `work` gives, however long the server is away."""
        while True:
            try:
                return await work(*given)
            except BusAway as away:
                await self._client.bus.wait(away)

    # --- looking ------------------------------------------------------------------------------

    async def _hear(self, journal: Journal[State, Fact], seen: Seen) -> None:
        """Look at an event for one trigger."""
        on = _condition(journal, Events)
        matched = await self._matcher.event(journal.name, on, seen)
        await self._note(journal, seen.seq, matched)

    async def _measure(self, journal: Journal[State, Fact], told: Measured) -> None:
        """Look at points of metrics for one trigger."""
        on, matched = _condition(journal, Crossing), None
        if told.task not in journal.state.crossed:
            matched = await self._matcher.metric(journal.name, on, told)
        await self._note(journal, told.seq, matched)

    async def _note(self, journal: Journal[State, Fact], seq: int, matched: Matched | None) -> None:
        """Write down what matched at a sequence, or now and then that nothing did."""

        def choose(state: State) -> tuple[Fact, str] | None:
            if state.definition is None or state.paused or seq <= state.cursor:
                return None
            if matched:
                return matched, f"matches: {matched.words}"
            if seq - state.cursor >= READ:
                return Read(seq), f"has read up to {seq}"
            return None

        await self._decide(journal, choose)
        self._act(journal)

    def _restart_metrics(self) -> None:
        """Read telemetry from where the triggers are that wait for metrics, if there are any."""
        if self._metrics:
            self._metrics.cancel()
        waiting = self._waiting_for(Crossing)
        start = min((one.state.cursor for one in waiting), default=None)
        self._metrics = (
            None if start is None else self._group.create_task(self._watch_metrics(start))
        )

    async def _watch_metrics(self, start: int) -> None:
        async with aclosing(self._client.watch_metrics(start)) as points:
            async for told in points:
                for journal in self._waiting_for(Crossing):
                    if told.seq > journal.state.cursor:
                        await self._patiently(self._measure, journal, told)

    async def _watch_queues(self) -> None:
        while True:
            await asyncio.sleep(QUEUE_SECONDS)
            waiting = self._waiting_for(LongQueue)
            if not waiting:
                continue
            try:
                rows = [row async for row in self._client.rows(Named("workload", {}))]
            except (ProjectorAway, BusAway):
                continue  # nobody knows how long they are; they are looked at again
            lengths = {row["queue"]: row["queued"] for row in rows}
            for journal in waiting:
                await self._patiently(self._judge, journal, lengths)

    async def _judge(self, journal: Journal[State, Fact], lengths: Mapping[str, int]) -> None:
        """Whether a queue has been too long for long enough."""
        on, moment = _condition(journal, LongQueue), now()
        length = lengths.get(on.queue, 0)
        if length <= on.more_than:
            self._long_since.pop(journal.name, None)
            if journal.state.long:
                words = f"queue {on.queue} has {length} tasks again"
                await self._decide(journal, lambda _: (Shorter(), words))
            return
        since = self._long_since.setdefault(journal.name, moment)
        if journal.state.long or (moment - since) / 1e6 < on.seconds:
            return
        matched = Matched(
            id=f"queue-{moment}", seq=0, at=moment, words=f"queue {on.queue} has {length} tasks"
        )

        def choose(state: State) -> tuple[Fact, str] | None:
            return None if state.long else (matched, f"matches: {matched.words}")

        await self._decide(journal, choose)
        self._act(journal)

    # --- acting -------------------------------------------------------------------------------

    def _act(self, journal: Journal[State, Fact]) -> None:
        """Do what is pending, beside the reading, one after the other for each trigger."""
        running = self._acting.get(journal.name)
        if journal.state.pending and (running is None or running.done()):
            work = self._group.create_task(self._do_all(journal))
            self._acting[journal.name] = work

    async def _do_all(self, journal: Journal[State, Fact]) -> None:
        while self._serves(journal) and journal.state.pending and journal.state.definition:
            await self._patiently(self._do, journal, journal.state.definition.do)

    async def _do(self, journal: Journal[State, Fact], do: Do) -> None:
        done = await act(self._client, journal.name, do, journal.state.pending[0], self._key)
        await self._decide(journal, lambda _: done)


C = TypeVar("C", Events, Crossing, LongQueue)


def _condition(journal: Journal[State, Fact], kind: type[C]) -> C:
    definition = journal.state.definition
    assert definition is not None and isinstance(definition.on, kind)
    return definition.on
