"""A depot beside a real one: everything there can be read, and nothing is written to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import BinaryIO

from ...ports import Depot, Lying


class BesideDepot:
    """See `ports.Depot`. What is put goes to `own`; what is not there is read from `other`."""

    def __init__(self, own: Depot, other: Depot) -> None:
        self.name = own.name
        self._own = own
        self._other = other

    async def _holder(self, digest: str) -> Depot:
        return self._other if await self._own.size(digest) is None else self._own

    async def size(self, digest: str) -> int | None:
        return await (await self._holder(digest)).size(digest)

    async def put(self, digest: str, file: BinaryIO) -> None:
        await self._own.put(digest, file)

    async def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        async for piece in (await self._holder(digest)).read(digest, start):
            yield piece

    def all(self) -> AsyncIterator[Lying]:
        return self._own.all()

    async def remove(self, lying: Lying) -> bool:
        return await self._own.remove(lying)
