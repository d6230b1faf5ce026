"""Cleaning, with a real server and projector: what goes, what stays, and what the log says."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab import ALL, EVERYTHING, NOTHING, Lab
from projecting import Projector

from evq.core.artifacts import Input
from evq.core.errors import NotFound
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.sdk.journal import Journal
from evq.core.spec import Code, Command, Spec
from evq.core.state import Task
from evq.services.clean import carrying
from evq.services.clean.policy import Policy, Rule
from evq.services.pipeline.facts import Kept
from evq.services.pipeline.journals import keep
from evq.services.schedule.facts import Defined, Fact, Removed, State, evolve
from evq.services.schedule.when import Every


@pytest.fixture
def projector(own_nats_server: Any, tmp_path: Path, until: Callable[..., Any]) -> Any:
    made = Projector(own_nats_server.login, tmp_path / "store", until)
    yield made
    if made.process:
        assert made.end(signal.SIGTERM) == 0, made.said


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content may go as soon as it is there."""
    monkeypatch.setattr(carrying, "CONTENT_AGE", 0.0)
    monkeypatch.setattr(carrying, "SETTLE", 0.0)


@pytest.fixture
def lab(own_user: Any, tmp_path: Path) -> Lab:
    return Lab(Client(own_user.bus), tmp_path)


def contents(projector: Any) -> dict[str, set[tuple[str, ...]]]:
    """All that the log and telemetry say."""
    tables = ("_tasks", "_attempts", "_events", "_metrics", "_metric_latest", "_logs", "_cleaned")
    database = projector.database()
    try:
        return {
            table: {tuple(map(str, row)) for row in database.rows(f"FROM {table}")}
            for table in tables
        }
    finally:
        database.close()


async def test_a_plan_changes_nothing_and_says_what_goes(projector: Any, lab: Lab) -> None:
    await projector.start()
    task = await lab.task(await lab.code("a"), b"y" * 5000)
    other = await lab.task(await lab.code("b"), b"z" * 100, project="other")
    last = await lab.client.bus.log.last_seq()
    await lab.caught_up()
    found = await carrying.planned(lab.client, EVERYTHING, now())
    assert [(choice.task, choice.what) for choice in found.choices] == [(task.id, tuple(ALL))]
    assert found.shares[0].bytes == {
        "logs": 86, "metrics": 120, "artifacts": 5000, "code": 1000, "notebooks": 5000
    }  # fmt: skip
    assert await lab.client.bus.log.last_seq() == last
    assert await lab.has(task) == await lab.has(other) == ALL


async def test_what_the_policy_says_goes_and_nothing_else(projector: Any, lab: Lab) -> None:
    await projector.start()
    code, same = await lab.code("a"), b"y" * 5000
    old = await lab.task(code, same)
    shares = await lab.task(code, same, project="other")
    alone = await lab.task(await lab.code("b"), b"z" * 10)
    running = await lab.claim(await lab.enqueue(await lab.code("c")))
    queued = await lab.enqueue(await lab.code("d"))
    freed = await lab.clean()
    assert (freed.tasks, freed.contents, freed.messages) == (2, 3, 4)
    assert await lab.ends_with(alone, NOTHING)
    assert await lab.ends_with(old, NOTHING | {"artifacts": True, "code": True, "notebooks": True})
    assert await lab.has(shares) == ALL
    for name in (running.id, queued):
        assert (await lab.has(await lab.client.get(name)))["code"]
        assert not (await lab.client.get(name)).removed
    again = await lab.clean()
    assert (again.tasks, again.contents, again.messages) == (0, 0, 0)
    # The figures of its curve stay.
    (figures,) = await lab.client.sql(f"FROM metric_latest WHERE task = '{old.id}'")
    assert (figures["n"], figures["min"], figures["value"]) == (3, 1.0, 2.0)
    reason = (await lab.client.get(old.id)).removed[0].reason
    assert reason.startswith("test, rule 1: logs, metrics, artifacts, code, notebooks of digits")
    with pytest.raises(NotFound, match="any more"):
        await lab.client.load(old.id, "model")
    with pytest.raises(NotFound, match="is not on the server any more"):
        await lab.client.retry(alone.id)
    lab.doubt()
    with pytest.raises(NotFound, match="is not on the server any more"):
        await lab.client.clone(alone.id)
    # The same code is there again, so that the task may run again, and names it.
    await lab.code("b")
    assert (await lab.client.retry(alone.id)).name_of_state == "queued"
    await lab.clean()
    assert (await lab.has(await lab.client.get(alone.id)))["code"]


async def test_notebooks_are_a_kind_of_their_own(projector: Any, lab: Lab) -> None:
    await projector.start()
    old = await lab.task(content=b"first")
    kept = await lab.task(content=b"kept", project="other")
    only = Policy((Rule(("notebooks",), older=0.0, project=("digits",)),), min_age=0.0)
    freed = await lab.clean(only)
    assert (freed.tasks, freed.contents, freed.messages) == (1, 1, 0)
    left = {"logs": True, "metrics": True, "artifacts": True, "code": False}
    assert await lab.ends_with(old, left | {"notebooks": False})
    # What a later attempt leaves is named by that, may it be the same once more.
    await lab.client.retry(old.id)
    again = await lab.live(old.id, b"first")
    logs = Policy((Rule(("logs",), older=0.0),), min_age=0.0)
    assert (await lab.clean(logs)).contents == 0
    assert (await lab.has(again))["notebooks"] and (await lab.has(kept))["notebooks"]
    assert (await lab.clean(only)).tasks == 1
    assert not (await lab.has(again))["notebooks"]


