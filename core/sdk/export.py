"""A copy of the history in a folder: Parquet files that pandas, polars and DuckDB read.

    DIR/current             a link to the newest edition: read the history here
    DIR/editions/7/         an edition: all of the history as it was at one moment
        manifest.json       that moment, and each file with its rows
        views.sql           the views of docs/views.md over the files
        tasks/day=…/….parquet

An edition never changes. The next one shares the files that are still true with the one before, by
hard links, and becomes the current one in a single step. So whoever reads sees one moment, however
the process that exports may end.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import msgspec

from ..errors import Conflict, EvqError, NotFound, UsageError
from ..history import Contents, Export, Part, Reach, Working, decode_message
from ..subjects import question
from .client import Client

CURRENT, EDITIONS = "current", "editions"
MANIFEST, VIEWS, README = "manifest.json", "views.sql", "README.md"
MOST_PARTS = 24
"""A day that grew in more steps than these is put into one file."""

_WAIT_SECONDS = 60.0
_PATH = re.compile(r"[a-z_]+(?:/day=[0-9-]+)?/[0-9-]+\.parquet")


_README = """\
# The history of an evq, as it was at one moment

Every folder is a table, in Parquet files by day (UTC), zstd compressed. Nothing is in two files.
`manifest.json` says when that moment was, and names each file with its rows.

    import pandas as pd;  pd.read_parquet("tasks")
    import polars as pl;  pl.read_parquet("metrics/**/*.parquet")
    duckdb -c "from 'events/**/*.parquet'"

In tasks, attempts, phases, progress and metric_latest `day` is the day on which the task was
enqueued; elsewhere it is the row's own. `views.sql` makes the views that evq itself has, such as
`tasks` with wait_seconds, or `waits`, `usage` and `gpu_minutes`:

    import duckdb                        # in this folder
    db = duckdb.connect()
    db.execute(open("views.sql").read())
    db.sql("select queue, count(*) from tasks group by queue")

    evq sql --local FOLDER "select queue, count(*) from tasks group by queue"

Files here are never changed. `evq export` makes the next edition beside this one.
"""


class Manifest(msgspec.Struct, frozen=True):
    """What an edition holds: the moment (microseconds since 1970), how far each stream was read,
    how far each table goes, and its files."""

    at: int
    version: int
    streams: dict[str, int]
    tables: dict[str, Reach]
    files: tuple[Part, ...]


class Exported(msgspec.Struct, frozen=True):
    """What an export did: `files`, `rows` and `size` (bytes) are those that are new in the
    edition `folder`; none if nothing had happened."""

    folder: Path
    files: int
    rows: int
    size: int
    manifest: Manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the current edition in an export. Raises `NotFound`."""
    file = folder / CURRENT / MANIFEST
    try:
        return msgspec.json.decode(file.read_bytes(), type=Manifest)
    except OSError as error:
        raise NotFound(
            f"{folder} holds no export",
            why=f"{file} cannot be read: {error.strerror}",
            fix=f"evq export {folder}",
        ) from error
    except msgspec.DecodeError as error:
        raise EvqError(
            f"the export in {folder} cannot be read",
            why=f"{file}: {error}",
            fix="export into a new folder",
        ) from error


async def export(
    client: Client, folder: Path, tell: Callable[[Part], None] = lambda part: None
) -> Exported:
    """Bring the copy in `folder` up to now, or begin one; `tell` hears of each file.

    Raises `Conflict` if somebody else exports there, and `UsageError` for a folder of other things
    and for one that cannot be written.
    """
    try:
        return await _bring_up_to_now(client, folder, tell)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written",
            why=error.strerror or str(error),
            fix="evq export DIR, with a folder that you may write and that has room",
        ) from error


