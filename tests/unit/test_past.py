"""Looking back gives what the projection showed then, whatever has happened since."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import chaos
import hypothesis
import hypothesis.strategies as st
from chaos import time_of
from hypothesis import given

from evq.core import subjects
from evq.core.past import Moment
from evq.core.ports import Stored
from evq.core.queries import values_for
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM
from evq.projector.catalogue import questions
from evq.projector.past.connection import Past
from evq.projector.projection import Batch, Projection
from evq.projector.store import Database, Tables

VIEWS = (
    "tasks",
    "attempts",
    "phases",
    "packages",
    "dependencies",
    "limits",
    "agents",
    "queues",
    "events",
    "waits",
    "usage",
    "gpu_claims",
    "services",
    "agent_history",
)
"""Those that show what stands in the log."""
TABLES = (
    "_tasks",
    "_attempts",
    "_phases",
    "_agents",
    "_queues",
    "_permits",
    "_saved_queries",
    "_events",
)
QUESTIONS = {
    "tasks": {"ranks": True},
    "queues": {},
    "agents": {},
    "workload": {},
    "recorded_agents": {},
    "live_attempts": {},
    "line": {"queue": "q"},
    "depth": {"queue": "r"},
    "positions": {"tasks": [f"{n:012}" for n in range(30)]},
    "why": {"task": f"{0:012}"},
    "show": {"task": f"{1:012}"},
    "wait_percentiles": {},
}
"""With their parameters."""

Shown = dict[str, list[str]]


def opened(folder: str, name: str, stack: ExitStack) -> Database:
    database = Database(Path(folder) / f"{name}.duckdb")
    stack.callback(database.close)
    for stream in (LIFECYCLE_STREAM, TELEMETRY_STREAM, SAMPLES_STREAM):
        database.start(stream, "then")
    return database


def shown(tables: Tables) -> Shown:
    """All that can be seen: tables, views, answers."""
    seen = {name: in_order(tables.rows(f"FROM {name}")) for name in (*TABLES, *VIEWS)}
    seen["dead_letters"] = in_order(tables.rows("SELECT stream, seq, error FROM _dead_letters"))
    for name, parameters in QUESTIONS.items():
        query = questions()[name]
        answer = tables.answer(query.text, values_for(query, parameters))
        seen["@" + name] = in_order(answer.rows)
    return seen


def in_order(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return sorted(map(repr, rows))


def shown_then(database: Database, moment: Moment) -> Shown:
    """What a projection shows whose clock stands at the moment."""
    database.execute(f"CREATE OR REPLACE MACRO _now() AS make_timestamp({moment.at}::BIGINT)")
    return shown(database)


def moment_after(seq: int) -> Moment:
    return Moment(seq, time_of(seq) + 500_000)


def differences(then: Shown, now: Shown) -> dict[str, tuple[set[str], set[str]]]:
    """What was not the same: what there was then, and what is told of it now."""
    return {
        name: (set(then[name]) - set(now[name]), set(now[name]) - set(then[name]))
        for name in then
        if then[name] != now[name]
    }


@hypothesis.settings(
    max_examples=15, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
@given(st.randoms(), st.integers(10, 80))
def test_looking_back_shows_what_was_shown(chance: Random, steps: int) -> None:
    log = chaos.log_of(chance, steps)
    wanted = [chance.randint(0, len(log)) for _ in range(4)]
    reached = [*sorted(chance.randint(0, len(log)) for _ in range(2)), len(log)]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        then = told_as_it_happened(log, set(wanted), opened(folder, "then", stack))
        database = opened(folder, "now", stack)
        projection, past = Projection(database), Past(database.beside())
        for position in reached:
            projection.apply(Batch(log[projection.lifecycle : position]))
            for seq in wanted:
                if seq <= position:
                    with past.at(moment_after(seq)) as tables:
                        assert differences(then[seq], shown(tables)) == {}, f"at event {seq}"


def test_damage_between_two_moments_is_seen() -> None:
    """It stands among the dead letters, not among the events."""
    log = chaos.Chaos(Random(0))
    log.enqueue()
    damage = subjects.lifecycle(log.tasks[f"{0:012}"].spec.queue, f"{0:012}")
    messages = [*log.messages, Stored(2, damage, b"?"), Stored(3, damage, b"?")]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        database = opened(folder, "now", stack)
        Projection(database).apply(Batch(messages))
        past = Past(database.beside())
        for seq, unknown in ((1, 0), (2, 1), (3, 2), (2, 1), (1, 0)):
            with past.at(moment_after(seq)) as tables:
                assert tables.rows("SELECT unknown FROM _tasks") == [(unknown,)]


def told_as_it_happened(
    log: Sequence[Stored], wanted: set[int], database: Database
) -> dict[int, Shown]:
    """What a projection shows that reads the log and stops at each of the moments."""
    projection = Projection(database)
    told = {}
    for seq in sorted(wanted):
        projection.apply(Batch(log[projection.lifecycle : seq]))
        told[seq] = shown_then(database, moment_after(seq))
    return told
