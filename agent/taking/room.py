"""What a machine has for tasks, and which attempt holds what of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import msgspec

from ...core.fleet.resources import Offer, Request, lacks
from ...core.subjects import Level
from ..gpus.pool import Assignment, Pool


@dataclass(frozen=True)
class Holding:
    """What one attempt has of the machine: from before its claim until its last process is dead,
    and its GPUs until the log knows of that."""

    slot: int
    level: Level
    request: Request
    assignment: Assignment


class Room:
    """The slots, processors, memory and GPUs of an agent."""

    def __init__(self, offer: Offer, pool: Pool) -> None:
        """`offer` is what there is, but for the GPUs of the pool."""
        self._offer = offer
        self._pool = pool
        self._slots = list(reversed(range(offer.slots)))
        self._held: dict[int, Holding] = {}
        self.free = offer
        """What no attempt holds."""
        self.look()

    @property
    def offer(self) -> Offer:
        """All there is."""
        return msgspec.structs.replace(self._offer, devices=self._pool.offer)

    @property
    def slots(self) -> int:
        """How many slots are free."""
        return len(self._slots)

    @property
    def held(self) -> Iterable[Holding]:
        """What attempts hold now."""
        return self._held.values()

    def request(self, level: Level) -> Request:
        """What a task of this level wants here."""
        return self._pool.wanted(level.request, level.queue)

    def fits(self, level: Level) -> bool:
        """Whether a task of this level can begin now."""
        return not lacks(self.request(level), self.free)

    def hold(self, level: Level, task: str, hint: int) -> Holding | None:
        """Take what a task of this level asks for; None if it does not fit.

        `hint` is the sequence of its queue message.
        """
        if not self.fits(level):
            return None
        assignment = self._pool.reserve(level.request, level.queue, task, hint)
        if assignment is None:
            self.look()
            return None
        holding = Holding(self._slots.pop(), level, self.request(level), assignment)
        self._held[holding.slot] = holding
        self.look()
        return holding

    def release(self, holding: Holding, told: bool = True) -> None:
        """Give it back; see `Pool.release`."""
        del self._held[holding.slot]
        self._slots.append(holding.slot)
        self._pool.release(holding.assignment, told)
        self.look()

    def look(self) -> None:
        """Count what is free."""
        requests = (holding.request for holding in self._held.values())
        free = reduce(Offer.without, requests, self._offer)
        self.free = msgspec.structs.replace(free, devices=self._pool.free)
