"""Files in a NATS object store bucket.

Writing is nats-py's; its reader manages 4 MiB/s on large objects because it waits for flow
control after each chunk, so reading follows the chunks' stream like any other.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from nats.js.client import JetStreamContext

from ..errors import NotFound
from ..ports import BusAway, Lying
from ..subjects import CODE_BUCKET
from .bucket import Bucket, Meta
from .requests import Requests

CHUNK = 128 * 1024
"""What nats-py puts into one message."""

FRESH = 3600.0
"""Seconds: what was stored later needs no new word that somebody counts on it."""


class JetStreamObjects:
    """The code bucket; see `ports.Objects`."""

    def __init__(self, jetstream: JetStreamContext, requests: Requests) -> None:
        self._jetstream = jetstream
        self._bucket = Bucket(requests, CODE_BUCKET)

    async def has(self, name: str) -> bool:
        return await self._bucket.find(name) is not None

    async def touch(self, name: str) -> bool:
        return await self._bucket.touch(name, FRESH)

    async def put(self, name: str, source: Path) -> None:
        if await self.touch(name):
            return
        bucket = await self._jetstream.object_store(CODE_BUCKET)
        file = await asyncio.to_thread(source.open, "rb")
        try:
            await bucket.put(name, file)
        finally:
            file.close()

    async def get(self, name: str, target: Path) -> None:
        meta = await self._bucket.find(name)
        if meta is None:
            raise NotFound(
                f"the object {name} is not in the store",
                why="it was never uploaded, or it was cleaned up",
                fix="enqueue the task again from its work tree",
            )
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with partial.open("wb") as file:
                digest = await self._copy(meta, file)
            if digest != meta.digest:
                raise BusAway(f"the object {name} arrived damaged")
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    async def _copy(self, meta: Meta, file: IO[bytes]) -> str:
        hasher = hashlib.sha256()
        left = meta.chunks
        if left:
            subject = self._bucket.chunks + meta.nuid
            async with self._bucket.stream.follow(1, [subject]) as batches:
                async for batch in batches:
                    for chunk in batch[:left]:
                        hasher.update(chunk.data)
                        file.write(chunk.data)
                    left -= len(batch)
                    if left <= 0:
                        break
        return "SHA-256=" + base64.urlsafe_b64encode(hasher.digest()).decode()

    def all(self) -> AsyncIterator[Lying]:
        return self._bucket.all(CHUNK)

    async def remove(self, lying: Lying) -> bool:
        return await self._bucket.remove(lying)
