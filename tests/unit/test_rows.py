"""The projector's pure parts: tasks and messages become rows, and strange ones dead letters."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from evq.core import events, moments, subjects, wire
from evq.core.errors import Conflict, QueryFailed, UsageError
from evq.core.events import Envelope, Outcome
from evq.core.evolve import create, evolve
from evq.core.fleet.agent_record import AgentRecord
from evq.core.ports import Stored
from evq.core.questions import Named
from evq.core.spec import Command, Spec
from evq.core.state import Task
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM, Level
from evq.projector import rows
from evq.projector.answers import parameters_for
from evq.projector.fold import changed_attempts, fold_lifecycle, hear, sort_telemetry
from evq.projector.projection import FAR, Batch, Projection
from evq.projector.store import Database, OldSchema
from evq.projector.values import parts, plain

TASK = "0123456789ab"
SPEC = Spec(entry=Command(("train", "--lr", "0.1")), name="train", queue="q", params={"lr": "0.1"})
NOW = 1_780_000_000_000_000
DOCS = Path(__file__).parents[2] / "docs" / "views.md"


def message(seq: int, subject: str, event: events.Event, at: int = NOW) -> Stored:
    envelope = Envelope(id=f"e{seq}", at=at, by="ada@box", event=event)
    return Stored(seq, subject, wire.encode(envelope))


def enqueued(seq: int = 1, task: str = TASK, queue: str = "q", name: str | None = None) -> Stored:
    spec = msgspec.structs.replace(SPEC, queue=queue)
    subject = subjects.hint(Level(queue, 5), task)
    return message(seq, subject, events.Enqueued(name or task, spec))


def fact(seq: int, event: events.Event, task: str = TASK, at: int = NOW) -> Stored:
    return message(seq, subjects.lifecycle("q", task), event, at)


def claimed(number: int = 1) -> events.Claimed:
    return events.Claimed(attempt=number, agent="a", instance="i", slot=0, hint=1, lease=30.0)


def said(seq: int, record: events.Telemetry, task: str = TASK) -> Stored:
    return Stored(seq, subjects.telemetry("q", task, "a"), wire.encode_telemetry(record))


def metric(claim: int, *values: float | str, attempt: int = 1) -> events.Metric:
    count = len(values)
    return events.Metric(
        attempt=attempt,
        claim=claim,
        at=(NOW,) * count,
        name=("loss",) * count,
        step=(None, *range(1, count)),
        value=values,
    )


def life(*happened: events.Lifecycle) -> Task:
    task = create(1, NOW, "ada@box", events.Enqueued(TASK, SPEC))
    for number, event in enumerate(happened, 2):
        task = evolve(task, number, NOW + number * 1_000_000, "a", event)
    return task


@pytest.fixture
def database(tmp_path: Path) -> Database:
    opened = Database(tmp_path / "test.duckdb")
    opened.start(LIFECYCLE_STREAM, "then")
    opened.start(TELEMETRY_STREAM, "then")
    opened.start(SAMPLES_STREAM, "then")
    yield opened
    opened.close()


# --- tables, rows and documents -----------------------------------------------------------------


def test_row_structs_are_the_tables_columns(database: Database) -> None:
    for table, kind in {
        "_tasks": rows.TaskRow,
        "_attempts": rows.AttemptRow,
        "_phases": rows.PhaseRow,
        "_packages": rows.PackageRow,
        "_agents": AgentRecord,
        "_events": rows.EventRow,
        "_dead_letters": rows.DeadLetter,
    }.items():
        columns = [name for name, *_ in database.rows(f"DESCRIBE {table}")]
        assert columns == list(kind.__struct_fields__), table


def test_the_document_has_every_column_of_every_view(database: Database) -> None:
    text = DOCS.read_text("utf-8")
    documented = {
        name: re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE)
        for name, section in re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.M)
    }
    named = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND view_name[1] <> '_'"
    views = [name for (name,) in database.rows(named)]
    assert sorted(documented) == sorted(views)
    for view in views:
        found = database.rows(f"DESCRIBE {view}")
        columns = [(name, re.sub(r"STRUCT\(mean.*", "figure", kind)) for name, kind, *_ in found]
        assert documented[view] == columns, view


# --- tasks ----------------------------------------------------------------------------------------


def test_a_queued_task_has_no_attempt() -> None:
    row = rows.task_row(life())
    assert (row.state, row.attempts, row.since, row.claimed) == ("queued", 0, NOW, None)
    assert row.entry == "train --lr 0.1"
    assert rows.unfold(row.fold) == life()


def test_a_completed_task_tells_of_its_last_attempt() -> None:
    started = events.Started(attempt=1, pid=7, argv=("train",), host="h", folder="/f")
    usage = events.Usage(wall=2.0, cpu=1.0, max_rss=3)
    finished = events.Finished(attempt=1, outcome=Outcome.COMPLETED, exit_code=0, usage=usage)
    task = life(claimed(), started, finished)
    row = rows.task_row(task)
    assert (row.state, row.outcome, row.exit_code) == ("completed", "completed", 0)
    assert (row.claimed, row.started, row.ended) == (NOW + 2000000, NOW + 3000000, NOW + 4000000)
    attempt = rows.attempt_row(TASK, task.attempts[0])
    assert (attempt.claim, attempt.outcome, attempt.max_rss_bytes) == (2, "completed", 3)


def test_a_task_that_waits_again_has_no_running_times() -> None:
    lost = events.Lost(attempt=1, cause=events.Cause.LOST_AGENT, why="silent")
    task = life(claimed(), lost)
    row = rows.task_row(task)
    assert (row.state, row.attempts, row.losses, row.claimed) == ("queued", 1, 1, None)
    assert row.first_claimed == NOW + 2_000_000
    assert rows.attempt_row(TASK, task.attempts[0]).outcome == "lost"


def test_a_task_aborted_in_its_queue_says_why() -> None:
    row = rows.task_row(life(events.Aborted("not needed")))
    assert (row.state, row.abort_reason, row.claimed) == ("aborted", "not needed", None)


def test_a_clock_from_beyond_is_held_back() -> None:
    assert [moments.writable(at) for at in (-1, 10**30)] == [0, moments.LATEST]


def test_only_attempts_that_changed_are_written_again() -> None:
    lost = events.Lost(attempt=1, cause=events.Cause.LOST_AGENT, why="silent")
    before = life(claimed(), lost)
    after = evolve(before, 4, NOW, "a", claimed(2))
    changed, gone = changed_attempts(before, after)
    assert ([attempt.number for attempt in changed], gone) == ([2], [])


# --- the fold of a batch --------------------------------------------------------------------------


def test_a_life_within_one_batch() -> None:
    folded = fold_lifecycle([enqueued(), fact(2, claimed())], {}, {}, {}, NOW)
    assert folded.tasks[TASK].name_of_state == "claimed"
    assert [(row.seq, row.kind, row.attempt) for row in folded.events] == [
        (1, "enqueued", None),
        (2, "claimed", 1),
    ]


def test_an_event_of_a_task_that_was_never_enqueued_is_a_dead_letter() -> None:
    folded = fold_lifecycle([fact(2, claimed())], {}, {}, {}, NOW)
    assert not folded.tasks and not folded.events
    assert "never enqueued" in folded.dead[0].error


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (Stored(3, "evq.t.q." + TASK, b"\xff"), "JSON"),
        (Stored(3, "evq.t.q." + TASK, b'{"id":"\xff"}'), "utf-8"),
        (Stored(3, "evq.elsewhere", enqueued().data), "no such subject"),
        (message(3, "evq.t.other." + TASK, claimed()), "in queue q"),
        (message(3, subjects.hint(Level("q", 5), TASK), claimed()), "no queue message"),
        (message(3, subjects.agent_events("a"), claimed()), "agent's life"),
        (fact(3, events.AgentDown("a", "i", "bye")), "no event of a task's life"),
        (enqueued(3, task="zzzzzzzzzzzz", name=TASK), "under the name"),
    ],
)
def test_strange_messages_are_dead_letters(stored: Stored, error: str) -> None:
    folded = fold_lifecycle([enqueued(), stored], {}, {}, {}, NOW)
    assert [letter.seq for letter in folded.dead] == [3]
    assert error in folded.dead[0].error
    assert folded.dead[0].payload == stored.data


def test_bytes_that_are_no_event_count_as_not_understood() -> None:
    folded = fold_lifecycle([enqueued(), Stored(2, "evq.t.q." + TASK, b"?")], {}, {}, {}, NOW)
    assert (folded.tasks[TASK].unknown, folded.tasks[TASK].seq) == (1, 2)


def test_an_event_from_the_future_is_folded_and_recorded() -> None:
    data = b'{"id":"x","at":5,"by":"b","event":{"kind":"paused","why":"lunch"}}'
    folded = fold_lifecycle([enqueued(), Stored(2, "evq.t.q." + TASK, data)], {}, {}, {}, NOW)
    assert folded.tasks[TASK].unknown == 1
    assert folded.events[1].kind == "paused"
    assert folded.events[1].data == '{"kind":"paused","why":"lunch"}'


def test_the_first_of_two_tasks_of_one_name_counts() -> None:
    folded = fold_lifecycle([enqueued(1), enqueued(2, queue="r")], {}, {}, {}, NOW)
    assert folded.tasks[TASK].spec.queue == "q"
    assert len(folded.events) == 2


def test_a_hint_to_look_again_is_no_fact() -> None:
    again = message(2, subjects.hint(Level("q", 5), TASK), events.Again(TASK, 1))
    folded = fold_lifecycle([enqueued(), again], {}, {}, {}, NOW)
    assert len(folded.events) == 1 and not folded.dead


def test_the_end_of_an_agent_that_was_replaced_changes_nothing() -> None:
    up = events.AgentUp(
        agent="a", instance="new", host="h", pid=1, queues=("q",), order="strict", slots=1,
        version="1", cpus=2, memory=3, platform="linux", python="3.11",
    )  # fmt: skip
    subject = subjects.agent_events("a")
    down = message(2, subject, events.AgentDown("a", "old", "bye"))
    folded = fold_lifecycle([message(1, subject, up), down], {}, {}, {}, NOW)
    assert folded.agents["a"].state == "up"


# --- telemetry ------------------------------------------------------------------------------------


def test_telemetry_waits_for_its_claim() -> None:
    messages = [said(1, metric(2, 0.5)), said(2, metric(9, 0.5)), said(3, metric(2, 0.5))]
    assert [stored.seq for stored, _ in hear(messages, known=5, horizon=FAR)] == [1]
    assert [stored.seq for stored, _ in hear(messages, known=9, horizon=FAR)] == [1, 2, 3]
    assert [stored.seq for stored, _ in hear(messages, known=5, horizon=7)] == [1, 2, 3]


@pytest.mark.parametrize(
    "record",
    [metric(3, 0.5), metric(2, 0.5, attempt=2)],
)
def test_telemetry_of_a_zombie_is_a_dead_letter(record: events.Metric) -> None:
    found = sort_telemetry(hear([said(1, record)], 9, 9), {2: (TASK, 1)}, NOW)
    assert not found.metrics and len(found.dead) == 1


def test_columns_of_different_length_are_a_dead_letter() -> None:
    short = msgspec.structs.replace(metric(2, 0.5, 0.6), name=("loss",))
    found = sort_telemetry(hear([said(1, short)], 9, 9), {2: (TASK, 1)}, NOW)
    assert "equal length" in found.dead[0].error


# --- the projection -------------------------------------------------------------------------------


def test_metrics_are_summed_up_over_batches(database: Database) -> None:
    projection = Projection(database)
    projection.apply(Batch([enqueued(), fact(2, claimed())], [said(1, metric(2, 3.0, "nan"))]))
    projection.apply(Batch([], [said(2, metric(2, 1.0, 2.0))]))
    found = database.rows('SELECT value, first, "min", "max", n, step FROM metric_latest')
    assert found == [(2.0, 3.0, 1.0, 3.0, 4, 1)]
    assert database.rows("SELECT count(*) FROM metrics WHERE isnan(value)") == [(1,)]


def test_early_telemetry_is_given_back_and_applied_later(database: Database) -> None:
    projection = Projection(database)
    early = projection.apply(Batch([enqueued()], [said(1, metric(2, 3.0))]))
    assert [stored.seq for stored in early] == [1]
    assert not projection.apply(Batch([fact(2, claimed())], early))
    assert (projection.lifecycle, projection.telemetry) == (2, 1)
    assert database.rows("SELECT count(*) FROM metrics") == [(1,)]


def test_a_value_that_cannot_be_stored_stops_nobody(database: Database) -> None:
    projection = Projection(database)
    other = "zzzzzzzzzzzz"
    usage = events.Usage(wall=1.0, max_rss=2**70)
    poison = wire.encode(Envelope(id="p", at=NOW, by="a", event=events.Requeued("BIG")))
    bad = events.Finished(attempt=1, outcome=Outcome.COMPLETED, exit_code=0, usage=usage)
    data = poison.replace(b'{"kind":"requeued","reason":"BIG"}', _big(bad))
    batch = [
        enqueued(1), fact(2, claimed()), Stored(3, subjects.lifecycle("q", TASK), data),
        enqueued(4, other), fact(5, claimed(), other),
    ]  # fmt: skip
    projection.apply(Batch(batch))
    assert database.rows("SELECT task, state FROM tasks ORDER BY task") == [
        (TASK, "claimed"),
        (other, "claimed"),
    ]
    assert database.rows("SELECT seq FROM dead_letters") == [(3,)]
    assert projection.lifecycle == 5


def _big(event: events.Finished) -> bytes:
    small = msgspec.structs.replace(event, usage=msgspec.structs.replace(event.usage, max_rss=1))
    return msgspec.json.encode(small).replace(b'"max_rss":1', b'"max_rss":%d' % 2**70)


def test_tasks_that_ended_are_folded_on_from_their_rows(database: Database) -> None:
    finished = events.Finished(attempt=1, outcome=Outcome.FAILED, exit_code=1)
    Projection(database).apply(Batch([enqueued(), fact(2, claimed()), fact(3, finished)]))
    Projection(database).apply(Batch([fact(4, events.Requeued("again")), fact(5, claimed(2))]))
    assert database.rows("SELECT state, attempts FROM tasks") == [("claimed", 2)]
    assert database.rows("SELECT outcome FROM attempts ORDER BY attempt") == [("failed",), (None,)]


def test_a_set_of_packages_is_stored_once(database: Database) -> None:
    packages = (events.Package("numpy", "2.0"), events.Package("torch", "3.0"))
    other = "zzzzzzzzzzzz"
    environment = events.Environment(attempt=1, manager="uv", packages=packages)
    projection = Projection(database)
    projection.apply(Batch([enqueued(), fact(2, claimed()), fact(3, environment)]))
    batch = [enqueued(4, other), fact(5, claimed(), other), fact(6, environment, other)]
    projection.apply(Batch(batch))
    assert database.rows("SELECT count(*) FROM _packages") == [(2,)]
    assert database.rows("SELECT count(*) FROM packages") == [(4,)]


# --- values and questions -------------------------------------------------------------------------


def test_values_that_json_lacks() -> None:
    when = datetime.datetime(2026, 5, 1, 12)
    assert plain(when) == "2026-05-01T12:00:00.000000Z"
    assert plain(float("-inf")) == "-inf"
    assert plain({1: [float("nan"), b"\x01"]}) == {"1": ["nan", "01"]}
    assert plain(2**70) == str(2**70)
    assert list(parts([(Decimal("1.50"), True)], ["DECIMAL(3,2)", "BOOLEAN"])) == [b"[[1.50,true]]"]


def test_parts_are_small_and_complete() -> None:
    table = [(number, "x" * 100) for number in range(1000)]
    made = list(parts(table, ["BIGINT", "VARCHAR"], size=5000))
    assert max(map(len, made)) < 6000
    assert [tuple(row) for part in made for row in msgspec.json.decode(part)] == table


def test_a_row_that_fits_into_no_message_is_refused() -> None:
    with pytest.raises(QueryFailed, match="too long"):
        list(parts([("x" * 2**20,)], ["VARCHAR"]))


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Named("show"), "task is missing"),
        (Named("show", {"task": "x", "colour": "red"}), "no colour"),
    ],
)
def test_a_question_asked_wrongly(question: Named, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parameters_for(question)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("version", "error", "words"), [(0, OldSchema, "an older"), (1000, Conflict, "a newer")]
)
def test_a_file_of_another_version_is_refused(
    tmp_path: Path, version: int, error: type[Conflict], words: str
) -> None:
    first = Database(tmp_path / "other.duckdb")
    first.execute("UPDATE _version SET version = $1", [version])
    first.close()
    with pytest.raises(Conflict, match=f"{words} version") as raised:
        Database(tmp_path / "other.duckdb")
    assert raised.type is error


def test_a_damaged_wal_is_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "damaged.duckdb"
    first = Database(path)
    first.start(LIFECYCLE_STREAM, "then")
    first.checkpoint()
    first.execute("UPDATE _positions SET seq = 7")
    wal = path.with_name(path.name + ".wal")
    kept = bytearray(wal.read_bytes())
    kept[len(kept) // 2] ^= 0xFF
    first.close()
    wal.write_bytes(kept)
    second = Database(path)
    assert second.positions()[LIFECYCLE_STREAM].seq in (0, 7)
    second.close()
    assert list(tmp_path.glob("damaged.duckdb.wal.corrupt-*"))
