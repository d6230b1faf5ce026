"""Batches of messages into the database, exactly once: rows and positions in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from ..core.events import Package
from ..core.ports import Stored
from ..core.state import Ended, Task
from ..core.subjects import LIFECYCLE_STREAM, TELEMETRY_STREAM
from .fold import (
    Folded,
    Heard,
    Said,
    changed_attempts,
    dead_letter,
    fold_lifecycle,
    hear,
    sort_telemetry,
    task_of,
)
from .rows import (
    LATEST_TIME,
    AgentRow,
    AttemptRow,
    PackageRow,
    PhaseRow,
    attempt_row,
    phase_rows,
    set_name,
    task_row,
    unfold,
)
from .store import Database, Unfit

FAR = 2**62
"""A horizon when the real one is not known."""

_KEPT_TASKS = 50_000
_KEPT_CLAIMS = 200_000

# A record's columns are taken out of its JSON by DuckDB: that takes half the time of handing
# over Python's lists, and leaves the interpreter to others meanwhile. What the JSON holds was
# looked at before, for from_json makes a null of whatever does not fit.
_RECORD_TYPES = {
    "seq": "BIGINT",
    "claim": "BIGINT",
    "task": "VARCHAR",
    "attempt": "INTEGER",
    "record": "VARCHAR",
}
_TIMES = f"""
    make_timestamp(unnest(list_transform(r['at'], lambda t:
        least(greatest(coalesce(t, 0), 0), {LATEST_TIME}))))"""

# A message is at most 1 MiB, so it has fewer than 2^20 points.
_INSERT_METRICS = f"""
INSERT INTO _metrics
SELECT (seq << 20) + unnest(range(len(r['at']))), claim, task, attempt, {_TIMES},
    unnest(r.name), unnest(r.step), unnest(r.value)
FROM (SELECT *, from_json(record, '{{"at": ["BIGINT"], "name": ["VARCHAR"],
    "step": ["BIGINT"], "value": ["DOUBLE"]}}') AS r FROM appender_data)"""

_INSERT_LOGS = f"""
INSERT INTO _logs
SELECT seq, claim, task, attempt, r.first + unnest(range(len(r['at']))), {_TIMES},
    unnest(list_transform(string_split(r.stream, ''), lambda letter:
        CASE letter WHEN 'o' THEN 'stdout' WHEN 'e' THEN 'stderr' WHEN 's' THEN 'setup'
            WHEN 'a' THEN 'agent' ELSE letter END)),
    unnest(r.text)
FROM (SELECT *, from_json(record, '{{"first": "BIGINT", "at": ["BIGINT"], "stream": "VARCHAR",
    "text": ["VARCHAR"]}}') AS r FROM appender_data)"""

MERGE_LATEST = """
MERGE INTO _metric_latest AS old USING (
    SELECT claim, any_value(task) AS task, name, max(place) AS place, arg_max(ts, place) AS ts,
        arg_max_null(step, place) AS step, arg_max(value, place) AS value,
        arg_min(value, place) AS first, min(value) FILTER (isfinite(value)) AS min,
        max(value) FILTER (isfinite(value)) AS max, count(*) AS n
    FROM _metrics WHERE place >= $1 GROUP BY claim, name) AS new
ON old.claim = new.claim AND old.name = new.name
WHEN MATCHED THEN UPDATE SET place = new.place, ts = new.ts, step = new.step, value = new.value,
    min = least(old.min, new.min), max = greatest(old.max, new.max), n = old.n + new.n
WHEN NOT MATCHED THEN INSERT VALUES (new.claim, new.task, new.name, new.place, new.ts, new.step,
    new.value, new.first, new.min, new.max, new.n)"""

_INSERT_PROGRESS = """
INSERT INTO _progress SELECT claim, seq, make_timestamp(ts), done, total, text FROM appender_data"""
_PROGRESS_TYPES = {
    "claim": "BIGINT",
    "seq": "BIGINT",
    "ts": "BIGINT",
    "done": "DOUBLE",
    "total": "DOUBLE",
    "text": "VARCHAR",
}


