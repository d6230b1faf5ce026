"""A plan, carried out: the events of its tasks first, then what no task names any more.

Each step may be done again by whoever goes on after a crash. What has its event is in no later
plan, and content goes by what the log says alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import msgspec

from ...core.artifacts import NATS
from ...core.decide import Clean
from ...core.errors import ArtifactFailed
from ...core.events import Cleaned, PruneRequested
from ...core.sdk.author import now
from ...core.sdk.cleaning import (
    CODE,
    CONTENT_AGE,
    Wish,
    clean_all,
    forget_telemetry,
    lying,
    remove,
    unnamed,
)
from ...core.sdk.client import Client
from . import looking
from .plan import Content, Plan, plan
from .policy import CacheRule, Policy

SETTLE = 10.0
"""Seconds after the last event: who saw an artifact before it has named it by then."""

CARRIED_OUT = 60.0
"""Seconds that the projector has to let go what the events say, before the stream does."""

Say = Callable[[str], None]


class Freed(msgspec.Struct):
    """What a run has done: tasks that lost something, contents and messages of telemetry that were
    removed, bytes of contents and about those of lines and points."""

    tasks: int = 0
    contents: int = 0
    messages: int = 0
    size: int = 0


async def planned(client: Client, policy: Policy, at: int) -> Plan:
    """What would go at `at`, in microseconds since 1970. Raises `ProjectorAway`."""
    code = await lying(client.bus, CODE)
    sizes: dict[Content, int] = {(CODE, one.digest): one.size for one in code if one.whole}
    return plan(policy, await looking.look(client, sizes), at)


async def carry_out(
    client: Client, policy: Policy, name: str, at: int, since: int, say: Say
) -> Freed:
    """Let go what the policy says, as of `at`; `since` is the sequence from which on the events of
    this run are. `name` stands in their reasons."""
    freed = Freed()
    await _write_events(client, policy, name, at, freed)
    done = await looking.removals(client, since, name)
    freed.tasks = len(done)
    await _remove_contents(client, freed, say)
    await _forget(client, done, freed, say)
    for rule in policy.caches:
        for agent in await pruned_agents(client, rule):
            await client.order(PruneRequested(agent, rule.older, rule.kinds, name))
    return freed


async def pruned_agents(client: Client, rule: CacheRule) -> list[str]:
    """The agents that are there and that a rule is about: each says itself what it removed."""
    names = {one.agent for one in await client.agents()}
    return sorted(
        name for name in names if any(fnmatchcase(name, pattern) for pattern in rule.agents)
    )


async def _write_events(client: Client, policy: Policy, name: str, at: int, freed: Freed) -> None:
    found = await planned(client, policy, at)
    before = at - round(policy.min_age * 1e6)
    wishes = []
    for choice in found.choices:
        reason = f"{name}, rule {choice.rule}: {policy.rules[choice.rule - 1]}"
        wish = Clean(what=choice.what, reason=reason, before=before, size=choice.size)
        wishes.append(Wish(choice.task, wish))
    await clean_all(client.bus, client.author, wishes)
    freed.size = sum(
        size
        for share in found.shares
        for what, size in share.bytes.items()
        if what in ("logs", "metrics")
    )


async def _remove_contents(client: Client, freed: Freed, say: Say) -> None:
    """Remove what nobody names; what is listed before the log is looked at is all that may go."""
    there = {}
    for place in (CODE, *sorted({NATS} | await looking.depots(client))):
        with _told(place, say):
            there[place] = await lying(client.bus, place)
    await asyncio.sleep(SETTLE)
    wanted = await looking.named(client)
    for place, contents in there.items():
        with _told(place, say):
            for one in unnamed(contents, wanted.get(place, ()), now(), CONTENT_AGE):
                if await remove(client.bus, place, one):
                    freed.contents += 1
                    freed.size += one.size


@contextmanager
def _told(place: str, say: Say) -> Iterator[None]:
    """A depot that is out of reach from here keeps no other from being looked at."""
    try:
        yield
    except ArtifactFailed as error:
        say(f"what lies in {place} stays for now: {error}")


async def _forget(client: Client, done: dict[str, list[Cleaned]], freed: Freed, say: Say) -> None:
    """Take lines and points out of their stream, once the projector has let them go: it keeps the
    figures of curves, which it reckons from their points."""
    if done and not await _projector_is_done(client):
        say("the projector is behind: what tasks said stays in its stream for up to 30 days")
        return
    for name, events in done.items():
        task = await client.get(name)
        for event in events:
            freed.messages += await forget_telemetry(client.bus, task, event)


async def _projector_is_done(client: Client) -> bool:
    try:
        async with asyncio.timeout(CARRIED_OUT):
            while True:
                if not (await client.sql("@clean-left"))[0]["attempts"]:
                    return True
                await asyncio.sleep(looking.BEHIND)
    except TimeoutError:
        return False
