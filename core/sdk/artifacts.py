"""Artifacts for whoever has a bus: content into a depot and out of it, checked both ways.

The log names artifacts (`core.artifacts`), a depot holds their content. Both ways go on where they
were cut off, and nothing half is ever seen: it is renamed into place when its digest is right.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..artifacts import NATS, S3, Artifact
from ..bus.depots.source import PIECE
from ..errors import ArtifactFailed
from ..ports import BusAway, Depot, Lying
from ..units import size_text
from . import carrying

if TYPE_CHECKING:
    from ..bus.connect import Bus

Patience = Callable[[BusAway], Awaitable[None]]

LOOK_EVERY = 0.1
"""Seconds between two looks whether somebody else has fetched the same."""


def open_depot(bus: Bus, name: str) -> Depot:
    """The depot of that name, as `core.artifacts.read_depot` gives it."""
    if name == NATS:
        return bus.depot
    if name.startswith(S3):
        from ..bus.depots.s3 import S3Depot

        return S3Depot(name)
    from ..bus.depots.folder import FolderDepot

    return FolderDepot(Path(name))


async def contents(bus: Bus, depot: str) -> list[Lying]:
    """What lies in a depot, whole or not, named in the log or not."""
    return [lying async for lying in open_depot(bus, depot).all()]


async def remove(bus: Bus, depot: str, lying: Lying) -> bool:
    """Remove content that nobody names any more, unless it was saved again since it was listed;
    whether it is gone.

    Whoever saves stores first and tells the log then: leave alone what is not a day old.
    """
    return await open_depot(bus, depot).remove(lying)


async def store(
    depot: Depot, file: BinaryIO, most: int, patience: Patience | None = None
) -> tuple[str, int]:
    """Bring a file into a depot; its digest and its size.

    `most` is how many bytes may lie in the server. Without `patience` it raises `BusAway`.
    """
    size = os.fstat(file.fileno()).st_size
    if depot.name == NATS and size > most:
        raise ArtifactFailed(
            f"the artifact is too large for the server: {size_text(size)}",
            why=f"the setting artifact_bytes allows {size_text(most)} there",
            fix="keep artifacts in a folder that all machines share, or in S3:\n"
            "evq agent with EVQ_ARTIFACTS=/shared/folder or EVQ_ARTIFACTS=s3://BUCKET/PREFIX",
        )
    digest = await asyncio.to_thread(digest_of, file)
    while True:
        try:
            await depot.put(digest, file)
            return digest, size
        except BusAway as away:
            if patience is None:
                raise
            await patience(away)


def digest_of(file: BinaryIO) -> str:
    """The SHA-256 of all of an open file."""
    file.seek(0)
    hasher = hashlib.sha256()
    while data := file.read(PIECE):
        hasher.update(data)
    return hasher.hexdigest()


async def fetch(
    depot: Depot, artifact: Artifact, file: BinaryIO, patience: Patience | None = None
) -> None:
    """Write an artifact's content into a file, going on behind what an earlier call left there.

    Without `patience` it raises `BusAway`.
    """
    hasher = hashlib.sha256()
    there = await asyncio.to_thread(_hash_left, file, artifact.size, hasher)
    before = there
    while there < artifact.size:
        try:
            async for piece in depot.read(artifact.digest, there):
                await asyncio.to_thread(_write, file, piece, artifact)
                hasher.update(piece)
                there += len(piece)
            break
        except BusAway as away:
            if patience is None:
                raise
            await patience(away)
    if hasher.hexdigest() == artifact.digest:
        return
    file.seek(0)
    file.truncate()
    if before:
        # What was left was not what had been written: a power cut does that.
        return await fetch(depot, artifact, file, patience)
    raise _damaged(artifact, hasher)


def _damaged(artifact: Artifact, hasher: hashlib._Hash) -> ArtifactFailed:
    return ArtifactFailed(
        f"the content of {artifact.name} is damaged in {artifact.depot}",
        why=f"its digest is {hasher.hexdigest()[:12]}, and {artifact.digest[:12]} was saved",
        fix="run the task again; evq get --attempt N has an earlier one",
    )


def _hash_left(file: BinaryIO, most: int, hasher: hashlib._Hash) -> int:
    """Read what is in the file already, and stand behind it."""
    file.seek(0)
    there = 0
    while there < most and (data := file.read(min(PIECE, most - there))):
        hasher.update(data)
        there += len(data)
    file.truncate(there)
    file.seek(there)
    return there


def _write(file: BinaryIO, data: bytes, artifact: Artifact) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        raise ArtifactFailed(
            f"{artifact.name} cannot be written here: {error.strerror}",
            why=f"it has {size_text(artifact.size)}",
            fix="free some disk space; what is here already is not fetched again",
        ) from error


async def contents_of(bus: Bus, artifact: Artifact, start: int = 0) -> AsyncIterator[bytes]:
    """The content from a byte on, in pieces.

    Of all of it, the last piece comes only if the digest is right. Raises `ArtifactFailed`.
    """
    hasher = hashlib.sha256()
    left = artifact.size - start
    async for piece in open_depot(bus, artifact.depot).read(artifact.digest, start):
        await asyncio.to_thread(hasher.update, piece)
        left -= len(piece)
        if left <= 0 and start == 0 and hasher.hexdigest() != artifact.digest:
            raise _damaged(artifact, hasher)
        yield piece


async def download(
    bus: Bus, artifact: Artifact, target: Path, patience: Patience | None = None
) -> Path:
    """Make `target` the artifact, which is a file or a folder; it may be there already.

    Raises `ArtifactFailed`, also if `target` is a folder with other things in it.
    """
    if await asyncio.to_thread(_is_there, artifact, target):
        return target
    _check_free(artifact, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        async with _partial(artifact, target) as (path, file):
            await fetch(open_depot(bus, artifact.depot), artifact, file, patience)
            await asyncio.to_thread(carrying.put_in_place, str(path), str(target), artifact.folder)
    except (OSError, ValueError) as error:
        raise ArtifactFailed(
            f"{artifact.name} cannot be put into {target.parent}", why=str(error)
        ) from error
    return target


def _check_free(artifact: Artifact, target: Path) -> None:
    if target.is_dir() and (not artifact.folder or any(target.iterdir())):
        raise ArtifactFailed(
            f"{target} is in the way",
            why="it is a folder with other things in it",
            fix="evq get --to ANOTHER-FOLDER",
        )


def _is_there(artifact: Artifact, target: Path) -> bool:
    if artifact.folder and target.is_dir():
        with tempfile.TemporaryFile(dir=target.parent) as archive, suppress(ValueError, OSError):
            carrying.pack(str(target), archive)
            return digest_of(archive) == artifact.digest
    elif target.is_file() and target.stat().st_size == artifact.size:
        with target.open("rb") as file:
            return digest_of(file) == artifact.digest
    return False


@asynccontextmanager
async def _partial(artifact: Artifact, target: Path) -> AsyncIterator[tuple[Path, BinaryIO]]:
    """The file beside `target` that its content is written to, for us alone."""
    path = target.with_name(f".{target.name}.{artifact.digest[:12]}.part")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            if _take(file, path):
                yield path, file
                return
        await asyncio.sleep(LOOK_EVERY)


def _take(file: BinaryIO, path: Path) -> bool:
    """Lock the file; False if somebody else has it, or has renamed it meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except (BlockingIOError, FileNotFoundError):
        return False
