"""The network between one agent and the server, under a test's command."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Cable:
    """Carries bytes to a server until it is told not to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._down = self._mute = False
        self.mute_at: bytes | None = None
        """Once the agent sends these bytes, it does not hear the server any more."""
        self.muted = asyncio.Event()

    async def open(self) -> str:
        """Begin; the address at which the server now can be reached."""
        self._listener = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        return f"nats://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._down:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        self._ends |= {writer, far_writer}
        await asyncio.gather(
            self._carry(reader, far_writer, agent_speaks=True),
            self._carry(far_reader, writer, agent_speaks=False),
        )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, agent_speaks: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if agent_speaks and self.mute_at and self.mute_at in data:
                    self.mute_at, self._mute = None, True
                    self.muted.set()
                if agent_speaks or not self._mute:
                    writer.write(data)
        writer.close()
        self._ends.discard(writer)

    def cut(self) -> None:
        """End what is connected, and refuse what comes."""
        self._down = True
        self._abort()

    def mend(self) -> None:
        """Carry again; connections that lost something are ended."""
        if self._mute:
            self._abort()
        self._down = self._mute = False

    def _abort(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def close(self) -> None:
        """End all connections."""
        self._abort()
        assert self._listener is not None
        self._listener.close()
