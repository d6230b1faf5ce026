"""Both ends of a tunnel over any bus: what goes in comes out, and nothing stays when it breaks."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from roundtrip import MEGABYTE, sent_and_back

from evq.core.sdk.tunnels import link as links
from evq.core.sdk.tunnels.connection import Connection, reset
from evq.core.sdk.tunnels.link import Link
from evq.core.tunnels.frames import CHUNK, Close, Data, End, encode
from evq.core.tunnels.hello import MOST_CONNECTIONS
from evq.core.tunnels.window import WINDOW

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back what comes, up to its end."""
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        writer.close()


class Ends:
    """A near end that listens, and a far end that connects to what `serve` does."""

    def __init__(self, near: Link, far: Link, address: tuple[str, int]) -> None:
        self.near = near
        self.far = far
        self.address = address
        self.reasons: list[str] = []
        """Why connections were broken off, at either end."""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    @property
    def connections(self) -> int:
        return len(self.near.connections) + len(self.far.connections)


@pytest.fixture
async def tunnel(bus: Any, peer: Any) -> AsyncIterator[Callable[..., Awaitable[Ends]]]:
    """`await tunnel(serve)` gives both ends of one to a server that does `serve`."""
    parts: list[asyncio.Future[Any]] = []
    servers: list[asyncio.Server] = []

    async def run(link: Link, calls: Any, subject: str, listening: asyncio.Event) -> None:
        async with calls.listen(subject) as words:
            listening.set()
            await link.run(words)

    async def make(serve: Handler = echo) -> Ends:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=CHUNK)
        port = server.sockets[0].getsockname()[1]
        here, there = bus.calls.inbox(), peer.calls.inbox()
        near, far = Link(bus.calls, to=there), Link(peer.calls, to=here)

        async def carry(connection: Connection, *streams: Any) -> None:
            if reason := await connection.carry(*streams):
                ends.reasons.append(reason)

        async def reach(connection: Connection) -> None:
            streams = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK)
            await carry(connection, *streams)

        async def serve_near(*streams: Any) -> None:
            await carry(await near.open(), *streams)

        def accept(*streams: Any) -> None:
            parts.append(asyncio.ensure_future(serve_near(*streams)))

        far.on_open = lambda connection: parts.append(asyncio.ensure_future(reach(connection)))
        for link, calls, subject in ((near, bus.calls, here), (far, peer.calls, there)):
            listening = asyncio.Event()
            parts.append(asyncio.ensure_future(run(link, calls, subject, listening)))
            await listening.wait()
        listener = await asyncio.start_server(accept, "127.0.0.1", 0, limit=CHUNK)
        servers.extend((server, listener))
        ends = Ends(near, far, listener.sockets[0].getsockname()[:2])
        return ends

    async with AsyncExitStack() as stack:
        yield make
        for server in servers:
            stack.callback(server.close)
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def test_fifty_megabytes_come_back_as_they_were(tunnel: Any, until: Any) -> None:
    ends = await tunnel()
    data = os.urandom(MEGABYTE) * 50
    back = await sent_and_back(ends.address, data)
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
    await until(lambda: ends.connections == 0)
    assert ends.reasons == []


async def test_many_connections_at_once_do_not_mix(tunnel: Any, until: Any) -> None:
    ends = await tunnel()
    sent = [bytes([number]) * (1000 + number) for number in range(MOST_CONNECTIONS)]
    assert await asyncio.gather(*(sent_and_back(ends.address, data) for data in sent)) == sent
    await until(lambda: ends.connections == 0)


async def test_one_direction_may_end_before_the_other(tunnel: Any) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d bytes" % len(await reader.read()))
        writer.close()

    ends = await tunnel(answer_at_the_end)
    assert await sent_and_back(ends.address, b"x" * 1234) == b"1234 bytes"


