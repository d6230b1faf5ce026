"""Queries of users, in real processes on a real database: what they may, and what stops them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import psutil
import pytest

from evq.core.errors import QueryFailed
from evq.core.questions import Column, Sql
from evq.projector import parquet
from evq.projector.cells import AT_ONCE, Cells, ask
from evq.projector.store import Database

Rows = list[list[Any]]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshot") / "evq.duckdb"
    database = Database(path)
    database.execute(
        "INSERT INTO _events SELECT i, NULL, 't', 'k', 'b', 1, '{}', NULL FROM range(9) r(i)"
    )
    database.close()
    return path


@pytest.fixture
async def cells() -> AsyncIterator[Cells]:
    made = Cells()
    yield made
    await made.close()
    assert not sandboxes()


def sandboxes() -> list[psutil.Process]:
    """Our children that carry out queries."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "evq.projector.sandbox" in child.cmdline():
                found.append(child)
    return found


async def run(cells: Cells, snapshot: Path, text: str, **limits: Any) -> tuple[list[Column], Rows]:
    columns: list[Column] = []
    rows: Rows = []
    async with (
        cells.cell() as process,
        aclosing(ask(process, snapshot, Sql(text, **limits))) as got,
    ):
        async for frame in got:
            if isinstance(frame, bytes):
                rows += msgspec.json.decode(frame)
            else:
                columns = list(frame)
    return columns, rows


async def test_a_query(cells: Cells, snapshot: Path) -> None:
    columns, rows = await run(cells, snapshot, "SELECT seq, kind FROM events ORDER BY seq LIMIT 2;")
    assert columns == [Column("seq", "BIGINT"), Column("kind", "VARCHAR")]
    assert rows == [[0, "k"], [1, "k"]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SELECT TIMESTAMP '2026-05-01 12:00'", "2026-05-01T12:00:00.000000Z"),
        ("SELECT TIMESTAMPTZ '2026-05-01 12:00+02' -- a comment", "2026-05-01T10:00:00.000000Z"),
        ("SELECT {'t': TIMESTAMPTZ '2026-05-01 12:00+00'}", "{'t': '2026-05-01 12:00:00+00'}"),
        ("SELECT 'nan'::DOUBLE", "nan"),
        ("SELECT 1.50", 1.5),
        ("SELECT 1e30::HUGEINT", "1000000000000000019884624838656"),
        ("SELECT 'ab'::BLOB", "6162"),
        ("SELECT INTERVAL 90 SECOND", 90.0),
        ("SELECT [1, NULL]", [1, None]),
        ("SELECT MAP {'a': 1.5::DOUBLE}", {"a": 1.5}),
        ("SELECT DATE '2026-05-01'", "2026-05-01"),
        ("SELECT NULL", None),
    ],
)  # fmt: skip
async def test_values(cells: Cells, snapshot: Path, text: str, value: Any) -> None:
    assert (await run(cells, snapshot, text))[1] == [[value]]


@pytest.mark.parametrize(
    "text",
    ["EXPLAIN SELECT 1", "DESCRIBE tasks", "SHOW TABLES", "SUMMARIZE events", "FROM queues"],
)
async def test_statements_that_read(cells: Cells, snapshot: Path, text: str) -> None:
    columns, _ = await run(cells, snapshot, text)
    assert columns


FORBIDDEN = [
    "SELECT * FROM read_csv('/etc/passwd', sep=':')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x')",
    "SELECT getenv('HOME')",
    "COPY events TO '/tmp/evq-escaped.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "COPY events FROM '/etc/passwd'",
    "WITH x AS (COPY events TO '/tmp/evq-escaped.csv') SELECT 1",
    "EXPORT DATABASE '/tmp/evq-escaped'",
    "IMPORT DATABASE '/tmp/evq-escaped'",
    "ATTACH '/tmp/evq-escaped.duckdb' AS y",
    "ATTACH ':memory:' AS y",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE SECRET s (TYPE s3)",
    "SET enable_external_access = true",
    "SET memory_limit = '10GB'",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "PRAGMA enable_profiling = 'json'",
    "CALL pragma_version()",
    "CREATE TABLE u AS SELECT 1",
    "CREATE TEMP TABLE u AS SELECT 1",
    "CREATE OR REPLACE TEMP MACRO abs(x) AS 666",
    "INSERT INTO _events VALUES (1)",
    "WITH x AS (INSERT INTO _positions VALUES ('a', 'b', 1) RETURNING 1) SELECT * FROM x",
    "WITH x AS (DELETE FROM _events RETURNING 1) SELECT * FROM x",
    "EXPLAIN ANALYZE DELETE FROM _events",
    "UPDATE _events SET seq = 0",
    "DROP TABLE _events",
    "CHECKPOINT",
    "VACUUM",
    "PREPARE p AS SELECT 1",
    "BEGIN TRANSACTION",
    "COMMIT",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE _events",
    "COMMIT; DROP TABLE _events",
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
]