async def _bring_up_to_now(client: Client, folder: Path, tell: Callable[[Part], None]) -> Exported:
    with _locked(folder):
        known = read_manifest(folder) if (folder / CURRENT).exists() else None
        _tidy(folder)
        new = folder / EDITIONS / "new"
        new.mkdir()
        files, contents = await _receive(client, _wish(known), new, tell)
        if known and not files and contents.tables == known.tables:
            shutil.rmtree(new)
            return Exported(folder / CURRENT, 0, 0, 0, known)
        kept = [part for part in known.files if _stays(part, contents)] if known else []
        for part in kept:
            _link(folder / CURRENT / part.path, new / part.path)
        manifest = Manifest(
            contents.at,
            contents.version,
            dict(contents.streams),
            dict(contents.tables),
            tuple(sorted((*kept, *files), key=lambda part: part.path)),
        )
        _write(new / README, _README.encode())
        _write(new / VIEWS, contents.views.encode())
        _write(new / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        await asyncio.to_thread(_publish, folder, new)
        _tidy(folder)
        rows, size = sum(part.rows for part in files), sum(part.size for part in files)
        return Exported(folder / CURRENT, len(files), rows, size, manifest)


def _wish(known: Manifest | None) -> Export:
    if known is None:
        return Export()
    parts = Counter(part.path.rpartition("/")[0] for part in known.files)
    return Export(known.tables, tuple(name for name, n in parts.items() if n >= MOST_PARTS))


async def _receive(
    client: Client, wish: Export, new: Path, tell: Callable[[Part], None]
) -> tuple[list[Part], Contents]:
    """Write the files that come, and return them with what the whole is then."""
    files: list[Part] = []
    asking = client.bus.calls.ask(question("export"), msgspec.json.encode(wish), _WAIT_SECONDS)
    async with aclosing(asking) as messages:
        async for data in messages:
            match decode_message(data):
                case Working():
                    pass
                case Contents() as contents:
                    return files, contents
                case Part() as part:
                    tell(part)
                    await _receive_part(messages, part, new)
                    files.append(part)
    raise EvqError("the projector ended in the middle of the export", fix="export again")


async def _receive_part(messages: AsyncIterator[bytes], part: Part, new: Path) -> None:
    if not _PATH.fullmatch(part.path):
        raise EvqError("the projector names a file that it must not", why=part.path)
    target = new / part.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        left = part.size
        while left > 0:
            left -= file.write(await anext(messages))
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())


def _stays(part: Part, contents: Contents) -> bool:
    """Whether a file of the edition before is part of the history as it is now."""
    table = part.path.partition("/")[0]
    gone = any(part.path.startswith(f"{name}/") for name in contents.replaced)
    return table in contents.tables and not gone


# --- the folder ---------------------------------------------------------------------------------


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others from exporting there; the lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    editions = folder / EDITIONS
    if not editions.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds other things",
            why="an export has its folder for itself",
            fix=f"evq export {folder / 'history'}",
        )
    editions.mkdir(exist_ok=True)
    lock = os.open(editions, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Conflict(
            f"somebody else exports into {folder}",
            why="its lock is held",
            fix="wait for that, or use another folder",
        ) from error
    finally:
        os.close(lock)


def _tidy(folder: Path) -> None:
    """Remove what nobody needs: what an export that was killed began, and older editions. The one
    before the current stays, for those who are reading it."""
    current = folder / CURRENT
    number = int(current.resolve().name) if current.exists() else 0
    keep = {str(number), str(number - 1)}
    for edition in (folder / EDITIONS).iterdir():
        if edition.is_symlink():
            edition.unlink()
        elif edition.name not in keep:
            shutil.rmtree(edition)


def _link(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:  # a file system without hard links
        shutil.copyfile(old, new)
        _sync(new)


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    _sync(file)


def _publish(folder: Path, new: Path) -> None:
    """Make the edition the current one; from one instruction to the next, and on disk before."""
    for place, _, _ in os.walk(new):
        _sync(Path(place))
    current = folder / CURRENT
    number = int(current.resolve().name) + 1 if current.exists() else 1
    new.rename(folder / EDITIONS / str(number))
    _sync(folder / EDITIONS)
    link = folder / EDITIONS / "link"
    link.symlink_to(f"{EDITIONS}/{number}")
    link.replace(current)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