async def test_a_slow_reader_fills_no_memory_and_stops_nobody_else(tunnel: Any, until: Any) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1) == b"e":
            writer.write(b"other")
            writer.close()
            return
        with suppress(OSError):
            while True:
                writer.write(bytes(CHUNK))
                await writer.drain()

    ends = await tunnel(pour)
    reader, writer = await ends.connect()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(b"p")
    connections = ends.near.connections
    await until(lambda: connections and ends.far.connections)
    far = next(iter(ends.far.connections.values()))
    await until(lambda: far._sending.room == 0)
    other, beside = await ends.connect()
    beside.write(b"e")
    assert await other.read() == b"other"
    beside.close()
    # What is on the way is a window; the rest stays where it comes from, once the buffers of the
    # machine between the near end and its reader are full.
    await until(lambda: far._sending.room == 0)
    near = next(iter(ends.near.connections.values()))
    assert sum(map(len, near._arrived._queue)) <= WINDOW  # type: ignore[attr-defined]
    writer.transport.abort()
    await until(lambda: ends.connections == 0)


async def test_a_connection_that_is_reset_is_reset_at_the_other_end(tunnel: Any) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"part")
        await writer.drain()
        await reader.read(1)
        reset(writer)

    ends = await tunnel(break_off)
    reader, writer = await ends.connect()
    assert await reader.readexactly(4) == b"part"
    writer.write(b"x" * 3)
    with pytest.raises(ConnectionError):
        await reader.read()


async def test_a_hole_in_the_frames_ends_all(tunnel: Any, peer: Any) -> None:
    ends = await tunnel()
    reader, writer = await ends.connect()
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    await peer.calls.tell(ends.far.to, encode(99, Data(0, b"from nowhere")))
    with pytest.raises(ConnectionError):
        await reader.read()
    assert (await ends.near.over).what == "the tunnel has a hole"


async def test_who_sends_beyond_the_window_is_cut_off(tunnel: Any) -> None:
    ends = await tunnel(lambda reader, writer: reader.read())
    reader, writer = await ends.connect()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(b"x")
    while not ends.far.connections:
        await asyncio.sleep(0)
    # Only what nobody reads is counted: the near end is kept from passing on.
    near = next(iter(ends.near.connections.values()))
    near._receiving.passed_on = lambda count: 0  # type: ignore[method-assign]
    for _ in range(WINDOW // CHUNK + 1):
        await ends.far.send(Data(near.number, bytes(CHUNK)))
    assert (await ends.near.over).what == "the other end of the tunnel is garbled"


async def test_an_end_that_is_gone_is_noticed(tunnel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "PING_SECONDS", 0.02)
    ends = await tunnel()
    reader, writer = await ends.connect()
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"

    async def mute(*_: object) -> None:
        """It is stopped, or its machine is gone."""

    ends.far._calls = type("Mute", (), {"tell": mute})()
    monkeypatch.setattr(links, "SILENCE_SECONDS", 0.2)
    with pytest.raises(ConnectionError):
        await reader.read()
    assert "silent" in (await ends.near.over).what


async def test_an_end_tells_why_it_goes(tunnel: Any) -> None:
    ends = await tunnel()
    reader, writer = await ends.connect()
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    await ends.far.send(End("task k3f9 is completed", over=True))
    with pytest.raises(ConnectionError):
        await reader.read()
    assert (await ends.near.over) == End("task k3f9 is completed", over=True)
    assert ends.near.connections == {}


async def test_a_connection_that_cannot_be_made_is_told_why(tunnel: Any, until: Any) -> None:
    ends = await tunnel()
    ends.far.on_open = lambda one: asyncio.ensure_future(one.refuse("nothing listens"))
    reader, _ = await ends.connect()
    with pytest.raises(ConnectionError):
        await reader.read()
    await until(lambda: ends.reasons == ["nothing listens"])


async def test_what_comes_for_a_closed_connection_is_dropped(tunnel: Any) -> None:
    ends = await tunnel()
    await ends.far.send(Data(7, b"too late"))
    await ends.far.send(Close(7, "too late"))
    assert await sent_and_back(ends.address, b"still here") == b"still here"
