"""All ports in memory: for tests, and to see in a few lines what evq asks of a server.

Several `MemoryBus` on one `MemoryServer` see each other like clients of one NATS server. The
server's clock is given to it, so that a test can let leases run out without waiting; whoever
turns the clock by hand calls `MemoryServer.look` afterwards.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from ..errors import EvqError, NotFound, ProjectorAway
from ..ports import BusAway, Depot, Lying, Stored, WrongSequence
from .calls import Answer, mistake
from .depots.memory import MemoryContents, MemoryDepot
from .memory_hints import MemoryHints, Queues
from .memory_stream import Link, MemoryStream, Messages


class MemoryServer:
    """What outlives its clients. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.log = Messages(clock)
        self.telemetry = Messages(clock)
        self.samples = Messages(clock)
        self.queues = Queues(self.log, clock)
        self.presence: dict[str, tuple[Stored, float]] = {}
        self.words = 0
        """How often something was said in `presence`."""
        self.objects: dict[str, bytes] = {}
        self.touched: dict[str, int] = {}
        """How often an object was put or touched."""
        self.contents = MemoryContents()
        self.listeners: dict[str, list[asyncio.Queue[bytes]]] = {}
        self.answers: dict[str, list[Answer]] = {}

    def look(self) -> None:
        """Look at the clock again, on behalf of everybody who waits for a lease to run out."""
        self.log.bell.ring()


class MemoryPresence:
    """Who is there; see `ports.Presence`."""

    def __init__(self, link: Link, server: MemoryServer) -> None:
        self._link = link
        self._server = server

    async def put(self, name: str, value: bytes, seconds: float, expect: int | None = None) -> int:
        there = await self.last(name)
        if expect is not None and expect != (there.seq if there else 0):
            raise WrongSequence(f"{name} is not at {expect}")
        self._server.words += 1
        word = Stored(self._server.words, name, value)
        self._server.presence[name] = (word, self._server.clock() + seconds)
        self._server.look()
        return word.seq

    async def get(self, name: str) -> bytes | None:
        there = await self.last(name)
        return there.data if there and there.data else None

    async def last(self, name: str) -> Stored | None:
        return self._living().get(name)

    async def remove(self, name: str, expect: int | None = None) -> None:
        await self.put(name, b"", 1, expect)

    async def all(self) -> Mapping[str, bytes]:
        return {name: word.data for name, word in self._living().items() if word.data}

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[Mapping[str, bytes]]]:
        yield self._words()

    async def _words(self) -> AsyncIterator[Mapping[str, bytes]]:
        told = 0
        while True:
            await self._link.standing.wait()
            words = [word for word in self._living().values() if word.seq > told]
            told = self._server.words
            if words:
                yield {word.subject: word.data for word in words}
            await self._server.log.bell.wait()

    def _living(self) -> dict[str, Stored]:
        self._link.check()
        now = self._server.clock()
        return {name: word for name, (word, end) in self._server.presence.items() if end > now}


class MemoryObjects:
    """Files by name; see `ports.Objects`."""

    def __init__(self, link: Link, server: MemoryServer) -> None:
        self._link = link
        self._objects = server.objects
        self._touched = server.touched

    async def has(self, name: str) -> bool:
        self._link.check()
        return name in self._objects

    async def touch(self, name: str) -> bool:
        self._link.check()
        self._touched[name] = self._touched.get(name, 0) + 1
        return name in self._objects

    async def put(self, name: str, source: Path) -> None:
        if not await self.touch(name):
            self._objects[name] = await asyncio.to_thread(source.read_bytes)

    async def get(self, name: str, target: Path) -> None:
        self._link.check()
        if name not in self._objects:
            raise NotFound(f"the object {name} is not in the store")
        await asyncio.to_thread(_write_whole, target, self._objects[name])

    async def all(self) -> AsyncIterator[Lying]:
        self._link.check()
        for name, data in list(self._objects.items()):
            yield Lying(name, len(data), True, 0, str(self._touched[name]))

    async def remove(self, lying: Lying) -> bool:
        self._link.check()
        if str(self._touched.get(lying.digest)) != lying.mark:
            return lying.digest not in self._objects
        self._objects.pop(lying.digest, None)
        return True


class MemoryCalls:
    """Commands and questions; see `ports.Calls`."""

    def __init__(self, link: Link, server: MemoryServer) -> None:
        self._link = link
        self._listeners = server.listeners
        self._answers = server.answers

    async def tell(self, subject: str, data: bytes = b"") -> None:
        self._link.check()
        for words in self._listeners.get(subject, []):
            words.put_nowait(data)

    def inbox(self) -> str:
        return f"_INBOX.{secrets.token_hex(8)}"

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[AsyncIterator[bytes]]:
        words: asyncio.Queue[bytes] = asyncio.Queue()
        listeners = self._listeners.setdefault(subject, [])
        listeners.append(words)
        try:
            yield _each(words)
        finally:
            listeners.remove(words)

    @asynccontextmanager
    async def serve(self, subject: str, answer: Answer) -> AsyncIterator[None]:
        answers = self._answers.setdefault(subject, [])
        answers.append(answer)
        try:
            yield
        finally:
            answers.remove(answer)

    async def ask(self, subject: str, data: bytes, timeout: float) -> AsyncGenerator[bytes, None]:
        self._link.check()
        answers = self._answers.get(subject)
        if not answers:
            raise ProjectorAway("no projector answers questions", why=f"nobody serves {subject}")
        answers.append(answers.pop(0))  # several share the work
        async with aclosing(answers[-1](data)) as parts:  # type: ignore[type-var]
            while True:
                try:
                    async with asyncio.timeout(timeout):
                        part = await anext(parts)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise ProjectorAway(f"no answer on {subject} in {timeout:g} s") from error
                except EvqError as error:
                    # A new error, as if it had travelled without the other side's frames.
                    raise type(error)(error.what, why=error.why, fix=error.fix) from None
                except Exception as error:
                    raise mistake(error) from error
                yield part


def _write_whole(target: Path, data: bytes) -> None:
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    partial.write_bytes(data)
    os.replace(partial, target)


async def _each(words: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await words.get()


class MemoryBus:
    """One client of a `MemoryServer`, with the attributes of `connect.Bus`."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        link = self._link = Link()
        self.log = MemoryStream(link, server.log)
        self.telemetry = MemoryStream(link, server.telemetry)
        self.samples = MemoryStream(link, server.samples)
        self.hints = MemoryHints(link, server.queues)
        self.presence = MemoryPresence(link, server)
        self.objects = MemoryObjects(link, server)
        self.depot: Depot = MemoryDepot(link, server.contents)
        self.calls = MemoryCalls(link, server)
        self.standing = link.standing
        self.since = server.clock()
        self.on_error: Callable[[Exception], None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self.standing.is_set()

    async def prepare(self) -> None:
        """There is nothing to prepare."""

    async def wait(self, away: BusAway) -> None:
        """Wait until it makes sense to try again after `away`."""
        await self.standing.wait()

    async def cut(self) -> None:
        """Lose the connection: until `mend`, everything raises `BusAway`."""
        self.standing.clear()
        await self.hints.wake()

    async def mend(self) -> None:
        """Get the connection back."""
        self.since = self.server.clock()
        self.standing.set()
        await self.hints.wake()
