"""The whole fleet, live: loaded once, and brought forward by the log, presence and samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...bus.requests import ApiError
from ...errors import ProjectorAway
from ...fleet.quiet import quiet_tasks
from ...ports import BusAway, Stored
from .agents import Agents
from .loading import load_before, load_state
from .model import Loaded, Model
from .notice import Notice
from .rows import Changes, LiveAgent, LiveEvent, LiveQueue, LiveTask

if TYPE_CHECKING:
    from ..client import Client

ENDED = 1000
"""Tasks that are kept although they have ended."""

EVENTS = 500
PART = 500
"""Messages that are applied at one go, before others get their turn."""

LOOK_SECONDS = 1.0
FAR_BEHIND = 20_000
"""Events behind which it is faster to load anew."""


class _Reload(Exception):
    """What we have does not lead on to what is there now."""


class LiveFleet:
    """What is known of the fleet now; `live_fleet` keeps it so. Structs that were read stay as
    they are, and what the properties give may change at the next `await`."""

    def __init__(self, client: Client, ended: int, events: int) -> None:
        self._client = client
        self._ended, self._events = ended, events
        self._model = Model(Loaded(), ended, events)
        self._agents = Agents(client)
        self._notice = Notice()
        self._queues: dict[str, LiveQueue] = {}
        self._stale: set[str] = set()
        self._created = ""
        """What tells the log from a later one of the same name."""
        self._last_seq = 0
        self._answers = True
        self.projected: int | None = None
        """How far a projector has read the log; null while none answers."""

    # --- what there is ------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The sequence of the last event that is counted in."""
        return self._model.seq

    @property
    def behind(self) -> int:
        """How many events there are in the log that are not counted in yet."""
        return max(0, self._last_seq - self._model.seq)

    @property
    def connected(self) -> bool:
        """Whether the server is there: if not, all this is as it was when it was seen last."""
        return self._answers and self._client.bus.connected

    @property
    def tasks(self) -> Mapping[str, LiveTask]:
        """By id, all tasks that have not ended and the last ones that have."""
        return MappingProxyType(self._model.tasks)

    @property
    def ended(self) -> list[LiveTask]:
        """The last tasks that have ended, the latest first."""
        found = [self._model.tasks[name] for name in self._model.ended]
        return sorted(found, key=lambda task: (task.since, task.seq), reverse=True)

    def with_agents(self) -> list[LiveTask]:
        """The tasks that an agent has, the latest first."""
        names = (*self._model.few["claimed"], *self._model.few["running"])
        quiet = self.quiet
        found = [replace(self._model.tasks[name], quiet=quiet.get(name)) for name in names]
        return sorted(found, key=lambda task: task.since, reverse=True)

    @property
    def quiet(self) -> dict[str, int]:
        """The tasks that are quiet, and since when; see `fleet.quiet`."""
        return quiet_tasks(one.presence for one in self.agents.values() if one.presence)

    def held(self, count: int) -> list[LiveTask]:
        """Tasks that wait for others, in the order of their coming."""
        return [self._model.tasks[name] for name in islice(self._model.few["held"], count)]

    @property
    def queues(self) -> Mapping[str, LiveQueue]:
        """By name, the queues there are and those that were deleted."""
        for name in self._stale:
            self._queues[name] = self._queue(name)
        self._stale.clear()
        return MappingProxyType(self._queues)

    @property
    def agents(self) -> Mapping[str, LiveAgent]:
        """By name, the agents that are there, and those that have gone."""
        return MappingProxyType(self._agents.known(self._model.records))

    @property
    def recent_events(self) -> list[LiveEvent]:
        """What happened lately, the latest first."""
        return list(reversed(self._model.events))

    def line(self, queue: str, count: int = 50, offset: int = 0) -> list[LiveTask]:
        """The tasks that wait in a queue, in their order."""
        return [
            self._model.tasks[name] for name in self._model.tally(queue).line.first(count, offset)
        ]

    def position(self, task: LiveTask) -> int | None:
        """A task's place in its queue, from 1; null unless it is queued."""
        if task.state != "queued":
            return None
        return self._model.tally(task.queue).line.position(task)

    async def changed(self, version: int = 0, rest: float = 0.05) -> Changes:
        """What has changed since `version`, as soon as something has.

        `rest` is for how many seconds more is gathered after the first change, so that hundreds of
        events are one. Raises what has stopped the fleet from going on, if anything has.
        """
        return await self._notice.after(version, rest)

    async def caught_up(self) -> None:
        """Return when everything is counted in that is in the log now."""
        seen = 0
        while self.behind:
            seen = (await self.changed(seen, rest=0)).version

    # --- bringing it forward ------------------------------------------------------------------

    def _queue(self, name: str) -> LiveQueue:
        serving = self._agents.serving(name)
        names = tuple(one.agent for one in serving)
        return self._model.queue(name, names, sum(one.slots for one in serving if one.takes))

    def _tell(self) -> None:
        """Say what was touched, in the model and of the agents."""
        touched = self._model.touched
        self._agents.touch(touched.agents)
        touched.agents |= self._agents.take_touched()
        touched.queues |= self._agents.take_queues()
        if touched:
            self._stale |= touched.queues
            self._notice.tell(touched.tasks, touched.queues, touched.agents)
            touched.tasks, touched.queues, touched.agents = set(), set(), set()

    async def begin(self) -> None:
        """Load what there is now, and look who answers."""
        with suppress(BusAway):
            try:
                await self._client.bus.log.info()
            except ApiError:
                await self._client.bus.prepare()  # a server that evq has not used before
        await asyncio.gather(self._agents.load(), self.load())
        with suppress(_Reload):
            await self._look()  # or later, when it goes on

    async def run(self) -> None:
        """Go on for ever. What stops it is raised to those who wait for a change."""
        await self._notice.guard(self._go_on())

    async def _go_on(self) -> None:
        """Load anew when the log is another one, or has run far ahead."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._follow_log())
                    group.create_task(self._agents.follow_presence(self._tell))
                    group.create_task(self._agents.follow_samples(self._tell))
                    group.create_task(self._watch())
            except* _Reload:
                await self.load()

    async def load(self) -> None:
        """Begin, or begin anew, with the state as of now."""
        model = await self._load_model()
        self._model, self._last_seq = model, model.seq
        self._queues.clear()
        self._stale = model.queue_names() | self._agents.queue_names()
        self._notice.tell_all()

    async def _load_model(self) -> Model:
        while True:
            try:
                self._created = (await self._client.bus.log.info()).created
                loaded = await load_state(self._client, self._ended, self._events)
                return Model(loaded, self._ended, self._events)
            except BusAway as away:
                await self._client.bus.wait(away)

    async def _follow_log(self) -> None:
        async with self._client.bus.log.follow(self._model.seq + 1) as batches:
            async for batch in batches:
                for start in range(0, len(batch), PART):
                    await self._apply(batch[start : start + PART])

    async def _apply(self, messages: list[Stored]) -> None:
        model = self._model
        wanted = model.unknown_before(messages)
        loaded = await load_before(self._client, wanted) if wanted else {}
        for stored in messages:
            model.apply(stored, loaded)
        self._last_seq = max(self._last_seq, model.seq)
        self._tell()
        await asyncio.sleep(0)

    async def _watch(self) -> None:
        """Look every second how far the log is, whether it is the same, and who answers."""
        while True:
            before = (self.connected, self.projected, self.behind)
            await self._look()
            if before != (self.connected, self.projected, self.behind):
                self._notice.tell((), (), ())
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        try:
            info = await self._client.bus.log.info()
            self._answers = True
        except (BusAway, ApiError):
            self._answers, self.projected = False, None
            return
        self._last_seq = info.state.last_seq
        if info.created != self._created or self._last_seq < self._model.seq:
            raise _Reload
        try:
            self.projected = await self._client.projected()
        except (ProjectorAway, BusAway):
            self.projected = None
            return
        if self.projected - self._model.seq > FAR_BEHIND:
            raise _Reload


@asynccontextmanager
async def live_fleet(
    client: Client, ended: int = ENDED, events: int = EVENTS
) -> AsyncIterator[LiveFleet]:
    """The fleet, kept up to date for as long as the block runs.

    `ended` is how many tasks that have ended are kept, `events` how many events. Needs no
    projector, but without one the log is read from its beginning.
    """
    fleet = LiveFleet(client, ended, events)
    await fleet.begin()
    running = asyncio.create_task(fleet.run())
    try:
        yield fleet
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
