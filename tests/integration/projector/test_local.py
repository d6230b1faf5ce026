"""Questions to an export, by the command line and without a server: the server's own answers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from projecting import caught_up
from sampled import sample

from evq.cli.analytics.local import answer
from evq.core import events, subjects, wire
from evq.core.events import Outcome
from evq.core.ports import Entry
from evq.core.questions import Head, Named
from evq.core.sdk.export import export
from evq.projector.answers import MADE
from evq.projector.catalogue import questions as known

OF_THE_PROJECTOR = {"status", *MADE}
"""Its file and its streams, and what it makes of several queries."""


class Local:
    """`evq sql --local` where no server is known."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self._env = {name: value for name, value in os.environ.items() if "EVQ" not in name}
        self._env["HOME"] = str(home)

    async def __call__(self, *words: str, timeout: float = 60.0) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "evq.cli.main", "sql", "--local", str(self.folder), *words,
            env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), timeout)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def rows(self, *words: str) -> list[dict[str, Any]]:
        status, out, err = await self(*words, "--json")
        assert status == 0, err
        found: list[dict[str, Any]] = json.loads(out)
        return found


async def live(user: Any) -> Any:
    """A small history in which everything has ended; its last task."""
    up = events.AgentUp(
        agent="a", instance="i", host="h", pid=1, queues=("q",), order="strict", slots=2,
        version="1", cpus=2, memory=3, platform="linux", python="3.11", gpus=("GPU-0", "GPU-1"),
    )  # fmt: skip
    down = events.AgentDown("a", "i", "told to stop")
    for number, outcome in enumerate((Outcome.COMPLETED, Outcome.FAILED)):
        await say(user, up)
        task = await user.live((await user.add()).task, outcome)
        await user.points(task, 3.0, "nan", 1.0, 0.5)
        await user.lines(task, "one", "two")
        made = wire.encode_sample(sample(float(number)))
        await user.bus.samples.publish(subjects.samples("a"), made, f"sample-{number}")
        await say(user, down)
    return task


async def say(user: Any, event: Any) -> None:
    envelope = user.author.envelope(event)
    entry = Entry(subjects.agent_events("a"), wire.encode(envelope), envelope.id)
    await user.bus.log.append(entry)


@pytest.mark.timeout(400)
async def test_a_named_question_has_the_servers_answer(
    projector: Any, user: Any, tmp_path: Path
) -> None:
    await projector.start()
    task = await live(user)
    given = {"task": task.id, "prefix": task.id[:6], "tasks": f"[{task.id}]", "name": "loss",
             "queue": "q", "agent": "a", "gpu": "GPU-0", "facet": "state",
             "claim": task.attempts[0].claim}  # fmt: skip
    questions = [
        Named(
            name,
            {one.name: given.get(one.name, task.id) for one in query.parameters if one.required},
        )
        for name, query in known().items()
        if name not in OF_THE_PROJECTOR
    ]
    first = [await user.ask(one.name, **one.params) for one in questions]
    await export(user, tmp_path / "history")
    ours = [
        await asyncio.to_thread(rows_of, tmp_path / "history", question) for question in questions
    ]
    last = [await user.ask(one.name, **one.params) for one in questions]
    compared = set()
    for question, before, mine, after in zip(questions, first, ours, last, strict=True):
        if before == after:  # else it depends on the moment
            assert mine == after, question
            compared.add(question.name)
    assert len(compared) >= 0.9 * len(questions), "nearly all can be compared"
    assert sum(bool(rows) for rows in ours) > len(questions) / 2, "the history holds something"


def rows_of(folder: Path, question: Named) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in answer(folder, question):
        if isinstance(part, Head):
            names = [column.name for column in part.columns]
        else:
            found += [dict(zip(names, row, strict=True)) for row in part]
    return found


