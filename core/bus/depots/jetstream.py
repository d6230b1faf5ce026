"""The depot in the server: an object store bucket that other NATS clients can read, too.

An object's chunks lie on one subject, whose last token is made of the digest. So what was cut off
is found again and gone on with; and since each batch of chunks expects to follow the last one, two
who store the same content at once cannot mix theirs.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO

import msgspec

from ...artifacts import NATS
from ...errors import ArtifactFailed, ServerFull
from ...ports import Entry, Lying, WrongSequence
from ...subjects import ARTIFACTS_BUCKET
from ..bucket import Bucket, Meta, Options, whole
from ..requests import ApiError, Requests
from .source import Source
from .words import no_room, no_such_content

CHUNK = 512 * 1024
BATCH = 16
"""Chunks that are stored together or not at all."""


class _Consumer(msgspec.Struct):
    num_pending: int


class JetStreamDepot:
    """See `ports.Depot`."""

    name = NATS

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._bucket = Bucket(requests, ARTIFACTS_BUCKET)
        self._stream = self._bucket.stream

    async def size(self, digest: str) -> int | None:
        found = await self._bucket.find(digest)
        return found.size if found else None

    async def put(self, digest: str, file: BinaryIO) -> None:
        while True:
            try:
                return await self._put(digest, Source(file, digest))
            except WrongSequence:
                continue  # another one stores it, or it was removed: look again
            except ServerFull as full:
                raise no_room(self.name, full.why) from full

    async def _put(self, digest: str, source: Source) -> None:
        stored = await self._stream.last(self._bucket.place(digest))
        if stored and whole(stored):
            # Said again, so that whoever removes what nobody names sees that it is wanted.
            await self._bucket.say(digest, stored.data, expect=stored.seq)
            return
        since = stored.seq if stored else 0
        # What was stored before a removal is about to go: it does not count any more.
        nuid = f"{digest}-{since}"
        subject = self._bucket.chunks + nuid
        there = (await self._bucket.counts(subject)).get(subject, 0)
        last = await self._stream.last(subject) if there else None
        await source.skip(there * CHUNK)
        await self._add(subject, source, last.seq if last else 0)
        try:
            source.check()
        except ArtifactFailed:
            await self._bucket.purge(subject)
            raise
        chunks = -(-source.size // CHUNK)
        if (await self._bucket.counts(subject)).get(subject, 0) != chunks:
            raise WrongSequence(f"{subject} does not hold {chunks} chunks")
        meta = Meta(
            digest,
            ARTIFACTS_BUCKET,
            nuid,
            source.size,
            chunks,
            _nats_digest(digest),
            options=Options(CHUNK),
        )
        await self._bucket.say(digest, msgspec.json.encode(meta), expect=since)

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

    async def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        meta = await self._bucket.find(digest)
        if meta is None:
            raise no_such_content(digest, self.name)
        subject, first = self._bucket.chunks + meta.nuid, start // CHUNK
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
        with suppress(ApiError):  # it goes by itself, too
            await self._requests.api(f"CONSUMER.DELETE.{stream}.{name}")
        return msgspec.json.decode(answer, type=_Consumer).num_pending

    def all(self) -> AsyncIterator[Lying]:
        return self._bucket.all(CHUNK)

    async def remove(self, lying: Lying) -> bool:
        return await self._bucket.remove(lying)


def _nats_digest(digest: str) -> str:
    return "SHA-256=" + base64.urlsafe_b64encode(bytes.fromhex(digest)).decode()
