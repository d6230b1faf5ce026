"""The DuckDB file: opened by one process, written by one thread, and read by others beside it.

A position in a stream is kept in the same transaction as the rows that follow from it: after any
exception or crash it is enough to open the file again and to go on from there.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from ..core.errors import Conflict, EvqError
from ..core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM
from .samples.columns import schema as sample_schema

VERSION = 16
"""Raised with every change of the `SCHEMA`; an older file is rebuilt from the log."""

SCHEMA = ("macros.sql", "schema.sql", "overviews.sql", "samples.sql")

FILE = "evq.duckdb"
REBUILD = "evq projector --rebuild"

Failed = duckdb.Error
"""What any method of `Database` may raise: the file must then be opened again."""

Interrupted = duckdb.InterruptException
"""What a reader raises that was told to end."""

Busy = duckdb.TransactionException
"""What `hold` raises while somebody reads in a moment before the last change."""

Unfit = (duckdb.DataError, duckdb.InvalidInputException, OverflowError, TypeError, ValueError)
"""What a value that the database cannot hold raises."""

_HOLDER = re.compile(r"PID (\d+)")
_MEMORY = "2GB"
_FICLONE = 0x40049409


class Position(msgspec.Struct, frozen=True):
    """How far a stream was read. `created` tells it from a later stream of the same name."""

    created: str
    seq: int


class Answer(msgspec.Struct, frozen=True):
    """The result of a query: columns as (name, type), and rows."""

    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]


Ask = Callable[[str, Mapping[str, Any]], Answer]
"""Answers SQL with parameters, always in the same moment of the database."""

Question = Callable[[Ask], Answer]
"""Makes an answer of as many queries as it takes."""


def database_file(store: Path) -> Path:
    """Where a store keeps its database. Makes the store's folder if it is not there."""
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    return store / FILE


class OldSchema(Conflict):
    """The file was written by an older evq: it has to be rebuilt."""


