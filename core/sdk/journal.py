"""A service's journal: read and folded, and written by one holder at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from .. import subjects, wire
from ..errors import Superseded, UsageError
from ..events import Envelope
from ..ids import check_name
from ..journal import Decided, F, Noted, read_fact
from ..ports import BusAway, Entry, Stored, WrongSequence

if TYPE_CHECKING:
    from .client import Client

S = TypeVar("S")

LONGEST = 512 * 1024
"""Bytes of one decision."""


class Journal(Generic[S, F]):
    """What was decided about one service, and its state: the fold of that.

    `facts` is the union of the service's facts, `start` its state before any, and `evolve` gives
    the one after another. It is empty before `load`.
    """

    def __init__(
        self,
        client: Client,
        service: str,
        name: str,
        *,
        facts: Any,
        start: S,
        evolve: Callable[[S, Noted[F]], S],
    ) -> None:
        self.service = service
        self.name = check_name(name, service)
        self.state = start
        self.seq = 0
        """The sequence of the last decision that was folded; 0 if there is none."""
        self.holder = ""
        """Who speaks here; empty for a person."""
        self._subject = subjects.service_events(service, name)
        self._client = client
        self._facts = facts
        self._evolve = evolve
        self.speaker = ""
        """The holder that took over last; empty if none has."""

    async def load(self) -> None:
        """Read what has been decided so far."""
        try:
            await self.catch_up()
        except BusAway:
            # A server that evq has not used before has no streams yet, and answers nothing.
            await self._client.bus.prepare()
            await self.catch_up()

    async def catch_up(self) -> list[Noted[F]]:
        """Fold what was decided since, and return it."""
        noted = []
        for stored in await self._client.bus.log.history(self._subject, self.seq):
            if one := self._fold(stored):
                noted.append(one)
        return noted

    async def take(self, holder: str) -> None:
        """Speak for the service from now on, as `holder` (see `journal.holder_of`).

        What an older holder decides after this is refused: it gets `Superseded`.
        """
        self.holder = self.speaker = holder
        decided = Decided(
            service=self.service, name=self.name, words=f"attempt {holder} goes on", holder=holder
        )
        while not await self._write(decided):
            self.speaker = holder

    async def decide(self, choose: Callable[[S], tuple[F, str] | None]) -> Noted[F] | None:
        """Write down what `choose` gives for the present state: a fact, and its words.

        If somebody else wrote meanwhile, that is folded and `choose` asked again. It gives null if
        there is nothing to decide; so does this. Raises `Superseded` if another attempt speaks for
        the service now, and whatever `choose` raises.
        """
        while True:
            chosen = choose(self.state)
            if chosen is None:
                return None
            fact, words = chosen
            decided = Decided(
                service=self.service,
                name=self.name,
                words=words,
                fact=msgspec.to_builtins(fact),
                holder=self.holder,
            )
            if noted := await self._write(decided):
                return noted
            self._check_speaker()

    def follow(self) -> AsyncGenerator[Noted[F], None]:
        """What is decided from here on, as it is written, by whomever."""
        return self._follow(self.seq + 1)

    async def _follow(self, start: int) -> AsyncGenerator[Noted[F], None]:
        async with self._client.bus.log.follow(start, [self._subject]) as batches:
            async for batch in batches:
                for stored in batch:
                    if noted := self._fold(stored):
                        yield noted
                self._check_speaker()

    def _check_speaker(self) -> None:
        if self.holder and self.speaker != self.holder:
            raise Superseded(
                f"another attempt speaks for the {self.service} {self.name} now",
                why=f"{self.speaker} took over from {self.holder}",
            )

    async def _write(self, decided: Decided) -> Noted[F] | None:
        """Append it behind what was folded; null if something else stands there. A holder waits for
        a server that is away."""
        envelope = self._client.author.envelope(decided)
        data = wire.encode(envelope)
        if len(data) > LONGEST:
            raise UsageError(
                f"what is decided about the {self.service} {self.name} is too long",
                why=f"it has {len(data) // 1024} KiB; {LONGEST // 1024} KiB is the most",
            )
        entry = Entry(self._subject, data, envelope.id, expect=self.seq)
        bus = self._client.bus
        while True:
            try:
                seq = await bus.log.append(entry)
            except WrongSequence:
                return await self._find(envelope.id)
            except BusAway as away:
                # The id and the expectation make the repetition harmless.
                if not self.holder:
                    raise
                await bus.wait(away)
            else:
                return self._fold(Stored(seq, self._subject, data)) or _taken(seq, envelope)

    async def _find(self, id: str) -> Noted[F] | None:
        """Fold what others wrote; our own if it is there, because its answer may be lost."""
        found = None
        for stored in await self._client.bus.log.history(self._subject, self.seq):
            noted = self._fold(stored)
            message = wire.decode(stored.data)
            if isinstance(message, Envelope) and message.id == id:
                found = noted or _taken(stored.seq, message)
        return found

    def _fold(self, stored: Stored) -> Noted[F] | None:
        """The state after `stored`; null if that says nothing but who speaks.

        Two who wait for the server at once may both bring the same decision.
        """
        if stored.seq <= self.seq:
            return self._read(stored)
        self.seq = stored.seq
        message = wire.decode(stored.data)
        event = message.event if isinstance(message, Envelope) else None
        if isinstance(event, Decided) and event.holder and not event.fact:
            self.speaker = event.holder
        if noted := self._read(stored):
            self.state = self._evolve(self.state, noted)
        return noted

    def _read(self, stored: Stored) -> Noted[F] | None:
        message = wire.decode(stored.data)
        if not isinstance(message, Envelope) or not isinstance(message.event, Decided):
            return None
        event = message.event
        if not event.fact:
            return None
        fact = read_fact(event, self._facts)
        return Noted(stored.seq, message.at, message.by, event.words, fact, event.holder)


def _taken(seq: int, envelope: Envelope) -> Noted[Any]:
    """That somebody took over, as it was written."""
    assert isinstance(envelope.event, Decided)
    event = envelope.event
    return Noted(seq, envelope.at, envelope.by, event.words, None, event.holder)


async def journals(client: Client, service: str) -> list[str]:
    """The names of all services of a kind, past ones too."""
    try:
        found = await client.bus.log.subjects(subjects.service_events(service, "*"))
    except BusAway:
        return []  # a server that evq has not used before
    return sorted(subject.rpartition(".")[2] for subject in found)
