"""A depot in a folder, which all machines that save and load see under the same path.

DEPOT/ab/abcdef…          a content, by its digest
DEPOT/ab/.abcdef….part    one that is being stored: renamed when it is whole
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ...errors import EvqError
from ...ports import Lying
from .source import PIECE, Source
from .words import no_room, no_such_content, out_of_reach

LOOK_EVERY = 0.1

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FolderDepot:
    """See `ports.Depot`."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    async def size(self, digest: str) -> int | None:
        with self._in_words():
            try:
                return (await asyncio.to_thread(self._path(digest).stat)).st_size
            except FileNotFoundError:
                self._check_there()
                return None

    async def put(self, digest: str, file: BinaryIO) -> None:
        path = self._path(digest)
        with self._in_words():
            self._check_there()
            with suppress(FileNotFoundError):
                # Whoever removes what nobody names sees that it is wanted.
                return await asyncio.to_thread(os.utime, path)
            path.parent.mkdir(exist_ok=True)
            partial = path.with_name(f".{digest}.part")
            while not await self._store(path, partial, Source(file, digest)):
                if await self.size(digest) is not None:
                    return

    async def _store(self, path: Path, partial: Path, source: Source) -> bool:
        """Write what is missing; False if another one has done it meanwhile, or wrong before."""
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "r+b") as target:
            await _lock(target)
            if not _is_at(target, partial):
                return False
            there = min(os.fstat(target.fileno()).st_size, source.size)
            hasher = hashlib.sha256()
            await asyncio.to_thread(_hash, target, there, hasher)
            await source.skip(there)
            while data := await source.read(PIECE):
                await asyncio.to_thread(target.write, data)
                hasher.update(data)
            try:
                source.check()
            except EvqError:
                os.unlink(partial)
                raise
            if hasher.hexdigest() != path.name:
                # What a power cut left of an earlier one was not what had been written.
                target.truncate(0)
                return False
            target.truncate(source.size)
            target.flush()
            await asyncio.to_thread(os.fsync, target.fileno())
            os.replace(partial, path)
        return True

    async def read(self, digest: str, start: int = 0) -> AsyncIterator[bytes]:
        if await self.size(digest) is None:
            raise no_such_content(digest, self.name)
        with self._in_words(), self._path(digest).open("rb") as file:
            file.seek(start)
            while data := await asyncio.to_thread(file.read, PIECE):
                yield data

    async def all(self) -> AsyncIterator[Lying]:
        with self._in_words():
            for found in await asyncio.to_thread(self._list):
                yield found

    def _list(self) -> list[Lying]:
        found = []
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                whole = not path.name.startswith(".")
                digest = path.name.removeprefix(".").removesuffix(".part")
                at = stat.st_mtime_ns // 1000
                found.append(Lying(digest, stat.st_size, whole, at, str(stat.st_mtime_ns)))
        return found

    async def remove(self, lying: Lying) -> bool:
        path = self._path(lying.digest)
        if not lying.whole:
            path = path.with_name(f".{lying.digest}.part")
        with self._in_words(), suppress(FileNotFoundError):
            if str(path.stat().st_mtime_ns) != lying.mark:
                return False
            path.unlink()
        return True

    def _check_there(self) -> None:
        if not self._folder.is_dir():
            # Made here it would be an empty folder below the place where a disk is not mounted.
            raise out_of_reach(self.name, "there is no such folder on this machine")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = no_room if error.errno in FULL else out_of_reach
            raise kind(self.name, str(error)) from error


async def _lock(file: BinaryIO) -> None:
    """Wait until nobody else stores this content. Not in a thread, of which there are few."""
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        await asyncio.sleep(LOOK_EVERY)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one at `path`: another one may have renamed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _hash(file: BinaryIO, count: int, hasher: hashlib._Hash) -> None:
    while count > 0 and (data := file.read(min(count, PIECE))):
        hasher.update(data)
        count -= len(data)
