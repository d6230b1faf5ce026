"""The order inside a queue and priority: who stands first in several lanes together.

A lane is in the order of its messages, but for an *express* lane: that holds the tasks that were
moved, each with a rank among the others. They are few, so all that wait there are looked at, and
what does not go first is handed back at once. With one agent the order is exact; several may
each have the other's first in hand for the moment that a look takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core.events import Again, Envelope
from ...core.ports import BusAway, Delivery, Hints
from ...core.subjects import Level
from ...core.wire import decode

MOST_MOVED = 256
"""Moved tasks of one level that are looked at together."""


def rank(delivery: Delivery) -> float:
    """The task's place among the others of its queue and priority: a lower one goes first."""
    if delivery.level.express:
        message = decode(delivery.data)
        if isinstance(message, Envelope) and isinstance(message.event, Again):
            moved = message.event.rank
            return float(delivery.seq) if moved is None else moved
    return float(delivery.seq)


async def take_in_order(hints: Hints, lanes: Sequence[Level], limit: int) -> list[Delivery]:
    """Up to `limit` deliveries that stand first in the lanes together, in their order."""
    found: list[Delivery] = []
    try:
        for lane in sorted(lanes, key=lambda lane: not lane.express):
            found += await hints.take(lane, MOST_MOVED if lane.express else limit)
    except BusAway:
        await hand_back(found)
        raise
    line = sorted(found, key=rank)
    await hand_back(line[limit:])
    return line[:limit]


async def hand_back(deliveries: Sequence[Delivery]) -> None:
    """Let others have them, in their order."""
    for delivery in deliveries:
        await delivery.later(0)
