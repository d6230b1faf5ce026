"""The order inside a queue and priority: who stands first in several lanes together.

There is a lane for each resource class, for each user where a queue is shared out fairly, and an
*express* lane beside each of them. A lane is in the order of its messages, but for an express
lane: that holds the tasks that were moved, each with a rank among the others. They are few, so
all that wait there are looked at.

What does not go first is handed back at once, or kept for the next look, which follows at once.
With one agent the order is exact; several may each have the other's first in hand for the moment
that a look takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ...core.events import Again, Envelope
from ...core.ports import Delivery, Hints
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


async def take_in_order(
    hints: Hints,
    lanes: Sequence[Level],
    limit: Callable[[Level], int],
    place: Callable[[Delivery], Any],
) -> list[Delivery]:
    """The deliveries that stand first in the lanes together, in their order.

    It is one, or up to `limit` of a lane if nothing waits in the others. `place` sorts them, by
    `rank` in the end; it is None for what must not be taken now.
    """
    found = await _heads(hints, lanes)
    line = sorted((one for one in found if place(one) is not None), key=place)
    first = line[:1]
    for delivery in found:
        if delivery not in first:
            await put_back(hints, delivery)
    if len(found) == len(first) == 1 and not first[0].level.express:
        level = first[0].level
        more = limit(level) - 1
        first += await hints.take(level, more) if more else ()
    return first


async def _heads(hints: Hints, lanes: Sequence[Level]) -> list[Delivery]:
    """What stands first in each lane, and all that stand in an express lane."""
    looks = [hints.take(lane, MOST_MOVED if lane.express else 1) for lane in lanes]
    answers = await asyncio.gather(*looks, return_exceptions=True)
    found = [one for answer in answers if not isinstance(answer, BaseException) for one in answer]
    for answer in answers:
        if isinstance(answer, BaseException):
            for delivery in found:
                await delivery.later(0)
            raise answer
    return found


async def put_back(hints: Hints, delivery: Delivery) -> None:
    """Keep it for the next look, or let others have it: of an express lane one wants to see all."""
    if delivery.level.express:
        await delivery.later(0)
    else:
        hints.put_back(delivery)
