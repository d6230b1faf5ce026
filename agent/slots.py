"""The agent's slots, and the few hints that may wait for one that is about to be free.

A slot that is freed every few milliseconds would stand still while the next hint is fetched. So
while attempts are brisk, as many hints as there are slots are fetched ahead. A hint is not a
claim: one that finds no slot within moments is handed back, and another agent has it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..core.ports import Delivery

BRISK_SECONDS = 0.02
"""An attempt shorter than this lets the agent fetch ahead."""

HOLD_SECONDS = 0.25
"""How long a hint may wait here."""


class Slots:
    """What is free, what waits, and who comes next."""

    def __init__(self, count: int, start: Callable[[Delivery, int], None]) -> None:
        """`start` begins to work on a hint in a slot."""
        self._count = count
        self._start = start
        self._free = list(reversed(range(count)))
        self._waiting: deque[Delivery] = deque()
        self._brisk = False
        self._changed = asyncio.Event()
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def free(self) -> int:
        """How many slots have nothing to do."""
        return len(self._free)

    @property
    def room(self) -> int:
        """How many more hints are welcome now."""
        ahead = self._count if self._brisk else 0
        return max(0, self.free + ahead - len(self._waiting))

    async def change(self) -> None:
        """Return when a slot was freed, or `wake` was called."""
        self._changed.clear()
        await self._changed.wait()

    def wake(self) -> None:
        """Let whoever waits for a change look at the world."""
        self._changed.set()

    def give(self, delivery: Delivery) -> None:
        """Begin with a hint, or let it wait a moment for a slot."""
        if self._free:
            self._start(delivery, self._free.pop())
            return
        self._waiting.append(delivery)
        asyncio.get_running_loop().call_later(HOLD_SECONDS, self._hand_back, delivery)

    def release(self, slot: int, seconds: float) -> None:
        """The slot's attempt is over; it took `seconds`."""
        self._brisk = seconds < BRISK_SECONDS
        if self._waiting:
            self._start(self._waiting.popleft(), slot)
        else:
            self._free.append(slot)
        self._changed.set()

    def _hand_back(self, delivery: Delivery) -> None:
        if delivery in self._waiting:
            self._brisk = False
            self._waiting.remove(delivery)
            task = asyncio.ensure_future(delivery.later(0))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
