"""What evq needs from the world, as small protocols.

Each has two implementations, JetStream's in `bus` and one in `bus.memory`, and one suite of cases
in `tests/contract` that runs on both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from .subjects import Level


class Stored(msgspec.Struct, frozen=True):
    """A message as the stream holds it."""

    seq: int
    subject: str
    data: bytes


class Entry(msgspec.Struct, frozen=True):
    """A message to be stored.

    `id` makes a second append of the same message harmless within the stream's window.
    `expect` is the sequence that the last message on the subject must have (0: there is none);
    null stores it in any case.
    """

    subject: str
    data: bytes
    id: str
    expect: int | None = None


class WrongSequence(Exception):
    """Another message came first: the expectation of an `Entry` does not hold."""


class BusAway(Exception):
    """The server did not answer in time or the connection is gone; the outcome is unknown."""


class AgentSilent(BusAway):
    """An agent did not answer what it was told; whether it heard is unknown."""


class Log(Protocol):
    """The lifecycle stream."""

    async def append(self, entry: Entry) -> int:
        """Store durably and return the sequence. Raises `WrongSequence` or `BusAway`."""
        ...

    async def append_all(self, entries: Sequence[Entry]) -> int:
        """Store up to 1000 entries, all or none, and return the last sequence."""
        ...

    async def get(self, seq: int) -> Stored | None:
        """The message at `seq`, if it is there."""
        ...

    async def age(self, seq: int) -> float:
        """For how many seconds the message at `seq` has been stored, by the server's clock alone.

        That clock may be turned: whoever must not wait for ever has a clock of its own, too.
        """
        ...

    async def stored_at(self, seq: int) -> int:
        """When the message at `seq` was stored, by the server's clock, in microseconds since 1970.

        Raises `NotFound` if it is not there."""
        ...

    async def seq_at(self, at: int) -> int:
        """The sequence of the last message that was stored by the time `at`, as in `stored_at`;
        0 if there was none."""
        ...

    async def first(self, subject: str) -> Stored | None:
        """The first message on `subject`, which may hold wildcards: a look-up, where `history`
        counts all there are."""
        ...

    async def last(self, subject: str, until: int | None = None) -> Stored | None:
        """The last message on `subject`, which may hold wildcards; with `until`, the last one up to
        that sequence."""
        ...

    async def history(self, subject: str, after: int = 0) -> list[Stored]:
        """The messages on `subject` with a sequence above `after`, in order."""
        ...

    async def last_seq(self) -> int:
        """The sequence of the stream's last message, 0 if it is empty."""
        ...

    def follow(
        self, start: int, subjects: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Stored]]]:
        """Batches of messages from sequence `start` on, then new ones as they come, without end."""
        ...


class Delivery(Protocol):
    """A queue message that was handed to us. It is a hint that there may be work."""

    @property
    def level(self) -> Level: ...
    @property
    def task(self) -> str: ...
    @property
    def seq(self) -> int:
        """The message's sequence in the log."""
        ...

    @property
    def redelivered(self) -> bool:
        """Whether somebody had it before."""
        ...

    @property
    def data(self) -> bytes: ...

    @property
    def token(self) -> str:
        """What hands it back by `Hints.hand_back`, after the end of this process, too."""
        ...

    async def done(self) -> None:
        """The message is of no more use to anybody."""
        ...

    async def later(self, delay: float) -> None:
        """Hand it out again in `delay` seconds."""
        ...

    async def working(self) -> None:
        """Do not hand it to anyone else for another lease."""
        ...


class Hints(Protocol):
    """The queues: shared durable consumers, one per level."""

    async def ensure(self, level: Level) -> None:
        """Make the level exist, and known to the agents that watch its queue."""
        ...

    async def levels(self) -> list[Level]:
        """All levels there are."""
        ...

    def watch(self, queues: Sequence[str]) -> AbstractAsyncContextManager[AsyncIterator[Level]]:
        """The levels of these queues: those there are, then new ones as they come."""
        ...

    async def take(self, level: Level, limit: int) -> Sequence[Delivery]:
        """Up to `limit` deliveries that wait now; does not wait for more."""
        ...

    async def take_first(self, levels: Sequence[Level], seconds: float) -> Delivery | None:
        """The first delivery that comes on any of the levels within `seconds`."""
        ...

    def put_back(self, delivery: Delivery) -> None:
        """Hand it to the next `take` on its level, if that comes at once, else to others."""
        ...

    async def withdraw(self, unless: Callable[[Level], bool]) -> None:
        """Ask for nothing more on levels that `unless` does not want: what a `take_first` asked for
        before it ended goes to others at once, not to its caller's next call."""
        ...

    async def hand_back(self, token: str) -> None:
        """Hand out again, at once, what a process that is dead was handed; see `Delivery.token`."""
        ...

    async def wake(self) -> None:
        """End a `take_first` that waits, so that its caller can look at the world anew."""
        ...

    async def waiting(self, level: Level) -> int:
        """How many messages no agent has been given yet; some may be of no more use."""
        ...


