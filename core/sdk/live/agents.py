"""The agents that are there, by their presence, and what their machines do, by their samples."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ... import wire
from ...bus.requests import ApiError
from ...fleet.agent_record import AgentRecord
from ...fleet.presence import AgentPresence, decode_presence
from ...fleet.samples import Sample
from ...ports import BusAway, Stored
from ...subjects import SAMPLES_SUBJECTS
from ...words.agents import state_of, why_closed
from .rows import LiveAgent

if TYPE_CHECKING:
    from ..client import Client

LOOK_SECONDS = 1.0
SILENT_SECONDS = 4.0
"""After so long without a word it is looked whether an agent's last one has run out."""


class Agents:
    """Presence and samples of all agents. Only the two `follow`s bring it forward."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._words: dict[str, bytes] = {}
        """What was said under each key of the bucket."""
        self._present: dict[str, AgentPresence] = {}
        self._heard: dict[str, float] = {}
        self._latest: dict[str, AgentPresence] = {}
        """By name, the latest run of each agent that is there."""
        self._samples: dict[str, Sample] = {}
        self._agents: dict[str, LiveAgent] = {}
        self._built_from: Mapping[str, AgentRecord] | None = None
        self._touched: set[str] = set()
        self._stale: set[str] = set()
        self._queues: set[str] = set()
        self._samples_seq = 0
        self._clock = asyncio.get_running_loop().time

    # --- what there is ------------------------------------------------------------------------

    def known(self, records: Mapping[str, AgentRecord]) -> dict[str, LiveAgent]:
        """Every agent that is known, given what the log has of them."""
        if self._built_from is not records:
            self._built_from = records
            self._agents = {}
            self._stale = {*records, *self._latest}
        for name in self._stale:
            self._agents[name] = self._agent(name, records.get(name))
        self._stale.clear()
        return self._agents

    def _agent(self, name: str, record: AgentRecord | None) -> LiveAgent:
        presence = self._latest.get(name)
        if presence is None:
            return _gone(name, record)
        sample = self._samples.get(name)
        if sample and sample.instance != presence.instance:
            sample = None  # it was started again, and has not said anything yet
        return LiveAgent(
            name=name,
            state=state_of(presence),
            why=why_closed(presence),
            host=presence.host,
            queues=presence.queues,
            slots=presence.slots,
            busy=len(presence.claims),
            since=presence.since or None,
            presence=presence,
            sample=sample,
            record=record,
        )

    def serving(self, queue: str) -> list[AgentPresence]:
        """The agents that serve a queue."""
        found = [one for one in self._latest.values() if queue in one.queues and not one.draining]
        return sorted(found, key=lambda one: one.agent)

    def queue_names(self) -> set[str]:
        """The queues that somebody serves."""
        return {queue for one in self._latest.values() for queue in one.queues}

    def touch(self, names: set[str]) -> None:
        """The log tells something new of these agents."""
        self._stale |= names

    def take_touched(self) -> set[str]:
        """The agents that have changed and were not told of yet."""
        taken, self._touched = self._touched, set()
        self._stale |= taken
        return taken

    def take_queues(self) -> set[str]:
        """The queues whose agents have changed since this was asked last."""
        taken, self._queues = self._queues, set()
        return taken

    # --- presence -----------------------------------------------------------------------------

    async def load(self) -> None:
        """Learn who is there, and what was sampled last."""
        try:
            self._hear(await self._client.bus.presence.all())
            self._samples_seq = await self._client.bus.samples.last_seq()
            self._see(await self._client.bus.samples.latest(SAMPLES_SUBJECTS))
        except (BusAway, ApiError):
            return  # what is followed later says it, too

    async def follow_presence(self, tell: Callable[[], None]) -> None:
        """Hear what agents say, and notice those that say nothing."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(tell))
            group.create_task(self._miss(tell))

    async def _listen(self, tell: Callable[[], None]) -> None:
        async with self._client.bus.presence.follow() as words:
            async for said in words:
                self._hear(said)
                tell()

    async def _miss(self, tell: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._client.bus.connected:
                continue
            end = self._clock() - SILENT_SECONDS
            if all(heard > end for heard in self._heard.values()):
                continue
            try:
                there = await self._client.bus.presence.all()
            except (BusAway, ApiError):
                continue
            # What a killed server has lost is not followed, but it is here.
            self._hear(there)
            for key in [key for key in self._heard if key not in there]:
                self._forget(key)
            tell()

    def _hear(self, said: Mapping[str, bytes]) -> None:
        now = self._clock()
        for key, data in said.items():
            if not data:
                self._forget(key)
                continue
            if self._words.get(key) != data:
                presence = decode_presence(data)
                if presence is None:
                    continue  # who has which name is kept there, too
                self._words[key] = data
                self._present[key] = presence
                self._note(presence)
            self._heard[key] = now

    def _forget(self, key: str) -> None:
        self._words.pop(key, None)
        self._heard.pop(key, None)
        presence = self._present.pop(key, None)
        if presence:
            self._note(presence)

    def _note(self, presence: AgentPresence) -> None:
        """Find out anew which run of the agent is the latest."""
        name = presence.agent
        runs = [one for one in self._present.values() if one.agent == name]
        before = self._latest.pop(name, None)
        if runs:
            self._latest[name] = max(runs, key=lambda one: one.since)
        self._touched.add(name)
        if _serves(before) != _serves(self._latest.get(name)):
            self._queues |= {*(before.queues if before else ()), *presence.queues}

    # --- samples ------------------------------------------------------------------------------

    async def follow_samples(self, tell: Callable[[], None]) -> None:
        """See what agents see of their machines."""
        async with self._client.bus.samples.follow(self._samples_seq + 1) as batches:
            async for batch in batches:
                self._see(batch)
                tell()

    def _see(self, messages: list[Stored]) -> None:
        for stored in messages:
            sample = wire.decode_sample(stored.data)
            if isinstance(sample, Sample):
                self._samples[sample.agent] = sample
                self._touched.add(sample.agent)


def _serves(presence: AgentPresence | None) -> tuple[object, ...]:
    """What of an agent shows in the queues that it serves."""
    if presence is None:
        return ()
    return presence.queues, presence.slots, presence.takes, presence.draining


def _gone(name: str, record: AgentRecord | None) -> LiveAgent:
    """An agent that is not there, as the log has it."""
    if record is None:
        return LiveAgent(name=name, state="silent")
    ended = record.state in ("down", "lost")
    return LiveAgent(
        name=name,
        state=record.state if ended else "silent",
        why=record.reason or "",
        host=record.host or "",
        queues=record.queues,
        slots=record.slots or 0,
        since=record.last_event,
        record=record,
    )
