"""A file on its way into a depot, hashed as it is read."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import BinaryIO

from ...errors import ArtifactFailed

PIECE = 4 * 2**20
"""Bytes that are read at once: all of a file is never in memory."""


class Source:
    """Reads a file from its beginning, and knows whether it was what its digest says."""

    def __init__(self, file: BinaryIO, digest: str) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._digest = digest
        self._hasher = hashlib.sha256()
        file.seek(0)

    async def read(self, most: int) -> bytes:
        """The next `most` bytes, or what is left of them."""
        return await asyncio.to_thread(self._read, most)

    def _read(self, most: int) -> bytes:
        data = self._file.read(most)
        self._hasher.update(data)
        return data

    async def skip(self, count: int) -> None:
        """Pass over `count` bytes, which are hashed, too."""
        while count > 0 and (data := await self.read(min(count, PIECE))):
            count -= len(data)

    def check(self) -> None:
        """Raise `ArtifactFailed` if what was read, all of the file, has another digest."""
        if self._hasher.hexdigest() != self._digest:
            raise ArtifactFailed(
                "the file changed while it was being saved",
                why="its digest was another one when it was read the first time",
                fix="save it when nobody writes to it any more",
            )
