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
from pathlib import Path
from typing import IO

import msgspec
from nats.js.client import JetStreamContext

from ..errors import NotFound
from ..ports import BusAway
from ..subjects import CODE_BUCKET
from .stream import Stream


class _Meta(msgspec.Struct):
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    deleted: bool = False


_meta = msgspec.json.Decoder(_Meta)


class JetStreamObjects:
    """The code bucket; see `ports.Objects`."""

    def __init__(self, jetstream: JetStreamContext, stream: Stream) -> None:
        self._jetstream = jetstream
        self._stream = stream

    async def _find(self, name: str) -> _Meta | None:
        encoded = base64.urlsafe_b64encode(name.encode()).decode()
        stored = await self._stream.last(f"$O.{CODE_BUCKET}.M.{encoded}")
        meta = _meta.decode(stored.data) if stored else None
        return None if meta is None or meta.deleted else meta

    async def has(self, name: str) -> bool:
        return await self._find(name) is not None

    async def put(self, name: str, source: Path) -> None:
        if await self.has(name):
            return
        bucket = await self._jetstream.object_store(CODE_BUCKET)
        file = await asyncio.to_thread(source.open, "rb")
        try:
            await bucket.put(name, file)
        finally:
            file.close()

    async def get(self, name: str, target: Path) -> None:
        meta = await self._find(name)
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

    async def _copy(self, meta: _Meta, file: IO[bytes]) -> str:
        hasher = hashlib.sha256()
        left = meta.chunks
        if left:
            subject = f"$O.{CODE_BUCKET}.C.{meta.nuid}"
            async with self._stream.follow(1, [subject]) as batches:
                async for batch in batches:
                    for chunk in batch[:left]:
                        hasher.update(chunk.data)
                        file.write(chunk.data)
                    left -= len(batch)
                    if left <= 0:
                        break
        return "SHA-256=" + base64.urlsafe_b64encode(hasher.digest()).decode()
