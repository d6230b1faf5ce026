"""What a machine has for tasks, and which attempt holds what of it."""

from __future__ import annotations

from functools import reduce

import msgspec

from ...core.resources import Offer, Request, lacks


class Holding(msgspec.Struct, frozen=True):
    """What one attempt has of the machine, from before its claim until its last process is dead."""

    slot: int
    request: Request
    gpus: tuple[str, ...] = ()


class Room:
    """The slots, processors, memory and GPUs of an agent."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        """All there is."""
        self.free = offer
        """What no attempt holds."""
        self._slots = list(reversed(range(offer.slots)))
        self._held: dict[int, Holding] = {}

    @property
    def slots(self) -> int:
        """How many slots are free."""
        return len(self._slots)

    def fits(self, request: Request) -> bool:
        """Whether a task that asks for this can begin now."""
        return not lacks(request, self.free)

    def hold(self, request: Request) -> Holding | None:
        """Take what a task asks for; None if it does not fit."""
        if not self.fits(request):
            return None
        holding = Holding(self._slots.pop(), request)
        self._held[holding.slot] = holding
        self._count()
        return holding

    def release(self, holding: Holding) -> None:
        """Give it back."""
        del self._held[holding.slot]
        self._slots.append(holding.slot)
        self._count()

    def _count(self) -> None:
        requests = (holding.request for holding in self._held.values())
        self.free = reduce(Offer.without, requests, self.offer)
