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

from ...core.errors import Conflict, EvqError, UsageError
from ...core.history import Contents, Export, Part, Working, decode_message
from ..follow import LEAST_ROOM, Follower
from ..snapshots import Snapshots
from ..store import room
from .parts import Order

CHUNK = 512 * 1024
_WORKING_SECONDS = 5.0
_LINE = 2**24

_wish = msgspec.json.Decoder(Export)
_working = msgspec.json.encode(Working())


class Exports:
    """Serves `evqsvc.export`, to one at a time. `folder` is for files on their way."""

    def __init__(self, follower: Follower, snapshots: Snapshots, folder: Path) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._folder = folder
        self._busy = False
        shutil.rmtree(folder, ignore_errors=True)

    async def export(self, data: bytes) -> AsyncIterator[bytes]:
        """The answer to an `Export`; see `core.history`."""
        wish = _decode(data)
        if self._busy:
            raise Conflict(
                "another export is made at this moment",
                why="a projector makes one at a time",
                fix="try again when it is done",
            )
        self._busy = True
        try:
            await self._follower.catch_up()
            async with self._snapshots.use(self._follower.position) as snapshot:
                async for message in self._messages(snapshot.path, wish):
                    yield message
        finally:
            self._busy = False
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _messages(self, snapshot: Path, wish: Export) -> AsyncIterator[bytes]:
        self._folder.mkdir(mode=0o700, parents=True)
        order = msgspec.json.encode(Order(str(snapshot), str(self._folder), wish))
        number = 0
        async with _maker(order) as process:
            while True:
                self._check_room()
                line = await _line(process)
                if line is None:
                    yield _working
                    continue
                yield line
                match decode_message(line):
                    case Part():
                        file = self._folder / f"{number}.parquet"
                        async for chunk in _chunks(file):
                            yield chunk
                        await asyncio.to_thread(file.unlink)
                        number += 1
                        _taken(process)
                    case Contents():
                        return
                    case Working():
                        pass

    def _check_room(self) -> None:
        if (free := room(self._folder)) < LEAST_ROOM:
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
