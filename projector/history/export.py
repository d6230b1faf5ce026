"""What is new of the history, to whoever keeps a copy of it: files made from a snapshot, and sent.

A process of its own makes them one after the other, so that neither the projection nor the
projector's memory knows of it.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from ...core.errors import EvqError, UsageError
from ...core.history import Contents, Export, Part, Working, decode_message
from ..follow import LEAST_ROOM, Follower
from ..snapshots import Snapshots
from ..store import room
from .parts import Order

AT_ONCE = 3
CHUNK = 512 * 1024
_WORKING_SECONDS = 5.0
_LINE = 2**24

_wish = msgspec.json.Decoder(Export)
_working = msgspec.json.encode(Working())


class Exports:
    """Serves `evqsvc.export`, to a few at a time. `folder` is for files on their way."""

    def __init__(self, follower: Follower, snapshots: Snapshots, folder: Path) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._folder = folder
        self._room = asyncio.Semaphore(AT_ONCE)
        self._count = 0
        shutil.rmtree(folder, ignore_errors=True)

    async def export(self, data: bytes) -> AsyncIterator[bytes]:
        """The answer to an `Export`; see `core.history`."""
        wish = _decode(data)
        while not await self._enter():
            yield _working
        self._count += 1
        folder = self._folder / str(self._count)
        try:
            await self._follower.catch_up()
            wanted = self._follower.position
            while pause := self._snapshots.pause(wanted):
                yield _working
                await asyncio.sleep(min(pause, _WORKING_SECONDS))
            await asyncio.to_thread(folder.mkdir, 0o700, True)
            async with self._snapshots.use(self._follower.position) as snapshot:
                async for message in self._messages(snapshot.path, folder, wish):
                    yield message
        finally:
            self._room.release()
            shutil.rmtree(folder, ignore_errors=True)

    async def _enter(self) -> bool:
        """Whether there is room now, or soon: one whose taker was killed goes in half a minute."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WORKING_SECONDS):
                return await self._room.acquire()
        return False

    async def _messages(self, snapshot: Path, folder: Path, wish: Export) -> AsyncIterator[bytes]:
        order = msgspec.json.encode(Order(str(snapshot), str(folder), wish))
        number = 0
        async with _maker(order) as process:
            while True:
                check_room(folder)
                line = await _line(process)
                if line is None:
                    yield _working
                    continue
                yield line
                match decode_message(line):
                    case Part():
                        file = folder / f"{number}.parquet"
                        async for chunk in _chunks(file):
                            yield chunk
                        await asyncio.to_thread(file.unlink)
                        number += 1
                        _taken(process)
                    case Contents():
                        return
                    case Working():
                        pass


def check_room(folder: Path) -> None:
    """Raise `EvqError` if the disk should take no more files that are only to be sent."""
    if (free := room(folder)) < LEAST_ROOM:
        raise EvqError(
            "the projector's disk has no room for files on their way",
            why=f"{free // 2**20} MiB are free, {LEAST_ROOM // 2**20} MiB must stay",
            fix="free some, then export again: what was kept stays",
        )


def _decode(data: bytes) -> Export:
    try:
        return _wish.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError("the wish for an export cannot be read", why=str(error)) from error


@asynccontextmanager
async def _maker(order: bytes) -> AsyncIterator[Process]:
    """The process that makes the files; it is gone after the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "evq.projector.history.parts",
        stdin=PIPE,
        stdout=PIPE,
        limit=_LINE,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(order + b"\n")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        # The pipes' transports live until they are closed, and would warn at the loop's end.
        process._transport.close()  # type: ignore[attr-defined]


def _taken(process: Process) -> None:
    """Let it go on; one that has made its last file has gone already."""
    assert process.stdin is not None
    if not process.stdin.is_closing():
        process.stdin.write(b"\n")


async def _line(process: Process) -> bytes | None:
    """The next message, or null if it takes longer than whoever waits should be left alone."""
    assert process.stdout is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(_WORKING_SECONDS):
            line = await process.stdout.readline()
            if line:
                return line.rstrip(b"\n")
            raise EvqError(
                "the export could not be made",
                why=f"its process ended with {await process.wait()}; the projector's log says why",
                fix="try again; evq status shows whether the disk is full",
            )
    return None


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    """What is in a file."""
    with file.open("rb") as source:
        while chunk := await asyncio.to_thread(source.read, CHUNK):
            yield chunk
