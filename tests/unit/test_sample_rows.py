"""Samples in the database: rows, what is summed up of them, and what is strange."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sampled import NOON, SECOND, figure, sample, stored

from evq.core import wire
from evq.core.fleet.samples import Gpus, Machine, Processes, Sample, Shares
from evq.core.ports import Stored
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM
from evq.core.wire import Broken
from evq.projector.projection import Batch, Projection
from evq.projector.samples.columns import HOUR, KINDS, MINUTE
from evq.projector.samples.roll_up import Housekeeping, drop, roll_up
from evq.projector.samples.write import forget_samples_after, last_mark
from evq.projector.store import Database

NOON_SECONDS = NOON / SECOND


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "test.duckdb")
    for stream in (LIFECYCLE_STREAM, TELEMETRY_STREAM, SAMPLES_STREAM):
        opened.start(stream, "then")
    yield opened
    opened.close()


@pytest.fixture
def projection(database: Database) -> Projection:
    return Projection(database)


def put(projection: Projection, *messages: Stored) -> None:
    assert projection.apply(Batch(samples=messages)) == ()


def ask(database: Database, sql: str) -> list[dict[str, Any]]:
    answer = database.answer(sql, {})
    names = [name for name, _ in answer.columns]
    return [dict(zip(names, row, strict=True)) for row in answer.rows]


def shown(value: float, by: int = 1) -> dict[str, float]:
    mean, largest, last = figure(value)
    return {"mean": mean * by, "max": largest * by, "last": last * by}


# --- the format -----------------------------------------------------------------------------------


def test_a_sample_survives_the_wire() -> None:
    assert wire.decode_sample(wire.encode_sample(sample())) == sample()


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"kind": "log"}', b'{"kind": "sample"}'])
def test_what_is_no_sample_is_broken(data: bytes) -> None:
    assert isinstance(wire.decode_sample(data), Broken)


def test_a_newer_writer_may_say_more() -> None:
    data = msgspec.json.decode(wire.encode_sample(sample()))
    data["fans"] = [[1, 2, 3]]
    data["machine"]["fan"] = 5
    assert wire.decode_sample(msgspec.json.encode(data)) == sample()


# --- rows -----------------------------------------------------------------------------------------


def test_a_sample_becomes_rows(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample()))
    [machine] = ask(database, "FROM machine_samples")
    assert (machine["agent"], machine["instance"], machine["readings"]) == ("a", "i", 20)
    assert machine["ts"].isoformat() == "2026-05-29T12:00:00"
    assert machine["cpu"] == shown(10)
    assert (machine["memory"], machine["memory_total"]) == (shown(100, 2**20), 1000 * 2**20)
    assert machine["net_in"] == shown(3, 2**10)
    assert machine["temperature"] is None and machine["cores"] == [5, 15]
    well, lost = ask(database, 'FROM gpu_samples ORDER BY "index"')
    assert (well["gpu"], well["name"], well["power_limit"]) == ("GPU-0", "A100", 400)
    assert well["utilisation"] == shown(50) and well["outside"] == shown(7, 2**20)
    assert (lost["gpu"], lost["utilisation"], lost["trouble"]) == ("GPU-1", None, "lost")
    [task] = ask(database, "FROM task_samples")
    assert (task["task"], task["claim"], task["cpu"]) == ("task00000001", 5, shown(200))
    assert (task["gpu"], task["gpu_memory"]) == (None, shown(993, 2**20))
    assert projection.samples == 1


def test_the_latest_of_each_agent(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(0, cpu=1)), stored(2, sample(0, cpu=2, agent="b")))
    put(projection, stored(3, sample(1, cpu=3)), stored(4, sample(2, cpu=4)))
    latest = ask(database, "SELECT agent, cpu.mean AS cpu FROM machine_latest ORDER BY agent")
    assert latest == [{"agent": "a", "cpu": 4}, {"agent": "b", "cpu": 2}]
    assert (
        len(ask(database, "FROM gpu_latest")) == 4 and len(ask(database, "FROM task_latest")) == 2
    )
    processes = ask(database, "FROM gpu_processes WHERE agent = 'a' ORDER BY pid")
    assert [(one["gpu"], one["pid"], one["user"], one["memory"]) for one in processes] == [
        ("GPU-0", 11, "ada", 993 * 2**20),
        ("GPU-0", 12, "eve", None),
    ]


def test_a_machine_without_gpus_and_tasks(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(gpus=None, processes=None, shares=None)))
    assert len(ask(database, "FROM machine_samples")) == 1
    assert not ask(database, "FROM gpu_samples") and not ask(database, "FROM gpu_processes")


@pytest.mark.parametrize("at", [-(10**12), 10**12])
def test_a_clock_from_beyond_is_held_back(
    database: Database, projection: Projection, at: float
) -> None:
    put(projection, stored(1, sample(at)))
    assert len(ask(database, "SELECT ts FROM machine_samples")) == 1
    assert len(ask(database, "FROM machine_hours")) == 1


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (Stored(2, "evqsam.a", b"{"), "truncated"),
        (Stored(2, "evqsam.a", wire.encode_sample(sample())[:-1] + b',"number":"x"}'), "number"),
        (stored(2, sample(), "evqsam.b"), "it speaks for a"),
        (stored(2, sample(), "evqsam.a.b"), "it speaks for a"),
        (
            stored(2, sample(processes=msgspec.structs.replace(sample().processes, pid=()))),  # type: ignore[type-var]
            "not of equal length",
        ),
    ],
)
def test_what_is_strange_becomes_a_dead_letter(
    database: Database, projection: Projection, message: Stored, error: str
) -> None:
    put(projection, stored(1, sample()), message, stored(3, sample(1)))
    [letter] = ask(database, "SELECT stream, seq, error FROM dead_letters")
    assert (letter["stream"], letter["seq"]) == ("EVQSAM", 2) and error in letter["error"]
    assert len(ask(database, "FROM machine_samples")) == 2
    assert projection.samples == 3


def test_numbers_beyond_what_columns_hold(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(number=2**63 - 1, cores=(5000,))))
    [machine] = ask(database, "FROM machine_samples")
    assert machine["number"] == 2**63 - 1 and machine["cores"] == [None]


# --- summing up -----------------------------------------------------------------------------------

MINUTES = "SELECT ts, agent, readings, cpu FROM machine_minutes ORDER BY agent, ts"


def test_a_minute_weighs_its_samples(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(1, cpu=10, readings=30)), stored(2, sample(50, cpu=50)))
    [minute] = ask(database, MINUTES)
    assert minute["readings"] == 50
    assert minute["cpu"] == {"mean": 26.0, "max": 52.0, "last": 49.0}
    [gpu, lost] = ask(database, 'FROM gpu_minutes ORDER BY "index"')
    assert gpu["utilisation"] == shown(50) and gpu["seconds"] == 20
    assert lost["utilisation"] is None and lost["readings"] == 50


def everything(database: Database) -> list[list[dict[str, Any]]]:
    views = [f"{kind.name}_{unit}s" for kind in KINDS for unit in (MINUTE, HOUR)]
    return [ask(database, f"FROM {view} ORDER BY ALL") for view in views]


@pytest.mark.parametrize("seed", range(5))
def test_however_it_is_summed_up_the_sums_are_the_same(
    database: Database, projection: Projection, seed: int
) -> None:
    """Samples of three agents over three hours, some of them late, in steps of any size."""
    chance = random.Random(seed)
    messages = [
        stored(
            seq,
            sample(
                chance.uniform(-600, 0) + seq * 40,
                # Whole numbers, so that no rounding depends on the order.
                cpu=chance.randrange(0, 90, 10),
                agent=chance.choice("abc"),
                readings=20,
            ),
        )
        for seq in range(1, 301)
    ]
    now = NOON_SECONDS
    while messages:
        part = messages[: chance.randrange(1, 80)]
        del messages[: len(part)]
        put(projection, *part)
        now = NOON_SECONDS + part[-1].seq * 40
        if chance.random() < 0.7:
            roll_up(database, MINUTE, now)
        if chance.random() < 0.4:
            roll_up(database, HOUR, now)
    found = everything(database)
    assert last_mark(database, MINUTE) > last_mark(database, HOUR) > 0
    for kind in KINDS:
        for unit in (MINUTE, HOUR):
            database.execute(f"DELETE FROM {kind.rolled(unit)}")
    database.execute("DELETE FROM _rolled WHERE seq > 0")
    for ours, afresh in zip(found, everything(database), strict=True):
        assert list(map(nearly, ours)) == list(map(nearly, afresh))
        assert means(ours) == pytest.approx(means(afresh), rel=0.01, abs=0.1)


def nearly(row: dict[str, Any]) -> dict[str, Any]:
    """A row without means: those of an hour are made of some that were rounded before."""
    return {name: value | {"mean": 0} if isinstance(value, dict) else value
            for name, value in row.items()}  # fmt: skip


def means(rows: list[dict[str, Any]]) -> list[float]:
    return [value["mean"] for row in rows for value in row.values() if isinstance(value, dict)]


def test_only_what_is_over_is_summed_up(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(10)))
    assert not roll_up(database, MINUTE, NOON_SECONDS + 50)
    assert roll_up(database, MINUTE, NOON_SECONDS + 61)
    assert not roll_up(database, MINUTE, NOON_SECONDS + 600), "nothing came since"
    assert not roll_up(database, HOUR, NOON_SECONDS + 600)
    assert roll_up(database, HOUR, NOON_SECONDS + 3600)
    assert [row["readings"] for row in ask(database, "FROM machine_hours")] == [20]


def test_what_is_old_goes_and_its_sums_stay(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(0)), stored(2, sample(7200)))
    before = everything(database)
    drop(database, NOON_SECONDS + 3600)
    assert len(ask(database, "FROM machine_samples")) == 2, "it is not summed up yet"
    roll_up(database, MINUTE, NOON_SECONDS + 7300)
    drop(database, NOON_SECONDS + 3600)
    assert [row["ts"].hour for row in ask(database, "FROM machine_samples")] == [14]
    assert (
        len(ask(database, "FROM gpu_samples")) == 2 and len(ask(database, "FROM task_samples")) == 1
    )
    assert everything(database) == before


def test_housekeeping_does_it_all(database: Database, projection: Projection) -> None:
    put(projection, stored(1, sample(0)))
    Housekeeping(database, keep=3600.0).look()  # noon of that day is long ago
    assert not ask(database, "FROM machine_samples")
    assert last_mark(database, MINUTE) == last_mark(database, HOUR) == 1
    assert [row["readings"] for row in ask(database, "FROM machine_hours")] == [20]


# --- a lost end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lost_after", [1, 2, 3, 4])
def test_what_the_stream_has_lost_is_undone(
    database: Database, projection: Projection, lost_after: int
) -> None:
    messages = [stored(seq, sample(seq * 30, cpu=seq)) for seq in range(1, 6)]
    for message in messages:
        put(projection, message)
        roll_up(database, MINUTE, NOON_SECONDS + 30 * message.seq + 60)
        roll_up(database, HOUR, NOON_SECONDS + 3600 * message.seq)
    forget_samples_after(database, lost_after)
    kept = Projection(database)
    assert kept.samples == lost_after
    count = sum(row["readings"] for row in ask(database, "FROM machine_minutes")) / 20
    hours = sum(row["readings"] for row in ask(database, "FROM machine_hours")) / 20
    assert count == hours == lost_after
    assert not ask(database, "FROM machine_latest")
    # Other messages have those numbers now.
    put(kept, *(stored(seq, sample(seq * 30, cpu=50)) for seq in range(lost_after + 1, 6)))
    roll_up(database, MINUTE, NOON_SECONDS + 3600)
    roll_up(database, HOUR, NOON_SECONDS + 7200)
    assert sum(row["readings"] for row in ask(database, "FROM machine_hours")) == 100
    assert len(ask(database, "FROM machine_samples")) == 5
    assert ask(database, "SELECT max(cpu.max) AS cpu FROM machine_hours") == [{"cpu": 52.0}]


def test_samples_beside_other_messages(database: Database, projection: Projection) -> None:
    """A batch that cannot be written is cut until the one message that is at fault is found."""
    batch = Batch(
        lifecycle=(Stored(1, "evq.x.agent.a", b"{"),),
        telemetry=(Stored(1, "evqtel.q.t.a", b"{"), Stored(2, "evqtel.q.t.a", b"{")),
        samples=tuple(stored(seq, sample(seq)) for seq in (1, 2, 3)),
    )
    parts, whole = [batch], []
    while parts:
        part = parts.pop(0)
        if len(part) == 1:
            whole.append(part)
        else:
            parts[:0] = part.halves()
    assert len(whole) == len(batch) == 6
    assert [part.samples[0].seq for part in whole if part.samples] == [1, 2, 3]
    assert [part.telemetry[0].seq for part in whole if part.telemetry] == [1, 2]
    assert projection.apply(batch) == ()
    assert projection.position == (1, 2, 3)


@pytest.mark.parametrize(
    ("path", "struct"),
    [
        ("r", Sample),
        ("r.machine", Machine),
        ("r.gpus", Gpus),
        ("r.processes", Processes),
        ("r.shares", Shares),
    ],
)
def test_every_field_is_taken_apart(database: Database, path: str, struct: Any) -> None:
    """DuckDB reads the JSON by a structure of its own, which is that of the Structs."""
    found = database.rows(f"DESCRIBE SELECT unnest({path}) FROM _latest_samples")
    assert {name for name, *_ in found} == set(struct.__struct_fields__)
