"""Whose turn it is in a queue that is shared out fairly among users.

There, each user's tasks stand in a lane of their own, so that the first of each is in sight. Next
is the user who has the least of the queue running, on all agents together; of several, the one
whom this agent gave nothing for the longest time.

What runs here is known exactly, what runs elsewhere as of the others' last word, which each says
within 0.3 s of a claim. So one agent is exact; of several, each may be wrong by what the others
began since then. What is running counts, not what has run: nobody pays for yesterday.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from ...core.bus.connect import Bus
from ...core.fleet.presence import AgentPresence, decode_presence
from ...core.fleet.resources import user_token
from ...core.subjects import Level
from .room import Room

KNOWN_SECONDS = 1.0
"""For how long it is known what runs elsewhere."""


class Shares:
    """What each user has running, by queue."""

    def __init__(self, bus: Bus, instance: str, room: Room, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back."""
        self._bus = bus
        self._instance = instance
        self._room = room
        self._clock = clock
        self._elsewhere: Counter[tuple[str, str]] = Counter()
        self._known = float("-inf")
        self._turns = 0
        self._last_turn: dict[tuple[str, str], int] = {}

    async def look(self) -> None:
        """Learn what runs elsewhere, if that is not known. Raises `BusAway`."""
        if self._clock() - self._known < KNOWN_SECONDS:
            return
        values = await self._bus.presence.all()
        agents = (decode_presence(value) for value in values.values())
        others = [one for one in agents if one and one.instance != self._instance]
        self._elsewhere = running(others)
        self._known = self._clock()

    def took(self, level: Level) -> None:
        """A task of the level begins."""
        if user := level.request.user:
            self._turns += 1
            self._last_turn[level.queue, user] = self._turns

    def place(self, level: Level) -> tuple[int, int]:
        """The place of a level's user among the others of its queue; the lowest goes first."""
        key = (level.queue, level.request.user)
        here = sum(
            max(1, held.request.gpus)
            for held in self._room.held
            if (held.level.queue, held.level.request.user) == key
        )
        return (here + self._elsewhere[key], self._last_turn.get(key, 0))


def running(agents: Iterable[AgentPresence]) -> Counter[tuple[str, str]]:
    """By queue and user, how much runs: a task counts once, or as often as it has GPUs."""
    found: Counter[tuple[str, str]] = Counter()
    for agent in agents:
        for task in agent.running:
            found[task.queue, user_token(task.user)] += max(1, len(task.gpus))
    return found