async def test_the_log_says_the_same_whoever_is_killed_and_after_a_rebuild(
    projector: Any, lab: Lab
) -> None:
    await projector.start()
    old = await lab.task(content=b"y")
    kept = await lab.task(project="other")
    logs = Policy((Rule(("logs",), older=0.0, project=("digits",)),), min_age=0.0)
    await lab.clean(logs)
    projector.end(signal.SIGKILL)
    await projector.start()
    await lab.clean()
    assert await lab.ends_with(old, NOTHING)
    # What a later attempt says is its own.
    await lab.client.retry(old.id)
    again = await lab.live(old.id)
    await lab.caught_up()
    assert projector.end(signal.SIGTERM) == 0
    assert await projector.run("--verify") == 0, projector.said
    first = contents(projector)
    assert {row[2:4] for row in first["_logs"]} == {(kept.id, "1"), (old.id, "2")}
    assert len(again.attempts) == 2 and len(first["_metric_latest"]) == 3
    for _ in range(2):
        assert await projector.run("--rebuild") == 0, projector.said
        assert contents(projector) == first
        assert await projector.run("--verify") == 0, projector.said


async def test_a_rebuild_reads_telemetry_that_is_still_there_and_lets_it_go(
    projector: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the cleaning had been killed before it took anything out of the stream."""

    async def killed(*_: Any) -> None:
        pass

    monkeypatch.setattr(carrying, "_forget", killed)
    await projector.start()
    task = await lab.task()
    await lab.clean()
    assert projector.end(signal.SIGTERM) == 0
    (projector.store / "evq.duckdb").unlink()
    assert await projector.run("--rebuild") == 0, projector.said
    first = contents(projector)
    assert not first["_logs"] and not first["_metrics"] and len(first["_metric_latest"]) == 1
    assert await projector.run("--verify") == 0, projector.said
    assert len(await lab.client.bus.telemetry.history(f"evqtel.q.{task.id}.*")) == 3


async def test_what_others_need_stays(projector: Any, lab: Lab) -> None:
    await projector.start()
    wanted, cached, mine = [await lab.task(content=one) for one in (b"in", b"cache", b"own")]
    waiting = await lab.enqueue(inputs=(Input(wanted.id, "model"),), project="other")
    scheduled, gone = await lab.code("scheduled"), await lab.code("gone")
    await _schedule(lab.client, "nightly", scheduled)
    removed = await _schedule(lab.client, "removed", gone)
    await removed.decide(lambda _: (Removed("done"), "is removed"))
    await keep(lab.client, "0" * 32, Kept(cached.id, artifacts=("model",)))
    await lab.caught_up()
    found = await carrying.planned(lab.client, EVERYTHING, now())
    assert found.spared == {
        "is an input of a task that has not ended": 1,
        "is needed by a pipeline's cache": 1,
    }
    await lab.clean()
    assert (await lab.has(wanted))["artifacts"] and (await lab.has(cached))["artifacts"]
    assert not (await lab.has(mine))["artifacts"]
    assert await lab.client.bus.objects.has(scheduled.blobs[0])
    assert not await lab.client.bus.objects.has(gone.blobs[0])
    await lab.client.abort(waiting)
    await lab.clean()
    assert not (await lab.has(wanted))["artifacts"]


async def _schedule(user: Any, name: str, code: Code) -> Any:
    journal: Journal[State, Fact] = Journal(
        user, "schedule", name, facts=Fact, start=State(), evolve=evolve
    )
    spec = Spec(entry=Command(("true",)), name="t", queue="q", code=code)
    when = Every(seconds=60.0, start=now(), zone="UTC")
    await journal.decide(lambda _: (Defined(when=when, spec=spec), "is defined"))
    return journal


async def test_who_enqueues_while_content_is_removed_keeps_it(
    projector: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle is found present, or the same content saved, after the cleaner has listed it."""
    await projector.start()
    code, content = await lab.code("a"), b"same"
    old = await lab.task(code, content)
    look = carrying.looking.named
    made: list[Task] = []

    async def named(client: Any) -> Any:
        """As the log is before the others write; they write before anything is removed."""
        found = await look(client)
        if not made:
            monkeypatch.setattr("evq.core.bus.objects.FRESH", 0.0)
            lab.doubt()
            made.append(await lab.task(code, content, project="other"))
        return found

    monkeypatch.setattr(carrying.looking, "named", named)
    freed = await lab.clean()
    assert made and freed.contents == 0
    assert await lab.ends_with(made[0], ALL)
    assert (await lab.client.get(old.id)).removed


async def test_the_age_of_content_protects_what_is_not_yet_named(
    projector: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "CONTENT_AGE", 3600.0)
    await projector.start()
    code = await lab.code("fresh")
    assert (await lab.clean()).contents == 0
    assert await lab.client.bus.objects.has(code.blobs[0])