class Tables:
    """Rows in and out of an open connection; every method may raise `Failed`. Not thread-safe."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._types = self._read_types()

    def _read_types(self) -> dict[str, dict[str, str]]:
        types: dict[str, dict[str, str]] = {}
        for table, column, kind in self.rows(
            "SELECT table_name, column_name, data_type FROM duckdb_columns()"
            " WHERE database_name = current_database() AND starts_with(table_name, '_')"
            " ORDER BY table_name, column_index"
        ):
            types.setdefault(table, {})[column] = kind
        return types

    def beside(self) -> Tables:
        """Another connection to the same database, which can be used at the same time."""
        return Tables(self._connection.cursor())

    def interrupt(self) -> None:
        """End what is being done, if something is; from any thread."""
        with suppress(duckdb.Error):
            self._connection.interrupt()

    def close(self) -> None:
        """Close the connection; whatever goes wrong then has been committed before."""
        with suppress(duckdb.Error):
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is done in the block."""
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            with suppress(duckdb.Error):
                self._connection.rollback()
            raise

    def rows(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: object = None) -> None:
        """Carry out a statement."""
        self._connection.execute(sql, parameters)

    def answer(self, sql: str, parameters: Mapping[str, Any]) -> Answer:
        """The result of a query, with its columns."""
        return _answer(self._connection, sql, parameters)

    def append(self, table: str, rows: Sequence[msgspec.Struct], into: str | None = None) -> None:
        """Add rows, whose fields are the table's columns in order, to it or to one like it."""
        types = self._types[table]
        columns = ", ".join(_select(name, kind) for name, kind in types.items())
        self.append_by(
            f"INSERT INTO {into or table} SELECT {columns} FROM appender_data",
            {name: _RAW.get(kind, kind) for name, kind in types.items()},
            [msgspec.structs.astuple(row) for row in rows],
        )

    def append_by(
        self, sql: str, types: Mapping[str, str], rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Hand rows with these columns to a statement that reads them from `appender_data`."""
        if not rows:
            return
        appender = self._connection.query_appender(sql, dict(types))
        appender.append_rows(rows)
        appender.flush()

    def delete(self, table: str, key: str, keys: Sequence[int] | Sequence[str]) -> None:
        """Delete the rows whose column `key` is one of `keys`."""
        if keys:
            kind = self._types[table][key]
            self.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT unnest($1::{kind}[]))", [keys]
            )


class Database(Tables):
    """An open file."""

    def __init__(self, path: Path, *, checkpoint: str = "64MB") -> None:
        """Open the file, or make it. `checkpoint` is how much WAL there may be.

        Raises `OldSchema`, or `Conflict` if another process holds it or a newer evq wrote it.
        """
        self.path = path
        self._checkpoint = checkpoint
        self._held = False
        self._connection = _open(path, {"checkpoint_threshold": checkpoint})
        self._file = path.open("rb")
        try:
            self._types = self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> dict[str, dict[str, str]]:
        if "_version" not in self._read_types():
            with self.transaction():
                for statement in schema():
                    self.execute(statement)
                self.execute(f"CREATE TABLE _version AS SELECT {VERSION} AS version")
        found = self.rows("SELECT version FROM _version")[0][0]
        if found != VERSION:
            kind, age = (OldSchema, "an older") if found < VERSION else (Conflict, "a newer")
            raise kind(
                f"{self.path} was written by {age} version of evq",
                why=f"its tables have version {found}, this evq's have {VERSION}",
                fix=f"{REBUILD} makes a new one from the log",
            )
        return self._read_types()

    def close(self) -> None:
        """Close the file; whatever goes wrong then has been committed before."""
        super().close()
        self._file.close()

    # --- positions ----------------------------------------------------------------------------

    def positions(self) -> dict[str, Position]:
        """How far each stream was read."""
        found = self.rows("SELECT stream, created, seq FROM _positions")
        return {stream: Position(created, seq) for stream, created, seq in found}

    def start(self, stream: str, created: str) -> None:
        """Begin to read a stream."""
        self.execute("INSERT INTO _positions VALUES ($1, $2, 0)", [stream, created])
        self.execute("INSERT INTO _lineage VALUES ($1, $2)", [stream, created])
        if stream == SAMPLES_STREAM:
            self.break_lineage(stream)  # what is summed up together depends on when

    def break_lineage(self, stream: str) -> None:
        """Tell copies that rows of a stream were taken back or summed up otherwise, with that."""
        self.execute("UPDATE _lineage SET name = uuid() WHERE stream = $1", [stream])

    def move(self, stream: str, seq: int) -> None:
        """Set a stream's position; in the transaction of the rows that follow from it."""
        self.execute("UPDATE _positions SET seq = $2 WHERE stream = $1", [stream, seq])

    def reader(self) -> Reader:
        """Somebody who reads beside us; to be closed before this is."""
        return Reader(self._connection.cursor())

    # --- the file -----------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write everything into the file itself, unless it is held."""
        if not self._held:
            self._connection.execute("CHECKPOINT")

    def hold(self) -> None:
        """Write everything into the file itself and let it stand for that until `release`: what is
        committed meanwhile goes to the WAL, or to blocks that belong to nothing yet."""
        self.checkpoint()
        self._held = True
        self.execute("SET GLOBAL checkpoint_threshold = '1TB'")
        self.execute(f"SET GLOBAL auto_checkpoint_skip_wal_threshold = {2**62}")

    def release(self) -> None:
        """Let the file go on."""
        self._held = False
        self.execute(f"SET GLOBAL checkpoint_threshold = '{self._checkpoint}'")
        self.execute("RESET GLOBAL auto_checkpoint_skip_wal_threshold")

    def copy(self, target: Path) -> None:
        """A copy of the file that is held, as one that stands for itself. May run in any thread;
        raises `ValueError` if the database is closed meanwhile."""
        # Through a descriptor that stays open: to close any descriptor of the file would end
        # DuckDB's lock on it (such are POSIX locks), and a second projector could come in.
        with target.open("wb") as new:
            try:
                # At no cost where the file system shares blocks (XFS, Btrfs).
                fcntl.ioctl(new.fileno(), _FICLONE, self._file.fileno())
            except OSError:
                self._file.seek(0)
                shutil.copyfileobj(self._file, new, 8 * 2**20)

    # --- another database beside this one -----------------------------------------------------

    def attach(self, path: Path) -> None:
        """Open another database as `old`, and keep everybody else from it.

        Raises `Conflict` if another process holds it and `Failed` if it cannot be read.
        """
        quoted = str(path).replace("'", "''")
        try:
            self.execute(f"ATTACH '{quoted}' AS old")
        except duckdb.Error as error:
            _raise_if_held(path, error)
            raise

    def checkpoint_old(self) -> None:
        """Empty the WAL of the attached database."""
        self.execute("CHECKPOINT old")


class Reader:
    """Reads in one moment of the database, whatever is written meanwhile. Used by one thread at a
    time; only `interrupt` may come from another. Every method may raise `Failed`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def ask(self, question: Question) -> tuple[int, Answer]:
        """The answer to a question, and the lifecycle sequence up to which it knows the log.

        Raises `Interrupted`, one of `Unfit`, or what the question raises.
        """
        self._connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            # The position is read in the same moment as the rows that follow from it.
            position = self._connection.execute(_LIFECYCLE, [LIFECYCLE_STREAM]).fetchone()
            answer = question(lambda sql, values: _answer(self._connection, sql, values))
        finally:
            with suppress(duckdb.Error):
                self._connection.rollback()
        return int(position[0]) if position else 0, answer

    def interrupt(self) -> None:
        """End what is being read, if something is."""
        with suppress(duckdb.Error):
            self._connection.interrupt()

    def close(self) -> None:
        """Let go of the file."""
        with suppress(duckdb.Error):
            self._connection.close()


_LIFECYCLE = "SELECT seq FROM _positions WHERE stream = $1"


def _answer(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> Answer:
    result = connection.execute(sql, dict(parameters))
    columns = [(column[0], str(column[1])) for column in result.description]
    return Answer(columns, result.fetchall())


def schema() -> Iterator[str]:
    """The statements that make all tables and views."""
    folder = resources.files(__package__)
    for file in SCHEMA:
        for statement in duckdb.extract_statements(folder.joinpath(file).read_text("utf-8")):
            yield statement.query
    yield from sample_schema()


def room(path: Path) -> int:
    """How many bytes are free where the file is."""
    return shutil.disk_usage(path.parent).free


# How a column's values arrive, where that differs from how they are stored.
_RAW = {"TIMESTAMP": "BIGINT", "JSON": "VARCHAR"}


def _select(name: str, kind: str) -> str:
    if kind == "TIMESTAMP":
        return f'make_timestamp("{name}")'
    if kind == "JSON":
        # What this version did not understand may be JSON for msgspec only.
        return f'TRY_CAST("{name}" AS JSON)'
    return f'"{name}"'


_UNUSABLE_WAL = ("orrupt", "checksum", "replay", "iteration")
"""What DuckDB says of a WAL that is damaged, or older than the file that it lies beside."""


def _open(path: Path, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    try:
        return _connect(path, config)
    except duckdb.Error as error:
        _raise_if_held(path, error)
        text = str(error)
        if "WAL" in text and any(word in text for word in _UNUSABLE_WAL):
            # What the WAL held is read from the stream again, from the position in the file on.
            _move_wal_away(path)
            return _connect(path, config)
        raise EvqError(
            f"the database {path} cannot be opened",
            why=text.splitlines()[0],
            fix=f"{REBUILD} makes a new one from the log",
        ) from error


def _connect(path: Path, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(path),
        config={"memory_limit": _MEMORY, "autoinstall_known_extensions": "false", **config},
    )


def _raise_if_held(path: Path, error: duckdb.Error) -> None:
    text = str(error)
    if "lock" not in text:
        return
    holder = _HOLDER.search(text)
    raise Conflict(
        f"another process holds the database {path}",
        why=f"process {holder[1]} has it open" if holder else text.splitlines()[0],
        fix=f"stop it (kill {holder[1]}), or give this one a --store of its own"
        if holder
        else "stop it, or give this one a --store of its own",
    ) from error


def _move_wal_away(path: Path) -> None:
    wal = path.with_name(path.name + ".wal")
    wal.rename(wal.with_name(f"{wal.name}.corrupt-{time.time_ns()}"))
