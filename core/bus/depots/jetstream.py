"""The depot in the server: an object store bucket that other NATS clients can read, too.

An object's chunks lie on one subject, whose last token is made of the digest. So what was cut off
is found again and gone on with; and since each batch of chunks expects to follow the last one, two
who store the same content at once cannot mix theirs.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from typing import BinaryIO

import msgspec

from ...artifacts import NATS
from ...errors import ArtifactFailed, ServerFull
from ...ports import Entry, Lying, Stored, WrongSequence
from ...subjects import ARTIFACTS_BUCKET
from ..requests import Requests
from ..stream import Stream
from .source import Source
from .words import no_room, no_such_content

CHUNK = 512 * 1024
BATCH = 16
"""Chunks that are stored together or not at all."""

META = f"$O.{ARTIFACTS_BUCKET}.M."
CHUNKS = f"$O.{ARTIFACTS_BUCKET}.C."


class _Options(msgspec.Struct, frozen=True):
    """NATS's own words; of its fields those that its clients read."""

    max_chunk_size: int = CHUNK


class _Meta(msgspec.Struct, omit_defaults=True):
    """An object; `nuid` is the last token of its chunks' subject."""

    name: str
    bucket: str
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    deleted: bool = False
    options: _Options = _Options()


class _Counted(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Info(msgspec.Struct):
    state: _Counted


class _Consumer(msgspec.Struct):
    num_pending: int


_meta = msgspec.json.Decoder(_Meta)


class JetStreamDepot:
    """See `ports.Depot`."""

    name = NATS

    def __init__(self, requests: Requests, stream: Stream) -> None:
        self._requests = requests
        self._stream = stream

    async def size(self, digest: str) -> int | None:
        found = await self._find(digest)
        return found.size if found else None

    async def _find(self, digest: str) -> _Meta | None:
        stored = await self._stream.last(_meta_subject(digest))
        return _whole(stored)

    async def put(self, digest: str, file: BinaryIO) -> None:
        while True:
            try:
                return await self._put(digest, Source(file, digest))
            except WrongSequence:
                continue  # another one stores it, or it was removed: look again
            except ServerFull as full:
                raise no_room(self.name, full.why) from full

    async def _put(self, digest: str, source: Source) -> None:
        stored = await self._stream.last(_meta_subject(digest))
        if stored and _whole(stored):
            # Said again, so that whoever removes what nobody names sees that it is wanted.
            await self._say(digest, stored.data, expect=stored.seq)
            return
        since = stored.seq if stored else 0
        # What was stored before a removal is about to go: it does not count any more.
        nuid = f"{digest}-{since}"
        subject = CHUNKS + nuid
        there = (await self._counts(subject)).get(subject, 0)
        last = await self._stream.last(subject) if there else None
        await source.skip(there * CHUNK)
        await self._add(subject, source, last.seq if last else 0)
        try:
            source.check()
        except ArtifactFailed:
            await self._purge(subject)
            raise
        chunks = -(-source.size // CHUNK)
        if (await self._counts(subject)).get(subject, 0) != chunks:
            raise WrongSequence(f"{subject} does not hold {chunks} chunks")
        meta = _Meta(digest, ARTIFACTS_BUCKET, nuid, source.size, chunks, _nats_digest(digest))
        await self._say(digest, msgspec.json.encode(meta), expect=since)

    async def _add(self, subject: str, source: Source, expect: int) -> None:
        while data := await source.read(BATCH * CHUNK):
            parts = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
            expected = [expect] + [None] * len(parts[1:])
            expect = await self._stream.append_all(
                [
                    Entry(subject, part, secrets.token_hex(8), one)
                    for part, one in zip(parts, expected, strict=True)
                ]
            )

    async def _say(self, digest: str, meta: bytes, expect: int) -> None:
        await self._stream.append(
            Entry(_meta_subject(digest), meta, secrets.token_hex(8), expect=expect)
        )

    async def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        meta = await self._find(digest)
        if meta is None:
            raise no_such_content(digest, self.name)
        subject, first = CHUNKS + meta.nuid, start // CHUNK
        left, skip = meta.chunks - first, start % CHUNK
        if start >= meta.size:
            return
        place = await self._place(subject, left) if first else 1
        async with self._stream.follow(place, [subject]) as batches:
            async for batch in batches:
                for chunk in batch[:left]:
                    yield chunk.data[skip:]
                    skip = 0
                left -= len(batch)
                if left <= 0:
                    return

    async def _place(self, subject: str, left: int) -> int:
        """The sequence of the chunk that has `left` chunks from it on.

        The server tells how many there are from a sequence on, not where the n-th one is.
        """
        low, high = 1, (await self._stream.info()).state.last_seq
        while low < high:
            middle = (low + high + 1) // 2
            if await self._count_from(subject, middle) >= left:
                low = middle
            else:
                high = middle - 1
        return low

    async def _count_from(self, subject: str, seq: int) -> int:
        name = f"c-{secrets.token_hex(8)}"
        config = {
            "name": name,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": seq,
            "filter_subject": subject,
            "inactive_threshold": 1_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        }
        stream = self._stream.name
        answer = await self._requests.api(
            f"CONSUMER.CREATE.{stream}.{name}.{subject}",
            {"stream_name": stream, "config": config, "action": "create"},
        )
        await self._requests.api(f"CONSUMER.DELETE.{stream}.{name}")
        return msgspec.json.decode(answer, type=_Consumer).num_pending

    async def _counts(self, pattern: str) -> dict[str, int]:
        answer = await self._requests.api(
            f"STREAM.INFO.{self._stream.name}", {"subjects_filter": pattern}
        )
        return msgspec.json.decode(answer, type=_Info).state.subjects or {}

    async def all(self) -> AsyncIterator[Lying]:
        metas = {one.subject: one for one in await self._stream.history(f"{META}>")}
        whole = {}
        for stored in metas.values():
            if meta := _whole(stored):
                whole[CHUNKS + meta.nuid] = (stored, meta)
        for stored, meta in whole.values():
            at = await self._stream.stored_at(stored.seq)
            yield Lying(meta.name, meta.size, True, at, str(stored.seq))
        for subject, count in (await self._counts(f"{CHUNKS}>")).items():
            last = None if subject in whole else await self._stream.last(subject)
            if last:
                digest = subject.removeprefix(CHUNKS).partition("-")[0]
                at = await self._stream.stored_at(last.seq)
                yield Lying(digest, count * CHUNK, False, at, f"{subject} {last.seq}")

    async def remove(self, lying: Lying) -> bool:
        if not lying.whole:
            subject, _, seq = lying.mark.partition(" ")
            await self._purge(subject, int(seq))
            return True
        stored = await self._stream.last(_meta_subject(lying.digest))
        meta = _whole(stored)
        if stored is None or meta is None:
            return True
        if stored.seq != int(lying.mark):
            return False
        gone = _Meta(meta.name, ARTIFACTS_BUCKET, meta.nuid, deleted=True)
        try:
            await self._say(lying.digest, msgspec.json.encode(gone), expect=stored.seq)
        except WrongSequence:
            return False
        await self._purge(CHUNKS + meta.nuid)
        return True

    async def _purge(self, subject: str, until: int | None = None) -> None:
        request = {"filter": subject} | ({"seq": until + 1} if until else {})
        await self._requests.api(f"STREAM.PURGE.{self._stream.name}", request)


def _meta_subject(digest: str) -> str:
    return META + base64.urlsafe_b64encode(digest.encode()).decode()


def _whole(stored: Stored | None) -> _Meta | None:
    """The object that a message tells of, if it is one that is there."""
    meta = _meta.decode(stored.data) if stored else None
    return None if meta is None or meta.deleted else meta


def _nats_digest(digest: str) -> str:
    return "SHA-256=" + base64.urlsafe_b64encode(bytes.fromhex(digest)).decode()
