"""One TCP connection of a tunnel, at one of its ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from ...ports import BusAway
from ...tunnels.frames import CHUNK, Close, Credit, Data, Finish
from ...tunnels.window import Receiving, Sending

if TYPE_CHECKING:
    from .link import Link


_AT_ONCE = struct.pack("ii", 1, 0)


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a TCP connection off. Closed in any other way it would look like an orderly end, and
    whoever reads would take a part for the whole."""
    if (one := writer.get_extra_info("socket")) is not None:
        with suppress(OSError):  # it is closed already
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


class Connection:
    """Bytes between a TCP connection of this machine and the link."""

    def __init__(self, link: Link, number: int) -> None:
        self.number = number
        self._link = link
        self._sending, self._receiving = Sending(), Receiving()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        """What came and is not passed on yet; the empty piece is the last."""
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    # --- what the link hears of it ------------------------------------------------------------

    def came(self, data: bytes) -> None:
        """Bytes came in. Raises `Overrun` if they are more than may come."""
        self._receiving.came(len(data))
        self._arrived.put_nowait(data)

    def finished(self) -> None:
        """Nothing more comes in."""
        self._arrived.put_nowait(b"")

    def granted(self, count: int) -> None:
        """So many bytes more may be sent."""
        self._sending.granted(count)
        self._may_send.set()

    def broken_off(self, reason: str) -> None:
        """The other end, or all of the link, is gone."""
        if not self._broken.done():
            self._broken.set_result(reason)

    # --- its life -----------------------------------------------------------------------------

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Carry bytes both ways until both directions have ended, and close the TCP connection.

        Why it was broken off; empty if it was not.
        """
        ways = asyncio.gather(self._send_on(reader), self._pass_on(writer))
        try:
            await asyncio.wait((ways, self._broken), return_when=asyncio.FIRST_COMPLETED)
            if ways.done() and not ways.cancelled() and ways.exception() is None:
                writer.close()
                return ""
            return await self._cut(writer, ways)
        except asyncio.CancelledError:
            reset(writer)
            raise
        finally:
            ways.cancel()
            await asyncio.gather(ways, return_exceptions=True)
            self._link.forget(self)

    async def refuse(self, reason: str) -> None:
        """Tell the other end that it cannot be made."""
        self._link.forget(self)
        with suppress(BusAway):
            await self._link.send(Close(self.number, reason))

    async def _cut(
        self, writer: asyncio.StreamWriter, ways: asyncio.Future[tuple[None, None]]
    ) -> str:
        reset(writer)
        if self._broken.done():
            return self._broken.result()
        if self._link.over.done():
            return self._link.over.result().what
        error = ways.exception()
        reason = str(error) or type(error).__name__
        await self.refuse(reason)
        return reason

    async def _send_on(self, reader: asyncio.StreamReader) -> None:
        while data := await self._read(reader):
            self._sending.sent(len(data))
            await self._link.send(Data(self.number, data))
        await self._link.send(Finish(self.number))

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        while not self._sending.room:
            self._may_send.clear()
            await self._may_send.wait()
        return await reader.read(min(CHUNK, self._sending.room))

    async def _pass_on(self, writer: asyncio.StreamWriter) -> None:
        while data := await self._arrived.get():
            writer.write(data)
            await writer.drain()
            if told := self._receiving.passed_on(len(data)):
                await self._link.send(Credit(self.number, told))
        if writer.can_write_eof():
            writer.write_eof()
