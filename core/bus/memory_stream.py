"""A stream in memory, and what its clients share: the connection, and the bell they wait for."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ..errors import NotFound
from ..ports import BusAway, Entry, Stored, WrongSequence

BATCH = 4000


class Bell:
    """Wakes everybody who waits for it; whoever was woken looks for itself what there is."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, seconds: float | None = None) -> None:
        """Return at the next ring, or after `seconds`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=seconds)
        finally:
            self._waiting.discard(future)


class Link:
    """One client's connection, which a test can cut."""

    def __init__(self) -> None:
        self.standing = asyncio.Event()
        self.standing.set()

    def check(self) -> None:
        """Raise `BusAway` while the connection is cut."""
        if not self.standing.is_set():
            raise BusAway("the connection is gone")


class Messages:
    """What the server holds of one stream."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.all: list[Stored] = []
        self.clock = clock
        self._stored_at: list[float] = []
        self.bell = Bell()
        self._ids: dict[str, int] = {}
        self._by_subject: dict[str, list[int]] = {}

    def store(self, entries: Sequence[Entry]) -> int:
        """Store all entries or none; an expectation sees the entries before it."""
        count = len(self.all)
        added: dict[str, int] = {}
        for number, entry in enumerate(entries, count + 1):
            last = added.get(entry.subject) or self._last_on(entry.subject)
            if entry.expect is not None and entry.expect != last:
                raise WrongSequence(f"{entry.subject} is at {last}, not at {entry.expect}")
            added[entry.subject] = number
        for number, entry in enumerate(entries, count + 1):
            self.all.append(Stored(number, entry.subject, entry.data))
            self._stored_at.append(self.clock())
            self._by_subject.setdefault(entry.subject, []).append(number)
        self.bell.ring()
        return len(self.all)

    def age(self, seq: int) -> float:
        """Seconds since the message was stored."""
        return self.clock() - self._stored_at[seq - 1]

    def stored_at(self, seq: int) -> int:
        """When the message was stored, in microseconds of the server's clock."""
        return round(self._stored_at[seq - 1] * 1e6)

    def seq_at(self, at: int) -> int:
        """The last message that was stored by then."""
        return bisect_right(self._stored_at, at, key=lambda stored: round(stored * 1e6))

    def store_once(self, entry: Entry) -> int:
        """Store one entry unless its id was stored before; the sequence in any case."""
        if entry.id not in self._ids:
            self._ids[entry.id] = self.store([entry])
        return self._ids[entry.id]

    def _last_on(self, subject: str) -> int:
        return self._by_subject.get(subject, [0])[-1]

    def subjects(self, pattern: str) -> list[str]:
        """The subjects on `pattern` that have a message."""
        return [subject for subject in self._by_subject if matches(pattern, subject)]

    def find(self, pattern: str) -> list[int]:
        """The sequences of the messages on `pattern`, in order."""
        if "*" not in pattern and ">" not in pattern:
            return self._by_subject.get(pattern, [])
        groups = (seqs for subject, seqs in self._by_subject.items() if matches(pattern, subject))
        return sorted(seq for seqs in groups for seq in seqs)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is among those that a NATS pattern stands for."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )


class MemoryStream:
    """A client's view of a stream, as the ports `Log` and `Telemetry` want it."""

    def __init__(self, link: Link, messages: Messages) -> None:
        self._link = link
        self._messages = messages

    async def append(self, entry: Entry) -> int:
        self._link.check()
        return self._messages.store_once(entry)

    async def append_all(self, entries: Sequence[Entry]) -> int:
        if len(entries) == 1:
            return await self.append(entries[0])
        self._link.check()
        return self._messages.store(entries)

    async def publish(self, subject: str, data: bytes, id: str) -> None:
        await self.append(Entry(subject, data, id))

    async def subjects(self, pattern: str) -> list[str]:
        self._link.check()
        return self._messages.subjects(pattern)

    async def get(self, seq: int) -> Stored | None:
        self._link.check()
        found = self._messages.all
        return found[seq - 1] if 0 < seq <= len(found) else None

    async def age(self, seq: int) -> float:
        self._check(seq)
        return self._messages.age(seq)

    async def stored_at(self, seq: int) -> int:
        self._check(seq)
        return self._messages.stored_at(seq)

    def _check(self, seq: int) -> None:
        self._link.check()
        if not 0 < seq <= len(self._messages.all):
            raise NotFound(f"there is no event {seq} in the log")

    async def seq_at(self, at: int) -> int:
        self._link.check()
        return self._messages.seq_at(at)

    async def first(self, subject: str) -> Stored | None:
        self._link.check()
        found = self._messages.find(subject)
        return self._messages.all[found[0] - 1] if found else None

    async def last(self, subject: str, until: int | None = None) -> Stored | None:
        self._link.check()
        found = self._messages.find(subject)
        if until is not None:
            found = found[: bisect_right(found, until)]
        return self._messages.all[found[-1] - 1] if found else None

    async def history(self, subject: str, after: int = 0) -> list[Stored]:
        self._link.check()
        return [self._messages.all[seq - 1] for seq in self._messages.find(subject) if seq > after]

    async def last_seq(self) -> int:
        self._link.check()
        return len(self._messages.all)

    @asynccontextmanager
    async def follow(
        self, start: int, subjects: Sequence[str] = ()
    ) -> AsyncIterator[AsyncIterator[list[Stored]]]:
        yield self._batches(max(1, start), subjects)

    async def _batches(self, start: int, subjects: Sequence[str]) -> AsyncIterator[list[Stored]]:
        messages = self._messages.all
        while True:
            await self._link.standing.wait()
            chunk = messages[start - 1 : start - 1 + BATCH]
            if not chunk:
                await self._messages.bell.wait()
                continue
            start += len(chunk)
            if subjects:
                chunk = [m for m in chunk if any(matches(s, m.subject) for s in subjects)]
            if chunk:
                yield chunk
