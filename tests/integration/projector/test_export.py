"""A copy of the history: it is what the database says, whenever it is made and however it ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from projecting import caught_up

from evq.core import events
from evq.core.errors import Conflict, NotFound, UsageError
from evq.core.events import Outcome
from evq.core.sdk.export import Exported, export, read_manifest
from evq.projector.history.tables import LEFT_OUT
from evq.projector.telemetry import forget_after

OF_THE_MOMENT = LEFT_OUT | {"_machine_samples", "_gpu_samples", "_task_samples"}
DAY = 86_400_000_000


async def exported(user: Any, folder: Path) -> Exported:
    """What an export makes of all that was written before, on any machine."""
    await caught_up(user)
    return await export(user, folder)


def copied(folder: Path) -> duckdb.DuckDBPyConnection:
    """An export as anybody opens it who has DuckDB."""
    here = Path.cwd()
    os.chdir(folder / "current")
    try:
        database = duckdb.connect()
        database.execute(f"SET file_search_path = '{folder / 'current'}'")
        database.execute(Path("views.sql").read_text())
        return database
    finally:
        os.chdir(here)


async def assert_equal(user: Any, folder: Path) -> None:
    """Every row of every table is in the export once, and nothing else is."""
    tables = sorted(
        name
        for (name,) in await user.sql("SELECT table_name FROM duckdb_tables() WHERE NOT internal")
        if name not in OF_THE_MOMENT
    )
    assert {"_tasks", "_events", "_metrics", "_logs", "_machine_minutes"} <= set(tables)
    counted = " UNION ALL ".join(
        f"SELECT '{table}', count(*), bit_xor(hash(to_json(t)))::VARCHAR FROM {table} t"
        for table in tables
    )
    with copied(folder) as database:
        ours = [list(row) for row in database.execute(counted).fetchall()]
        assert sorted(ours) == sorted(await user.sql(counted))


async def happen(user: Any, chance: random.Random, known: list[Any]) -> None:
    """Something happens: a task comes, runs, says something, ends, or comes again."""
    match chance.choice(["add", "claim", "live", "points", "lines", "progress", "retry"]):
        case "add":
            await user.add()
        case "claim":
            known.append(await user.claim((await user.add()).task))
        case "live":
            known.append(await user.live((await user.add()).task, Outcome.FAILED))
        case "retry":
            ended = [n for n, task in enumerate(known) if task.state.__class__.__name__ == "Ended"]
            if ended:
                number = chance.choice(ended)
                known[number] = await user.retry(known[number].id, "again")
        case what if known:
            task = chance.choice(known)
            at = chance.randrange(60) * DAY
            values = tuple(chance.random() for _ in range(chance.randrange(1, 5)))
            count, claim = len(values), task.attempts[0].claim
            times = tuple(at + n for n in range(count))
            if what == "points":
                record: Any = events.Metric(
                    attempt=1, claim=claim, at=times, name=("loss",) * count,
                    step=tuple(range(count)), value=values,
                )  # fmt: skip
            elif what == "lines":
                record = events.Log(
                    attempt=1, claim=claim, first=0, at=times, stream="o" * count,
                    text=tuple(str(value) for value in values),
                )  # fmt: skip
            else:
                record = events.Progress(attempt=1, claim=claim, at=at, done=values[0])
            await user.say(task, record)
        case _:
            pass


async def test_each_export_holds_all_of_it_once(projector: Any, user: Any, tmp_path: Path) -> None:
    await projector.start()
    chance, known, folder = random.Random(7), [], tmp_path / "history"
    seen: set[str] = set()
    for _ in range(8):
        for _ in range(12):
            await happen(user, chance, known)
        done = await exported(user, folder)
        await assert_equal(user, folder)
        paths = {part.path for part in done.manifest.files}
        assert done.files == len(paths - seen), "what was there is not written again"
        seen = paths
        on_disk = {str(f.relative_to(done.folder)) for f in done.folder.rglob("*.parquet")}
        assert on_disk == paths
    again = await exported(user, folder)
    assert again.files == 0
    assert len(list((folder / "editions").iterdir())) == 2


async def test_a_fact_is_not_written_twice(
    projector: Any, user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 4  # between two copies of a database there are twenty times as long as one takes
    monkeypatch.setattr("evq.core.sdk.export.MOST_PARTS", most)
    await projector.start()
    task = await user.live((await user.add()).task)
    for number in range(most + 2):
        await user.points(task, float(number))
        manifest = (await exported(user, tmp_path / "history")).manifest
    parts = [part.rows for part in manifest.files if part.path.startswith("metrics/")]
    assert sum(parts) == most + 2
    assert sorted(parts) == [1, most + 1], "they were put together once"
    await assert_equal(user, tmp_path / "history")


async def test_what_was_taken_back_is_taken_back_in_the_copy(
    projector: Any, user: Any, tmp_path: Path
) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    await user.points(task, 1.0)
    await user.points(task, 2.0)
    await exported(user, tmp_path / "history")
    assert projector.end(signal.SIGTERM) == 0
    database = projector.database()
    forget_after(database, 1)  # as if the server had lost its last moment
    database.close()
    await projector.start()
    await exported(user, tmp_path / "history")
    await assert_equal(user, tmp_path / "history")


async def test_a_rebuilt_database_goes_on_with_the_copy(
    projector: Any, user: Any, tmp_path: Path
) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    await user.points(task, 1.0)
    before = {part.path for part in (await exported(user, tmp_path / "history")).manifest.files}
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--rebuild") == 0, projector.said
    await projector.start()
    await user.points(task, 2.0)
    done = await exported(user, tmp_path / "history")
    assert {path for path in before if path.startswith(("metrics/", "events/"))} <= {
        part.path for part in done.manifest.files
    }
    await assert_equal(user, tmp_path / "history")


EXPORT = """
import asyncio, sys
from pathlib import Path
import msgspec
from evq.core.bus.connect import Login
from evq.core.sdk.connect import open_client
from evq.core.sdk.export import export
async def main():
    login = msgspec.json.decode(sys.argv[1], type=Login)
    async with open_client(login) as client:
        print("ready", flush=True)
        await export(client, Path(sys.argv[2]))
