"""A process that carries out one query of a user and ends: `python -m evq.projector.sandbox`.

DuckDB has no privileges inside: a query may read files, and its limits of memory and time can be
passed by in one line of SQL. So the process takes its own rights away before it reads a word of
the query, in layers: no network, no new privileges, limits of the kernel on memory, CPU time,
files; then DuckDB's own settings, locked; a snapshot opened for reading; one statement that reads.
It may write one file, if one is asked for, which has no name and a limited length.
Its parent ends it by SIGKILL when its time is over.

It reads one `Order` as a line of JSON and writes frames: a letter, a length of four bytes, JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import duckdb
import msgspec

from ..core.errors import QueryFailed
from ..core.past import Moment
from ..core.questions import Column
from . import parquet
from .values import parts

HEADER = struct.Struct(">cI")
HEAD, ROWS, FILE, ERROR, END = b"h", b"r", b"f", b"e", b"."

_ROWS_AT_ONCE = 1000
_MAX_WHY_LINES = 6
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


class Order(msgspec.Struct, frozen=True):
    """What to do: `timeout` is in seconds, `memory` in bytes, `rows` how many are allowed; the
    rest is as in `questions.Sql`. `path` is a snapshot, or the folder of an export's edition."""

    path: str
    text: str
    timeout: float
    rows: int
    memory: int
    threads: int
    params: dict[str, Any] = {}
    only_names: bool = False
    moment: Moment | None = None
    parquet: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no (more) result."""

    what: str
    why: str
    fix: str


def main() -> None:
    """Wait for the order, carry it out, end."""
    renounce()
    line = sys.stdin.buffer.readline()
    if not line:
        return
    order = msgspec.json.decode(line, type=Order)
    out = sys.stdout.buffer
    try:
        for kind, data in carry_out(order):
            _write(out, kind, data)
        _write(out, END, b"")
    except QueryFailed as error:
        _refuse(out, error)
    except BrokenPipeError:
        pass
    except Exception as error:
        # Whatever else it was: a process that ends without a word helps nobody.
        _refuse(out, unexpected(error))
    finally:
        # Not the usual end: it would wait for DuckDB's threads and warn about open results.
        os._exit(0)


def _write(out: BinaryIO, kind: bytes, data: bytes) -> None:
    out.write(HEADER.pack(kind, len(data)))
    out.write(data)
    out.flush()


def _refuse(out: BinaryIO, error: QueryFailed) -> None:
    with contextlib.suppress(BrokenPipeError):
        _write(out, ERROR, msgspec.json.encode(Refusal(error.what, error.why, error.fix)))


# --- the process's own rights -----------------------------------------------------------------


def renounce() -> None:
    """Give up what the query will not need. What the kernel does not grant, is done without."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    os.nice(5)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _limit(order: Order) -> None:
    # DuckDB maps more than it uses, and its scalar functions allocate beside its memory_limit.
    # What is mapped by now (libraries, stacks) grows with the machine's cores and comes on top.
    _lower(resource.RLIMIT_AS, _mapped() + 2 * order.memory + 2**30)
    _lower(resource.RLIMIT_CPU, int(order.timeout * order.threads) + 2)
    _lower(resource.RLIMIT_FSIZE, parquet.LIMIT if order.parquet else 0)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, 4096 if os.path.isdir(order.path) else 64)