class Batch(msgspec.Struct, frozen=True):
    """Messages of both streams, each in order.

    `horizon` is how far the lifecycle stream reached after the telemetry was read.
    """

    lifecycle: Sequence[Stored] = ()
    telemetry: Sequence[Stored] = ()
    horizon: int = FAR

    def __len__(self) -> int:
        return len(self.lifecycle) + len(self.telemetry)

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches that make this one, to be applied one after the other."""
        if self.lifecycle and self.telemetry:
            return Batch(self.lifecycle), Batch((), self.telemetry, self.horizon)
        lifecycle, telemetry = len(self.lifecycle) // 2, len(self.telemetry) // 2
        return (
            Batch(self.lifecycle[:lifecycle], self.telemetry[:telemetry], self.horizon),
            Batch(self.lifecycle[lifecycle:], self.telemetry[telemetry:], self.horizon),
        )


class Projection:
    """What the database says of the log, and how it is brought forward.

    Tasks are kept in memory while they are live, as far as there is room; the rest are read
    from the `fold` column when an event for them comes.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._tasks: dict[str, Task] = {}
        self._claims: dict[int, tuple[str, int]] = {}
        self._agents: dict[str, AgentRow] = {}
        self._packages: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        """Know nothing but what the database says."""
        self._tasks.clear()
        self._claims.clear()
        self._agents = {row.agent: row for row in _read_agents(self.database)}
        self._packages = {
            name for (name,) in self.database.rows("FROM (SELECT DISTINCT packages FROM _packages)")
        }
        positions = self.database.positions()
        self.lifecycle = positions[LIFECYCLE_STREAM].seq
        self.telemetry = positions[TELEMETRY_STREAM].seq

    def apply(self, batch: Batch) -> Sequence[Stored]:
        """Write all that follows from the batch; returns the telemetry that is too early.

        A message whose values the database cannot hold becomes a dead letter; the batch is cut
        into halves until it is found. Raises `Failed`; then open the file again.
        """
        try:
            return self._write(batch)
        except Unfit as error:
            self._forget()
            if len(batch) > 1:
                first, second = batch.halves()
                early = self.apply(first)
                # Telemetry stays in order: nothing may overtake what waits.
                return [*early, *second.telemetry] if early else self.apply(second)
            self._bury(batch, str(error))
            return ()

    def _write(self, batch: Batch) -> Sequence[Stored]:
        with self.database.transaction():
            folded = self._write_lifecycle(batch.lifecycle)
            heard = list(hear(batch.telemetry, self._after(batch), batch.horizon))
            self._write_telemetry(heard)
        self._remember(folded)
        self.lifecycle = self._after(batch)
        if heard:
            self.telemetry = heard[-1][0].seq
        return batch.telemetry[len(heard) :]

    def _after(self, batch: Batch) -> int:
        return batch.lifecycle[-1].seq if batch.lifecycle else self.lifecycle

    def _bury(self, batch: Batch, error: str) -> None:
        for stream, messages in (
            (LIFECYCLE_STREAM, batch.lifecycle),
            (TELEMETRY_STREAM, batch.telemetry),
        ):
            for stored in messages:
                letter = dead_letter(stream, stored, error.splitlines()[0], _now())
                with self.database.transaction():
                    self.database.append("_dead_letters", [letter])
                    self.database.move(stream, stored.seq)
        self._forget()

    # --- lifecycle ----------------------------------------------------------------------------

    def _write_lifecycle(self, messages: Sequence[Stored]) -> Folded:
        if not messages:
            return Folded()
        before = self._load({task for m in messages if (task := task_of(m.subject))})
        folded = fold_lifecycle(messages, before, self._agents, _now())
        database = self.database
        changed = folded.tasks
        database.delete(
            "_tasks", "origin", [before[name].origin for name in changed.keys() & before.keys()]
        )
        database.append("_tasks", [task_row(task) for task in changed.values()])
        self._write_attempts(before, folded.tasks)
        database.delete("_agents", "agent", list(folded.agents))
        database.append("_agents", list(folded.agents.values()))
        database.append("_events", folded.events)
        database.append("_dead_letters", folded.dead)
        database.move(LIFECYCLE_STREAM, messages[-1].seq)
        return folded

    def _load(self, names: set[str]) -> dict[str, Task]:
        """The tasks of these names that the log has enqueued so far."""
        known = {name: self._tasks[name] for name in names if name in self._tasks}
        missing = [name for name in names if name not in known]
        for (fold,) in self.database.rows(
            "SELECT fold FROM _tasks WHERE task IN (SELECT unnest($1::VARCHAR[]))", [missing]
        ):
            task = unfold(fold)
            known[task.id] = task
        return known

    def _write_attempts(self, before: dict[str, Task], after: dict[str, Task]) -> None:
        replaced: list[int] = []
        attempts: list[AttemptRow] = []
        phases: list[PhaseRow] = []
        packages: list[PackageRow] = []
        for name, task in after.items():
            old = before.get(name)
            changed, gone = changed_attempts(old, task)
            known = {attempt.claim for attempt in old.attempts} if old else set()
            replaced += gone
            for attempt in changed:
                if attempt.claim in known:
                    replaced.append(attempt.claim)
                attempts.append(attempt_row(name, attempt))
                phases += phase_rows(name, attempt)
                if attempt.environment:
                    packages += self._new_packages(attempt.environment.packages)
        for table in ("_attempts", "_phases"):
            self.database.delete(table, "claim", replaced)
        self.database.append("_attempts", attempts)
        self.database.append("_phases", phases)
        self.database.append("_packages", packages)

    def _new_packages(self, packages: tuple[Package, ...]) -> Iterable[PackageRow]:
        name = set_name(packages)
        if name is None or name in self._packages:
            return ()
        self._packages.add(name)
        return [PackageRow(name, package.name, package.version) for package in packages]

    def _remember(self, folded: Folded) -> None:
        self._agents |= folded.agents
        for name, task in folded.tasks.items():
            self._tasks.pop(name, None)
            if not isinstance(task.state, Ended):
                self._tasks[name] = task
        while len(self._tasks) > _KEPT_TASKS:
            del self._tasks[next(iter(self._tasks))]

    # --- telemetry ----------------------------------------------------------------------------

    def _write_telemetry(self, heard: Sequence[Heard]) -> None:
        if not heard:
            return
        said = sort_telemetry(heard, self._known_claims(heard), _now())
        self._write_said(said, heard[0][0].seq)
        self.database.move(TELEMETRY_STREAM, heard[-1][0].seq)

    def _known_claims(self, heard: Sequence[Heard]) -> dict[int, tuple[str, int]]:
        wanted = {getattr(record, "claim", 0) for _, record in heard}
        if len(self._claims) > _KEPT_CLAIMS:
            self._claims.clear()
        missing = [claim for claim in wanted if claim not in self._claims and 0 < claim < FAR]
        for claim, task, attempt in self.database.rows(
            "SELECT claim, task, attempt FROM _attempts"
            " WHERE claim IN (SELECT unnest($1::BIGINT[]))",
            [missing],
        ):
            self._claims[claim] = (task, attempt)
        return self._claims

    def _write_said(self, said: Said, first: int) -> None:
        database = self.database
        database.append_by(_INSERT_METRICS, _RECORD_TYPES, said.metrics)
        if said.metrics:
            database.execute(MERGE_LATEST, [first << 20])
        database.append_by(_INSERT_LOGS, _RECORD_TYPES, said.logs)
        database.delete("_progress", "claim", list(said.progress))
        database.append_by(_INSERT_PROGRESS, _PROGRESS_TYPES, list(said.progress.values()))
        database.append("_dead_letters", said.dead)


def _read_agents(database: Database) -> list[AgentRow]:
    columns = ", ".join(
        f"epoch_us({name})" if name in ("started", "last_event") else name
        for name in AgentRow.__struct_fields__
    )
    rows = database.rows(f"SELECT {columns} FROM _agents")
    fields = AgentRow.__struct_fields__
    return [msgspec.convert(dict(zip(fields, row, strict=True)), AgentRow) for row in rows]


def _now() -> int:
    return time.time_ns() // 1000
