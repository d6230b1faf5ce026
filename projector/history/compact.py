"""A smaller database: what was deleted leaves holes in DuckDB's file, and only a copy has none.

The copy is made by a process of its own (`python -m evq.projector.history.compact COPY NEW`) from a
snapshot. Meanwhile the projection goes on; when the new file takes the old one's place, it knows
less than the old one did, and reads the streams again from the positions that it names.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ...core.errors import EvqError
from ...core.subjects import SAMPLES_STREAM
from ..store import Database, room

LEAST_BYTES = 16 * 2**20
LEAST_PART = 0.2
"""So much, and such a part of the file, must be empty for a copy to be worth it."""


class Compacted(Exception):
    """A smaller file is ready: close the database, adopt it, and open again."""


def is_wasteful(database: Database) -> bool:
    """Whether much of the file is empty, and there is room for two copies of the rest."""
    database.checkpoint()
    ((block, used, free),) = database.rows(
        "SELECT block_size, used_blocks, free_blocks FROM pragma_database_size()"
        " WHERE database_name = current_database()"
    )
    empty = free * block
    return bool(
        empty >= max(LEAST_BYTES, LEAST_PART * (used + free) * block)
        and room(database.path) > (2 * used + free) * block
    )


async def compact(snapshot: Path, path: Path) -> None:
    """Make a smaller database for `path` from a snapshot of it, which is used up.

    Raises `EvqError` if that fails.
    """
    new = _new(path)
    _remove(new)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", __name__, str(snapshot), str(new)
        )
        try:
            if await process.wait():
                raise EvqError("the database could not be copied", why="its log says why")
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
    except BaseException:
        _remove(new)
        raise
    finally:
        _remove(snapshot)


def adopt(path: Path) -> int:
    """Put the smaller file in the place of the one at `path`, which nobody has open; by how many
    bytes it is smaller, 0 if there is none."""
    new = _new(path)
    if not new.exists():
        return 0
    saved = path.stat().st_size - new.stat().st_size
    # Without its WAL the old file is still a database, of an older position.
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return saved


def discard(path: Path) -> None:
    """Remove what a process that was killed left of a copy."""
    _remove(_new(path))
    _remove(copy_of(path))


def copy_of(path: Path) -> Path:
    """Where the snapshot for a smaller file is put."""
    return path.with_name("compacting.duckdb")


def _new(path: Path) -> Path:
    return path.with_name("compacted.duckdb")


def _remove(file: Path) -> None:
    for one in (file, file.with_name(file.name + ".wal")):
        one.unlink(missing_ok=True)


def main(snapshot: Path, new: Path) -> None:
    """Copy every row."""
    os.nice(5)
    # Under a name of its own until it is whole.
    unfinished = new.with_name(new.name + ".part")
    _remove(unfinished)
    database = Database(unfinished, checkpoint="512MB")
    database.attach(snapshot)
    with database.transaction():
        for (table,) in database.rows(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'old' AND NOT internal"
        ):
            database.execute(f"DELETE FROM {table}")
            database.execute(f"INSERT INTO {table} BY NAME FROM old.{table}")
        # Minutes may be summed up otherwise when they are summed up again.
        database.break_lineage(SAMPLES_STREAM)
    database.checkpoint()
    database.close()
    handle = os.open(unfinished, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    unfinished.replace(new)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
