"""What a trigger would have matched in the past: read from the log, and nothing is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from ...core.events import Metric
from ...core.sdk.client import Client
from ...core.sdk.watch import Measured
from ...core.subjects import TELEMETRY_SUBJECTS, parse_telemetry
from ...core.wire import decode_telemetry
from .conditions import Condition, Crossing, Events, LongQueue
from .facts import Matched
from .matching import Matcher


async def matches(client: Client, name: str, on: Condition, since: int) -> AsyncIterator[Matched]:
    """The matches since a moment, in microseconds since 1970, up to now.

    How long a queue was is not in the log, so that nothing is said of such a trigger.
    """
    matcher = Matcher(client)
    match on:
        case Events():
            log = client.bus.log
            first, last = await log.seq_at(since), await log.last_seq()
            if first >= last:
                return
            async with aclosing(client.watch(first)) as events:
                async for seen in events:
                    if matched := await matcher.event(name, on, seen):
                        yield matched
                    if seen.seq >= last:
                        return
        case Crossing():
            crossed = set[str]()
            async for told in _measured(client, since):
                if told.task not in crossed and (matched := await matcher.metric(name, on, told)):
                    crossed.add(told.task)
                    yield matched
        case LongQueue():
            return


async def _measured(client: Client, since: int) -> AsyncIterator[Measured]:
    """The points of all metrics since a moment, up to now."""
    telemetry = client.bus.telemetry
    first, last = await telemetry.seq_at(since), await telemetry.last_seq()
    if first >= last:
        return
    async with telemetry.follow(first + 1, (TELEMETRY_SUBJECTS,)) as batches:
        async for batch in batches:
            for stored in batch:
                record, place = decode_telemetry(stored.data), parse_telemetry(stored.subject)
                if place and isinstance(record, Metric):
                    yield Measured(stored.seq, place[1], record)
                if stored.seq >= last:
                    return
