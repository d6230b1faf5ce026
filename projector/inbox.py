"""What was read of a stream and is not in the database yet, and how much of it is gathered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from ..core.bus.stream import Stream
from ..core.ports import Stored

FLUSH_SECONDS = 0.25
FLUSH_MESSAGES = 20_000
FLUSH_BYTES = 32 * 2**20


class Rhythm(msgspec.Struct, frozen=True):
    """How much is gathered before it is written, and how much WAL there may be.

    Samples come all the time, and to write them costs the more the fewer they are: as long as
    nobody asks they are gathered for `samples` seconds. Whether retention is carried out on the
    way is `trims`.
    """

    seconds: float = FLUSH_SECONDS
    samples: float = 2.0
    messages: int = FLUSH_MESSAGES
    size: int = FLUSH_BYTES
    checkpoint: str = "64MB"
    trims: bool = True


class Inbox:
    """What was read of a stream and is not in the database yet."""

    def __init__(self, stream: Stream, rhythm: Rhythm) -> None:
        self.stream = stream
        self.messages: list[Stored] = []
        self.size = 0
        self.has_room = asyncio.Event()
        self.taken_at = float("-inf")
        self._rhythm = rhythm

    @property
    def full(self) -> bool:
        return self.size >= self._rhythm.size or len(self.messages) >= self._rhythm.messages

    def put(self, batch: Sequence[Stored]) -> None:
        self.messages += batch
        self.size += sum(len(stored.data) for stored in batch)
        if self.full:
            self.has_room.clear()

    def take(self) -> list[Stored]:
        taken, self.messages, self.size = self.messages, [], 0
        self.taken_at = time.monotonic()
        self.has_room.set()
        return taken
