"""A depot in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import BinaryIO

from ...artifacts import NATS
from ...ports import Lying
from ..memory_stream import Link
from .source import PIECE, Source
from .words import no_such_content


class MemoryContents:
    """What the server holds: contents, and how often something was put."""

    def __init__(self) -> None:
        self.whole: dict[str, bytes] = {}
        self.marks: dict[str, int] = {}
        self.puts = 0


class MemoryDepot:
    """See `ports.Depot`."""

    name = NATS

    def __init__(self, link: Link, contents: MemoryContents) -> None:
        self._link = link
        self._contents = contents

    async def size(self, digest: str) -> int | None:
        self._link.check()
        data = self._contents.whole.get(digest)
        return None if data is None else len(data)

    async def put(self, digest: str, file: BinaryIO) -> None:
        self._link.check()
        source = Source(file, digest)
        data = await source.read(source.size + 1)
        source.check()
        self._contents.puts += 1
        self._contents.whole[digest] = data
        self._contents.marks[digest] = self._contents.puts

    async def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        if await self.size(digest) is None:
            raise no_such_content(digest, self.name)
        data = self._contents.whole[digest]
        for at in range(start, len(data), PIECE):
            self._link.check()
            yield data[at : at + PIECE]

    async def all(self) -> AsyncIterator[Lying]:
        self._link.check()
        for digest, data in list(self._contents.whole.items()):
            yield Lying(digest, len(data), True, 0, str(self._contents.marks[digest]))

    async def remove(self, lying: Lying) -> bool:
        self._link.check()
        if str(self._contents.marks.get(lying.digest)) != lying.mark:
            return lying.digest not in self._contents.whole
        del self._contents.whole[lying.digest], self._contents.marks[lying.digest]
        return True
