"""One end of a tunnel: frames out on one subject, frames in from another, and who they are for.

Both ends are this; the user's listens for TCP connections, the agent's makes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ...errors import EvqError, TunnelFailed
from ...ports import BusAway, Calls
from ...tunnels.frames import (
    Close,
    Credit,
    Data,
    End,
    Finish,
    Frame,
    Garbled,
    Open,
    Ping,
    Welcome,
    decode,
    encode,
)
from ...tunnels.hello import MOST_CONNECTIONS
from ...tunnels.window import Overrun
from .connection import Connection

PING_SECONDS = 5.0
"""How often an end says that it is there, and looks whether the other one is."""

SILENCE_SECONDS = 20.0
"""After so long without a word the other end is taken for gone, and its connections closed."""


class Link:
    """Frames both ways. `run` returns when the tunnel is over, and every connection with it."""

    def __init__(self, calls: Calls, to: str = "") -> None:
        """`to` is the subject on which the other end hears, if that is known already."""
        self._calls = calls
        self.to = to
        self.on_open: Callable[[Connection], object] | None = None
        """Called with each connection that the other end opens."""
        self.connections: dict[int, Connection] = {}
        self._sent = self._heard = self._numbers = 0
        self._turn = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self.welcome: asyncio.Future[Welcome] = self._loop.create_future()
        """The agent's first frame; or its refusal, as an error."""
        self.over: asyncio.Future[End] = self._loop.create_future()
        """Why it is over."""

    # --- out ----------------------------------------------------------------------------------

    async def send(self, frame: Frame) -> None:
        """Send a frame. Raises `BusAway`, and the tunnel is over then."""
        async with self._turn:
            number, self._sent = self._sent, self._sent + 1
            try:
                await self._calls.tell(self.to, encode(number, frame))
            except BusAway as away:
                self.end(End("the connection to the NATS server broke", why=str(away)))
                raise

    async def open(self) -> Connection:
        """A new connection, which the other end is told to make. Raises `BusAway`."""
        connection = self._connection(self._numbers)
        self._numbers += 1
        await self.send(Open(connection.number))
        return connection

    def end(self, why: End) -> None:
        """Let the tunnel be over at this end; the first reason counts."""
        if not self.over.done():
            self.over.set_result(why)
        if not self.welcome.done():
            self.welcome.set_exception(error_of(why))
            self.welcome.exception()  # whoever does not wait for it need not hear of it

    def forget(self, connection: Connection) -> None:
        """A connection is closed at this end; what still comes for it is dropped."""
        self.connections.pop(connection.number, None)

    # --- in -----------------------------------------------------------------------------------

    async def run(self, words: AsyncIterator[bytes]) -> End:
        """Hear the other end until the tunnel is over; why."""
        parts = [asyncio.ensure_future(self._hear(words)), asyncio.ensure_future(self._ping())]
        try:
            ends: list[asyncio.Future[Any]] = [self.over, *parts]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                if part.done():
                    part.result()
            self.end(End("the connection to the NATS server was closed"))
            return await self.over
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self.end(End("the tunnel was closed"))
            for connection in list(self.connections.values()):
                connection.broken_off((await self.over).what)

    async def _ping(self) -> None:
        while not self.over.done():
            await asyncio.sleep(PING_SECONDS)
            if self._loop.time() - self._heard_at > SILENCE_SECONDS:
                self.end(End(f"the other end has been silent for {SILENCE_SECONDS:g} s"))
            elif self.to:
                try:
                    await self.send(Ping())
                except BusAway:
                    return

    async def _hear(self, words: AsyncIterator[bytes]) -> None:
        async for data in words:
            try:
                number, frame = decode(data)
                if number != self._heard:
                    lost = End("the tunnel has a hole", why="the NATS server lost what was sent")
                    return self.end(lost)
                self._heard += 1
                self._heard_at = self._loop.time()
                self._take(frame)
            except (Garbled, Overrun) as error:
                return self.end(End("the other end of the tunnel is garbled", why=str(error)))
            if self.over.done():
                return

    def _take(self, frame: Frame) -> None:
        match frame:
            case Data(number, data):
                if connection := self.connections.get(number):
                    connection.came(data)
            case Credit(number, count):
                if connection := self.connections.get(number):
                    connection.granted(count)
            case Open(number):
                if len(self.connections) >= 2 * MOST_CONNECTIONS:
                    raise Garbled("it opens more connections than it may")
                if self.on_open and number not in self.connections:
                    self.on_open(self._connection(number))
            case Finish(number):
                if connection := self.connections.get(number):
                    connection.finished()
            case Close(number, reason):
                if connection := self.connections.get(number):
                    connection.broken_off(reason)
            case Ping():
                pass  # it was heard, and that is all
            case Welcome():
                self.to = frame.subject
                if not self.welcome.done():
                    self.welcome.set_result(frame)
            case End():
                self.end(frame)

    def _connection(self, number: int) -> Connection:
        connection = self.connections[number] = Connection(self, number)
        return connection


def end_of(error: EvqError) -> End:
    """An error as it is told to the other end."""
    return End(error.what, error.why, error.fix)


def error_of(end: End) -> TunnelFailed:
    """What the other end told, as an error here."""
    return TunnelFailed(end.what, why=end.why, fix=end.fix)