async def test_statements_that_are_refused(cells: Cells, snapshot: Path) -> None:
    before = snapshot.read_bytes()
    allowed = []
    for text in FORBIDDEN:
        try:
            allowed.append((text, await run(cells, snapshot, text)))
        except QueryFailed as refused:
            assert refused.why, text
    assert not allowed
    assert snapshot.read_bytes() == before
    assert not list(Path("/tmp").glob("evq-escaped*"))


async def test_an_error_in_a_query_is_told_in_duckdbs_words(cells: Cells, snapshot: Path) -> None:
    with pytest.raises(QueryFailed) as raised:
        await run(cells, snapshot, "SELECT colour FROM tasks")
    assert "colour" in raised.value.why
    assert raised.value.fix


ENDLESS = "SELECT count(*) FROM range(1000000000000000::BIGINT) a, range(1000) b"


@pytest.mark.parametrize(
    "text",
    [
        ENDLESS,
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "SELECT repeat('x', 2000000000)",
        "SELECT lpad('', 2000000000, 'x')",
        "SELECT list(i) FROM range(2000000000) x(i)",
        "SELECT string_agg(repeat('x', 1000000), '') FROM range(3000)",
        "SELECT printf('%1000000000d', 1)",
    ],
)
async def test_queries_that_would_take_everything_end(
    cells: Cells, snapshot: Path, text: str
) -> None:
    with pytest.raises(QueryFailed):
        await run(cells, snapshot, text, timeout=1.0)


LONG = Sql("SELECT repeat('x', 10000) FROM range(1000)")
"""Whoever answers it waits to be read, and is there to be looked at."""


async def test_its_memory_is_limited_by_the_kernel(cells: Cells, snapshot: Path) -> None:
    async with cells.cell() as process:
        frames = ask(process, snapshot, LONG)
        assert await anext(frames)
        soft, _ = psutil.Process(process.pid).rlimit(psutil.RLIMIT_AS)
        assert 0 < soft <= 4 * 2**30
        await frames.aclose()


