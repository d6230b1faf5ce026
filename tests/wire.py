"""The network between a client and the server, under a test's command."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress


class Wire:
    """Carries bytes to a server: it can be cut, stand still, or swallow what the server says."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._left = math.inf
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.mute = False
        """Set: what the server says is lost. It hears everything."""

    async def open(self) -> str:
        """Begin; the address at which the server now can be reached."""
        self._listener = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        return f"nats://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.admit()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        self._ends |= {writer, far_writer}
        await asyncio.gather(
            self._carry(reader, far_writer, client_speaks=True),
            self._carry(far_reader, writer, client_speaks=False),
        )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client_speaks: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if client_speaks:
                    self.heard(data)
                await self._passed(len(data))
                if client_speaks or not self.mute:
                    writer.write(data)
        writer.close()
        self._ends.discard(writer)

    async def _passed(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            self._flowing.clear()
        await self._flowing.wait()

    def allow(self, count: float = math.inf) -> None:
        """Let about so many more bytes through, of both sides together; then the wire stands
        still."""
        self._left = count
        self._flowing.set()

    def admit(self) -> None:
        """Whether a new connection is let through; `OSError` refuses it."""

    def heard(self, data: bytes) -> None:
        """The client says `data`, which has not been passed on yet."""

    def cut(self) -> None:
        """End all connections; new ones are let through."""
        for end in self._ends:
            end.transport.abort()

    async def close(self) -> None:
        self.allow()
        self.cut()
        assert self._listener is not None
        self._listener.close()