asyncio.run(main())
"""


# Whoever was killed in the midst of it is missed by the projector half a minute later.
@pytest.mark.timeout(400)
async def test_a_copy_is_whole_whenever_its_maker_is_killed(
    projector: Any, user: Any, tmp_path: Path, nats_server: Any
) -> None:
    await projector.start()
    chance, known, folder = random.Random(3), [], tmp_path / "history"
    login = msgspec.json.encode(nats_server.login).decode()
    ended: Counter[str] = Counter()
    for _ in range(16):
        for _ in range(6):
            await happen(user, chance, known)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", EXPORT, login, str(folder), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        try:
            async with asyncio.timeout(chance.uniform(0, 1.0)):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):  # it may have ended in this very moment
                process.kill()
        ended["whole" if await process.wait() == 0 else "killed"] += 1
        if (folder / "current").exists():
            await assert_one_moment(user, folder)
    assert ended["killed"] > 3, ended
    await exported(user, folder)
    await assert_equal(user, folder)
    assert len(list((folder / "editions").iterdir())) <= 2


async def assert_one_moment(user: Any, folder: Path) -> None:
    """The current edition is what the database said of the streams up to its positions."""
    manifest = read_manifest(folder)
    with copied(folder) as database:
        rows = Counter({name.strip("_"): 0 for name in ("_events", "_metrics", "_logs")})
        for part in manifest.files:
            rows[part.path.partition("/")[0]] += part.rows
        for table, count in rows.items():
            assert database.execute(f"SELECT count(*) FROM _{table}").fetchall() == [(count,)]
        lifecycle, telemetry = manifest.streams["EVQ"], manifest.streams["EVQTEL"]
        for query in (
            f"SELECT count(*), sum(seq)::BIGINT FROM _events WHERE seq <= {lifecycle}",
            f"SELECT count(*), sum(line)::BIGINT FROM _logs WHERE seq <= {telemetry}",
            f"SELECT count(*), sum(place)::BIGINT FROM _metrics WHERE place >> 20 <= {telemetry}",
        ):
            assert [list(row) for row in database.execute(query).fetchall()] == await user.sql(
                query
            )
        # A task is what its events in the same edition say: no more and no less.
        disagree = database.execute(
            "SELECT task, seq, last, state FROM _tasks JOIN"
            " (SELECT task, max(seq) AS last FROM _events"
            " WHERE task IS NOT NULL GROUP BY task) USING (task)"
            " WHERE greatest(origin, seq) <> last"
        ).fetchall()
        assert disagree == []
        twice = "SELECT task FROM _tasks GROUP BY task HAVING count(*) > 1"
        assert database.execute(twice).fetchall() == []


async def test_the_projector_may_die_meanwhile(
    projector: Any, user: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    await projector.start()
    task = await user.live((await user.add()).task)
    await user.points(task, 1.0)
    await exported(user, tmp_path / "history")
    before = read_manifest(tmp_path / "history")
    await user.points(task, 2.0)
    heard = 0

    def kill(part: Any) -> None:
        nonlocal heard
        heard += 1
        if heard == 2:
            projector.end(signal.SIGKILL)

    exporting = asyncio.ensure_future(export(user, tmp_path / "history", kill))
    await until(lambda: projector.process is None)
    exporting.cancel()  # it would wait for an answer for a minute
    with pytest.raises(asyncio.CancelledError):
        await exporting
    assert read_manifest(tmp_path / "history") == before
    await projector.start()
    assert (await exported(user, tmp_path / "history")).files > 0
    await assert_equal(user, tmp_path / "history")


async def test_a_folder_is_for_one_export_and_for_one_at_a_time(
    projector: Any, user: Any, tmp_path: Path
) -> None:
    await projector.start()
    await user.live((await user.add()).task)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="holds other things"):
        await export(user, tmp_path / "other")
    with pytest.raises(NotFound, match="holds no export"):
        read_manifest(tmp_path / "other")
    with pytest.raises(UsageError, match=r"thesis\.tex cannot be written"):
        await export(user, tmp_path / "other" / "thesis.tex")
    results = await asyncio.gather(
        *(export(user, tmp_path / "history") for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in results) == ["Conflict", "Exported"]
    assert isinstance(next(one for one in results if isinstance(one, Exception)), Conflict)
    await assert_equal(user, tmp_path / "history")
