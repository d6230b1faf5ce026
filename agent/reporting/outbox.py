"""What attempts say, on its way to the telemetry stream, in order, through every outage.

Records go out of memory while the server is there, and out of a spool file after it was away.
Nobody waits for the server to say something; only the end of an attempt waits until all that
the attempt said has arrived.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress

from ...core.bus.connect import Bus
from ...core.bus.requests import ApiError
from ...core.errors import ServerFull
from ...core.ports import BusAway
from .spool import Record, Spool

MEMORY_BYTES = 8 * 2**20
WINDOW = 32
"""Records under way at once."""

log = logging.getLogger(__name__)


class Outbox:
    """The agent's one way out for telemetry."""

    def __init__(self, bus: Bus, spool: Spool) -> None:
        self._bus = bus
        self._spool = spool
        self._memory: deque[Record] = deque()
        self._bytes = 0
        self._pending: dict[str, int] = {}
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        if not spool.empty:
            self._news.set()

    def put(self, record: Record) -> bool:
        """Send a record some time; False if it had to be thrown away for want of room."""
        standing = self._bus.standing.is_set()
        if standing and self._spool.empty and self._bytes < MEMORY_BYTES:
            self._memory.append(record)
            self._bytes += len(record.data)
        else:
            if not standing:
                # An outage may be long, and this process may not live to see its end.
                self.save()
            if not self._spool.add(record):
                return False
        self._pending[record.subject] = self._pending.get(record.subject, 0) + 1
        self._news.set()
        return True

    async def arrived(self, subject: str) -> None:
        """Return when everything that was put for `subject` is in the stream."""
        while self._pending.get(subject):
            self._settled.clear()
            await self._settled.wait()

    def save(self) -> None:
        """Put what is in memory on disk, so that it outlives this process.

        Where the disk has no room for it, it stays in memory: it is within bounds there, too.
        """
        if self._memory and self._spool.put_before(self._memory):
            self._memory.clear()
            self._bytes = 0

    async def run(self) -> None:
        """Send what comes, without end."""
        while True:
            await self._news.wait()
            await self._bus.standing.wait()
            batch = self._next_batch()
            if not batch:
                self._news.clear()
                continue
            await self._send(batch)

    def _next_batch(self) -> list[Record]:
        batch: list[Record] = []
        while self._memory and len(batch) < WINDOW:
            record = self._memory.popleft()
            self._bytes -= len(record.data)
            batch.append(record)
        if not batch:
            batch = self._spool.take(WINDOW)
            if not batch:
                self._spool.clear()
        return batch

    async def _send(self, batch: list[Record]) -> None:
        """Send a batch until it has arrived; its ids make a repetition harmless."""
        left = batch
        while left:
            results = await asyncio.gather(
                *(self._publish(record) for record in left), return_exceptions=True
            )
            away = [
                record
                for record, result in zip(left, results, strict=True)
                if isinstance(result, BusAway)
            ]
            for record, result in zip(left, results, strict=True):
                if isinstance(result, BusAway):
                    continue
                if isinstance(result, BaseException):
                    log.warning("a record of %s was refused: %s", record.subject, result)
                self._done(record)
            left = away
            if left:
                # Records under way are lost with this process; on disk they are not.
                self._memory.extendleft(reversed(left))
                self._bytes += sum(len(record.data) for record in left)
                self.save()
                await self._wait_for_server()
                return

    async def _publish(self, record: Record) -> None:
        try:
            await self._bus.telemetry.publish(record.subject, record.data.encode(), record.id)
        except (ApiError, ServerFull) as error:
            raise RuntimeError(str(error)) from error

    async def _wait_for_server(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._bus.standing.wait()
                await asyncio.sleep(0.1)

    def _done(self, record: Record) -> None:
        left = self._pending.get(record.subject, 0) - 1
        if left > 0:
            self._pending[record.subject] = left
        else:
            self._pending.pop(record.subject, None)
            self._settled.set()

    def close(self) -> None:
        """Keep for later what could not be sent."""
        self.save()
        self._spool.close()