async def test_its_environment_is_empty(
    cells: Cells, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVQ_TOKEN", "secret")
    async with cells.cell() as process:
        frames = ask(process, snapshot, LONG)
        await anext(frames)
        assert set(psutil.Process(process.pid).environ()) <= {"LANG", "TZ", "MALLOC_ARENA_MAX"}
        assert os.getsid(process.pid) == process.pid
        await frames.aclose()


async def test_a_large_result_comes_in_parts_and_in_bounded_memory(
    cells: Cells, snapshot: Path
) -> None:
    count = total = 0
    peak = 0
    text = "SELECT i, 'row number ' || i FROM range(1000000) r(i)"
    async with (
        cells.cell() as process,
        aclosing(ask(process, snapshot, Sql(text, rows=1_000_000))) as frames,
    ):
        async for frame in frames:
            if isinstance(frame, bytes):
                assert len(frame) <= 260 * 1024
                rows = msgspec.json.decode(frame)
                assert rows[0][0] == count
                count += len(rows)
                total += len(frame)
                with suppress(psutil.NoSuchProcess):  # it is gone before its last frame is read
                    peak = max(peak, psutil.Process(process.pid).memory_info().rss)
    assert count == 1_000_000
    assert total > 20 * 2**20
    assert 0 < peak < 300 * 2**20


async def test_more_rows_than_allowed_are_not_kept_quiet(cells: Cells, snapshot: Path) -> None:
    assert len((await run(cells, snapshot, "FROM range(10)", rows=10))[1]) == 10
    with pytest.raises(QueryFailed, match="more than 9 rows"):
        await run(cells, snapshot, "FROM range(10)", rows=9)


async def written(cells: Cells, snapshot: Path, text: str, file: Path, **more: Any) -> list[Any]:
    """The columns and rows of the Parquet file that a cell makes of a query."""
    question = Sql(text, parquet=True, **more)
    with file.open("wb") as target:
        async with cells.cell() as process, aclosing(ask(process, snapshot, question)) as got:
            async for frame in got:
                if isinstance(frame, bytes):
                    target.write(frame)
    relation = duckdb.read_parquet(str(file))
    return [dict(zip(relation.columns, map(str, relation.types), strict=True)), relation.fetchall()]


async def test_a_query_as_a_parquet_file(cells: Cells, snapshot: Path, tmp_path: Path) -> None:
    text = "SELECT seq, seq * 1.5::DOUBLE AS half, [kind] AS all FROM events WHERE seq < $n"
    columns, rows = await written(cells, snapshot, text, tmp_path / "a", params={"n": 2})
    assert columns == {"seq": "BIGINT", "half": "DOUBLE", "all": "VARCHAR[]"}
    assert rows == [(0, 0.0, ["k"]), (1, 1.5, ["k"])]
    columns, rows = await written(cells, snapshot, "FROM events WHERE false", tmp_path / "b")
    assert columns["kind"] == "VARCHAR" and rows == []
    many = "SELECT i, md5(i::VARCHAR) FROM range(300000) r(i)"
    assert len((await written(cells, snapshot, many, tmp_path / "c", rows=1))[1]) == 300_000
    assert {file.name for file in snapshot.parent.iterdir()} == {snapshot.name}


async def test_a_cell_that_writes_a_file_may_do_no_more(
    cells: Cells, snapshot: Path, tmp_path: Path
) -> None:
    before = snapshot.read_bytes()
    for text in [*FORBIDDEN, "EXPLAIN SELECT 1"]:
        with pytest.raises(QueryFailed) as refused:
            await written(cells, snapshot, text, tmp_path / "file")
        assert refused.value.why, text
    assert snapshot.read_bytes() == before
    assert not list(Path("/tmp").glob("evq-escaped*"))


async def test_a_parquet_file_that_is_too_large_is_refused(
    cells: Cells, snapshot: Path, tmp_path: Path
) -> None:
    rows = parquet.LIMIT // 16 + 2_000_000
    with pytest.raises(QueryFailed, match="larger than 256 MiB"):
        text = f"SELECT uuid() FROM range({rows})"
        await written(cells, snapshot, text, tmp_path / "file", timeout=120.0)
    assert (tmp_path / "file").stat().st_size == 0


async def test_too_many_at_once_are_refused(cells: Cells) -> None:
    async with asyncio.TaskGroup() as group:
        inside, leave = asyncio.Semaphore(0), asyncio.Event()

        async def stay() -> None:
            async with cells.cell():
                inside.release()
                await leave.wait()

        for _ in range(AT_ONCE):
            group.create_task(stay())
        for _ in range(AT_ONCE):
            await inside.acquire()
        with pytest.raises(QueryFailed, match="too many"):
            async with cells.cell():
                pass
        leave.set()


async def test_a_query_that_is_given_up_leaves_no_process(
    cells: Cells, snapshot: Path, until: Callable[..., Any]
) -> None:
    async def ask_for_ever() -> None:
        await run(cells, snapshot, ENDLESS, timeout=60.0)

    asking = asyncio.create_task(ask_for_ever())
    await until(lambda: any(p.cpu_times().user > 0.2 for p in sandboxes()))
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await cells.close()
    assert not sandboxes()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux only")
async def test_it_has_no_network(cells: Cells, snapshot: Path) -> None:
    async with cells.cell() as process:
        frames = ask(process, snapshot, LONG)
        await anext(frames)
        ours, theirs = (os.stat(f"/proc/{pid}/ns/net").st_ino for pid in ("self", process.pid))
        await frames.aclose()
    if os.geteuid() == 0:
        assert ours != theirs