def _mapped() -> int:
    """Bytes of address space in use; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))


# --- the query --------------------------------------------------------------------------------


def carry_out(order: Order) -> Iterator[tuple[bytes, bytes]]:
    """The frames of an answer, made within the order's limits, which stay with the process.

    Raises `QueryFailed`.
    """
    try:
        _limit(order)
        yield from _answer(order)
    except MemoryError as error:
        raise _too_large() from error


def _answer(order: Order) -> Iterator[tuple[bytes, bytes]]:
    began = time.monotonic()
    file = parquet.unnamed_file(order.path) if order.parquet else None
    try:
        connection = _connect(order, file)
        statement = _only_statement(connection, order.text)
        if order.only_names:
            yield HEAD, msgspec.json.encode([Column("name", "VARCHAR")])
            yield from ((ROWS, part) for part in parts(_names(statement), ["VARCHAR"]))
            return
        _check_parameters(statement, order.params)
        if file:
            columns = _write_parquet(connection, statement, order.params, file)
            yield HEAD, msgspec.json.encode(columns)
            yield from ((FILE, chunk) for chunk in parquet.chunks(file))
            return
        result, columns = _execute(connection, statement, order.params)
        yield HEAD, msgspec.json.encode(columns)
        rows = _rows(result, order.rows)
        for part in parts(rows, [column.type for column in columns]):
            yield ROWS, part
    except duckdb.InterruptException as error:
        raise timed_out(order.timeout) from error
    except duckdb.OutOfMemoryException as error:
        raise _too_large() from error
    except duckdb.Error as error:
        if time.monotonic() - began > order.timeout:
            raise timed_out(order.timeout) from error
        raise _wrong(error) from error


def _connect(order: Order, file: BinaryIO | None) -> duckdb.DuckDBPyConnection:
    is_export = os.path.isdir(order.path)
    connection = duckdb.connect(
        ":memory:" if is_export else order.path,
        read_only=not is_export,
        config={
            "threads": str(order.threads),
            "memory_limit": f"{order.memory}B",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "max_temp_directory_size": "0B",
        },
    )
    connection.execute(f"SET max_execution_time = {int(order.timeout * 1000)}")
    connection.execute("SET TimeZone = 'UTC'")
    if is_export:
        # What the folder holds may be read, and nothing else: views.sql is no more trusted than
        # the query is.
        os.chdir(order.path)
        connection.execute("SET allowed_directories = [$folder]", {"folder": os.getcwd() + "/"})
    if order.moment:
        _look_back(connection, order.moment)
    if file:
        connection.execute("SET allowed_paths = $paths", {"paths": [parquet.path_of(file)]})
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    if is_export:
        with open("views.sql", encoding="utf-8") as script:
            connection.execute(script.read())
    return connection


def _look_back(connection: duckdb.DuckDBPyConnection, moment: Moment) -> None:
    # Most queries are about the present, and need none of this.
    from .past.connection import Past
    from .store import Tables

    Past(Tables(connection)).stay(moment)


def _only_statement(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    try:
        statements = connection.extract_statements(text)
        kinds = [statement.type for statement in statements]
    except ValueError as error:  # a statement of a type that this Python package cannot name
        raise _refused("this kind of statement") from error
    if len(statements) != 1:
        raise _refused(f"{len(statements)} statements at once" if statements else "an empty query")
    if kinds[0] not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise _refused(f"{kinds[0].name} statements")
    return statements[0]


def _names(statement: Any) -> list[tuple[str]]:
    """The parameters that a statement wants."""
    return [(name,) for name in sorted(statement.named_parameters)]


def _check_parameters(statement: Any, given: dict[str, Any]) -> None:
    wanted = [name for (name,) in _names(statement)]
    if sorted(given) == wanted:
        return
    missing = [f"{name} is missing" for name in wanted if name not in given]
    unknown = [f"it has no ${name}" for name in given if name not in wanted]
    raise QueryFailed(
        "the query's parameters are not those that were given",
        why=" and ".join(missing + unknown),
        fix=f"it takes {' '.join(f'{name}=…' for name in wanted)}" if wanted else "give none",
    )


def _write_parquet(
    connection: duckdb.DuckDBPyConnection, statement: Any, params: dict[str, Any], file: BinaryIO
) -> list[Column]:
    if statement.type != duckdb.StatementType.SELECT:
        raise _refused(f"a Parquet file of {statement.type.name}")
    connection.execute("BEGIN TRANSACTION READ ONLY")
    return parquet.write(connection, statement.query, params, file)


def _execute(
    connection: duckdb.DuckDBPyConnection, statement: Any, params: dict[str, Any]
) -> tuple[duckdb.DuckDBPyConnection, list[Column]]:
    # The snapshot is open for reading only. This also stops what writes elsewhere (a temporary
    # table by a data-modifying CTE, a sequence).
    connection.execute("BEGIN TRANSACTION READ ONLY")
    if statement.type == duckdb.StatementType.SELECT:
        relation = connection.sql(statement.query, params=params)
        columns = [
            Column(name, str(kind))
            for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
        if any("WITH TIME ZONE" in column.type for column in columns):
            return _without_time_zones(connection, statement.query, params, columns)
    result = connection.execute(statement, params)
    return result, [Column(column[0], str(column[1])) for column in result.description]


def _without_time_zones(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    params: dict[str, Any],
    columns: list[Column],
) -> tuple[duckdb.DuckDBPyConnection, list[Column]]:
    """Times with a zone as times in UTC: the Python package wants pytz to read the former."""
    names = [f"c{number}" for number in range(len(columns))]
    chosen = ", ".join(_utc(name, column.type) for name, column in zip(names, columns, strict=True))
    query = query.rstrip().rstrip(";")
    result = connection.execute(
        f"SELECT {chosen} FROM (\n{query}\n) AS q({', '.join(names)})", params
    )
    kinds = [str(column[1]) for column in result.description]
    return result, [Column(c.name, kind) for c, kind in zip(columns, kinds, strict=True)]


def _utc(name: str, kind: str) -> str:
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"make_timestamp(epoch_us({name}))"
    return f"CAST({name} AS VARCHAR)" if "WITH TIME ZONE" in kind else name


def _rows(result: duckdb.DuckDBPyConnection, limit: int) -> Iterator[tuple[Any, ...]]:
    count = 0
    while some := result.fetchmany(_ROWS_AT_ONCE):
        yield from some[: limit - count]
        count += len(some)
        if count > limit:
            raise QueryFailed(
                f"the result has more than {limit} rows",
                why="the rest was not sent",
                fix="add a LIMIT, or allow more rows",
            )


# --- how it can fail --------------------------------------------------------------------------


def timed_out(seconds: float) -> QueryFailed:
    """The query ran longer than it was allowed to."""
    return QueryFailed(
        f"the query was ended after {seconds:g} s",
        why="it was not done by then",
        fix="ask for less, or allow more time",
    )


def _too_large() -> QueryFailed:
    return QueryFailed(
        "the query needs more memory than it may have",
        why="a value or an intermediate result was too large",
        fix="ask for less: fewer rows, fewer columns, shorter texts",
    )


def unexpected(error: Exception) -> QueryFailed:
    """Whatever else may go wrong."""
    return QueryFailed(
        "the query ended in a way that evq did not expect",
        why=f"{type(error).__name__}: {error}",
        fix="ask in another way, and tell us about it",
    )


def _refused(what: str) -> QueryFailed:
    return QueryFailed(
        f"{what} cannot be carried out",
        why="a query is one statement that reads: SELECT, EXPLAIN, DESCRIBE, SHOW or SUMMARIZE",
        fix="docs/views.md tells what can be read",
    )


def _wrong(error: duckdb.Error) -> QueryFailed:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return QueryFailed(
        "the query cannot be carried out",
        why="\n".join(lines[:_MAX_WHY_LINES]),
        fix="DESCRIBE tasks shows the columns of a view; docs/views.md explains them",
    )


if __name__ == "__main__":
    main()