@pytest.fixture
async def local(projector: Any, user: Any, tmp_path: Path) -> Local:
    """An export; no projector runs any more."""
    await projector.start()
    await live(user)
    await caught_up(user)
    await export(user, tmp_path / "history")
    assert projector.end(signal.SIGTERM) == 0
    return Local(tmp_path / "history", tmp_path)


async def test_it_needs_no_server(local: Local) -> None:
    assert await local.rows(
        "SELECT state, count(*) AS n FROM tasks GROUP BY state ORDER BY state"
    ) == [
        {"state": "completed", "n": 1},
        {"state": "failed", "n": 1},
    ]
    (metric,) = await local.rows("SELECT DISTINCT first, min, max FROM metric_latest")
    assert metric == {"first": 3.0, "min": 0.5, "max": 3.0}
    status, _, err = await local("@colours")
    assert (status, "there is no query @colours" in err) == (4, True)
    status, _, err = await local("@curve")
    assert (status, "cannot be asked of an export" in err) == (2, True)
    nowhere = Local(local.folder / "nowhere", local.folder)
    status, _, err = await nowhere("FROM tasks")
    assert (status, "holds no export" in err) == (4, True)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_text('../../../secret')",
        "SELECT * FROM read_text('tasks/link')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO 'tasks/day=2026-01-01/more.parquet'",
        "WITH x AS (COPY (SELECT 1) TO 'more.parquet') SELECT 1",
        "ATTACH '/tmp/evq-escaped.duckdb' AS y",
        "SET enable_external_access = true",
        "DROP VIEW tasks",
        "SELECT 1; SELECT 2",
    ],
)
async def test_the_rules_are_those_of_the_server(local: Local, text: str) -> None:
    (local.folder.parent / "secret").write_text("mine")
    edition = local.folder / "current"
    (edition / "tasks" / "link").symlink_to(local.folder.parent / "secret")
    before = sorted(edition.rglob("*"))
    status, out, err = await local(text)
    assert (status, out) == (1, ""), err
    assert "error[E40]" in err
    assert sorted(edition.rglob("*")) == before


async def test_an_export_from_anywhere_may_not_do_more_than_a_query(
    local: Local, tmp_path: Path
) -> None:
    views = local.folder / "current" / "views.sql"
    shutil.copy(views, tmp_path / "views")
    views.unlink()
    stolen = "CREATE VIEW stolen AS FROM read_text('/etc/passwd');"
    views.write_text((tmp_path / "views").read_text() + stolen)
    status, out, err = await local("FROM stolen")
    assert (status, out) == (1, ""), err
    views.write_text((tmp_path / "views").read_text() + "COPY (SELECT 1) TO 'tasks/x.parquet';")
    status, out, err = await local("FROM tasks")
    assert status == 1
    assert not (local.folder / "current" / "tasks" / "x.parquet").exists()


async def test_an_answer_as_a_file(local: Local, tmp_path: Path) -> None:
    file = tmp_path / "answer.parquet"
    for words in (["select task, state from tasks"], ["@failures-by-cause"]):
        status, out, err = await local(*words, "--parquet", str(file))
        assert (status, out) == (0, ""), err
        found = duckdb.sql(f"FROM '{file}'")
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        assert len(rows) > 0 and set(rows[0]) == set((await local.rows(*words))[0])
    before = file.read_bytes()
    for text in ("select no_such from tasks", "COPY (SELECT 1) TO 'more.parquet'"):
        status, _, err = await local(text, "--parquet", str(file))
        assert (status, "error[E40]" in err) == (1, True)
    assert (file.read_bytes(), list(tmp_path.glob("*.partial"))) == (before, [])
    status, _, err = await local("from tasks", "--parquet", str(tmp_path / "no" / "where"))
    assert (status, "cannot be written" in err) == (2, True)


async def test_an_endless_query_ends(local: Local) -> None:
    endless = "SELECT count(*) FROM range(1000000000000000::BIGINT) a, range(1000) b"
    status, _, err = await local(endless, "--timeout", "1s")
    assert (status, "error[E40]" in err) == (1, True)