class Presence(Protocol):
    """Who is there: values that vanish when they are not renewed."""

    async def put(self, name: str, value: bytes, seconds: float, expect: int | None = None) -> int:
        """Say `value` for the next `seconds`, and return its sequence.

        `expect` is the sequence that the last word on `name` must have (0: there is none). Raises
        `WrongSequence`, or `BusAway` if the server did not take it.
        """
        ...

    async def get(self, name: str) -> bytes | None:
        """The value, unless it has run out."""
        ...

    async def last(self, name: str) -> Stored | None:
        """The last word on `name`, for whoever means to follow it; empty if it was taken back."""
        ...

    async def remove(self, name: str, expect: int | None = None) -> None:
        """Take it back at once; `expect` as in `put`."""
        ...

    async def all(self) -> Mapping[str, bytes]:
        """Every value that has not run out."""
        ...

    def follow(self) -> AbstractAsyncContextManager[AsyncIterator[Mapping[str, bytes]]]:
        """The values that are there by their names, then what is said as it comes, without end.
        One that was taken back is empty; that one has run out is not told."""
        ...


class Lying(msgspec.Struct, frozen=True):
    """An object by its name, or an artifact's content by its digest; `size` in bytes, `at` in
    microseconds since 1970 when it was stored last. It is not `whole` while it is being stored, or
    if that was given up. `mark` tells this storing of it from a later one."""

    digest: str
    size: int
    whole: bool
    at: int
    mark: str


class Objects(Protocol):
    """Files by name. A name is derived from the content, so an object never changes."""

    async def has(self, name: str) -> bool: ...

    async def touch(self, name: str) -> bool:
        """Whether it is there, for whoever is going to name it: it counts as stored just now."""
        ...

    async def put(self, name: str, source: Path) -> None:
        """Store the file. Storing a name that is there already does nothing."""
        ...

    async def get(self, name: str, target: Path) -> None:
        """Write the object to `target`, whole or not at all. Raises `NotFound`."""
        ...

    def all(self) -> AsyncIterator[Lying]:
        """What lies there, also what is not whole."""
        ...

    async def remove(self, lying: Lying) -> bool:
        """Remove it, unless it was touched or put since it was listed; whether it is gone."""
        ...


class Depot(Protocol):
    """The content of artifacts by its SHA-256, stored once however often it is put."""

    name: str
    """What the log and the settings call it."""

    async def size(self, digest: str) -> int | None:
        """The bytes of a content that is there, whole; else None."""
        ...

    async def put(self, digest: str, file: BinaryIO) -> None:
        """Store all of `file`, going on where an earlier call was cut off.

        Raises `BusAway`; or `ArtifactFailed` if it has another digest by now, or finds no room.
        """
        ...

    def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        """The content from byte `start` on, in pieces. Raises `NotFound`, or `BusAway`."""
        ...

    def all(self) -> AsyncIterator[Lying]:
        """What lies there, also what is not whole."""
        ...

    async def remove(self, lying: Lying) -> bool:
        """Remove it, unless it was put again since it was listed; whether it is gone."""
        ...


class Telemetry(Protocol):
    """The telemetry stream."""

    async def publish(self, subject: str, data: bytes, id: str) -> None:
        """Store the record. Raises `BusAway`."""
        ...

    def follow(
        self, start: int, subjects: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Stored]]]:
        """Batches of records from sequence `start` on, then new ones as they come, without end."""
        ...


class Calls(Protocol):
    """Short words between processes that may be lost: commands to agents, and questions."""

    async def tell(self, subject: str, data: bytes = b"") -> None:
        """Send and forget."""
        ...

    def ask(self, subject: str, data: bytes, timeout: float) -> AsyncGenerator[bytes, None]:
        """The parts of somebody's answer, as they come.

        `timeout` is how many seconds a part may take. Raises `ProjectorAway` if nobody serves
        the subject, or the error that the one who serves it raised.
        """
        ...

    def serve(
        self, subject: str, answer: Callable[[bytes], AsyncIterator[bytes]]
    ) -> AbstractAsyncContextManager[None]:
        """Answer what others ask on `subject`; a part is made when the one before was taken."""
        ...

    def inbox(self) -> str:
        """A subject that nobody else has, on which one may be answered."""
        ...

    def listen(self, subject: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """What others tell on `subject` from now on."""
        ...
