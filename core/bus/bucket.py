"""A NATS object store bucket: its objects, what is left of uploads that were cut off, and removal.

An object's metadata are the last message on a subject made of its name, its chunks lie on another.
Whoever counts on an object that is there says its metadata again, and a removal expects the ones
that it saw: so nothing goes that somebody counts on.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator

import msgspec

from ..ports import Entry, Lying, Stored, WrongSequence
from .requests import Requests
from .stream import Stream


class Options(msgspec.Struct, frozen=True):
    """NATS's own words; of its fields those that its clients read."""

    max_chunk_size: int


class Meta(msgspec.Struct, omit_defaults=True):
    """An object; `nuid` is the last token of its chunks' subject."""

    name: str
    bucket: str
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    deleted: bool = False
    options: Options | None = None


class _Counted(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Info(msgspec.Struct):
    state: _Counted


_meta = msgspec.json.Decoder(Meta)


def whole(stored: Stored | None) -> Meta | None:
    """The object that a message tells of, if it is one that is there."""
    meta = _meta.decode(stored.data) if stored else None
    return None if meta is None or meta.deleted else meta


class Bucket:
    """The bucket of this name, which is also the stream of its chunks and metadata."""

    def __init__(self, requests: Requests, name: str) -> None:
        self.name = name
        self.stream = Stream(requests, f"OBJ_{name}")
        self.metas = f"$O.{name}.M."
        self.chunks = f"$O.{name}.C."
        self._requests = requests

    def place(self, name: str) -> str:
        """The subject of an object's metadata."""
        return self.metas + base64.urlsafe_b64encode(name.encode()).decode()

    async def find(self, name: str) -> Meta | None:
        """The object of this name, if it is there."""
        return whole(await self.stream.last(self.place(name)))

    async def say(self, name: str, data: bytes, expect: int) -> None:
        """Store metadata behind those at the sequence `expect`. Raises `WrongSequence`."""
        entry = Entry(self.place(name), data, secrets.token_hex(8), expect=expect)
        await self.stream.append(entry)

    async def touch(self, name: str, age: float) -> bool:
        """Whether it is there; if so, it was stored less than `age` seconds ago after this."""
        while True:
            stored = await self.stream.last(self.place(name))
            if stored is None or whole(stored) is None:
                return False
            if await self.stream.age(stored.seq) < age:
                return True
            try:
                await self.say(name, stored.data, expect=stored.seq)
            except WrongSequence:
                continue  # somebody else has said so, or it was removed: look again
            return True

    async def counts(self, pattern: str) -> dict[str, int]:
        """How many messages there are, by subject."""
        answer = await self._requests.api(
            f"STREAM.INFO.{self.stream.name}", {"subjects_filter": pattern}
        )
        return msgspec.json.decode(answer, type=_Info).state.subjects or {}

    async def all(self, chunk: int) -> AsyncIterator[Lying]:
        """What lies there, also what is not whole, in chunks of so many bytes."""
        metas = {one.subject: one for one in await self.stream.history(f"{self.metas}>")}
        found = {}
        for stored in metas.values():
            if meta := whole(stored):
                found[self.chunks + meta.nuid] = (stored, meta)
        for stored, meta in found.values():
            at = await self.stream.stored_at(stored.seq)
            yield Lying(meta.name, meta.size, True, at, str(stored.seq))
        for subject, count in (await self.counts(f"{self.chunks}>")).items():
            last = None if subject in found else await self.stream.last(subject)
            if last:
                name = subject.removeprefix(self.chunks).partition("-")[0]
                at = await self.stream.stored_at(last.seq)
                yield Lying(name, count * chunk, False, at, f"{subject} {last.seq}")

    async def remove(self, lying: Lying) -> bool:
        """Remove it, unless somebody counts on it since it was listed; whether it is gone."""
        if not lying.whole:
            subject, _, seq = lying.mark.partition(" ")
            await self.purge(subject, int(seq))
            return True
        stored = await self.stream.last(self.place(lying.digest))
        meta = whole(stored)
        if stored is None or meta is None:
            return True
        if stored.seq != int(lying.mark):
            return False
        gone = Meta(meta.name, self.name, meta.nuid, deleted=True)
        try:
            await self.say(lying.digest, msgspec.json.encode(gone), expect=stored.seq)
        except WrongSequence:
            return False
        await self.purge(self.chunks + meta.nuid)
        return True

    async def purge(self, subject: str, until: int | None = None) -> None:
        """Remove the messages on a subject, up to a sequence."""
        request = {"filter": subject} | ({"seq": until + 1} if until else {})
        await self._requests.api(f"STREAM.PURGE.{self.stream.name}", request)
