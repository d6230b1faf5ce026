"""Batches of messages into the database, exactly once: rows and positions in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from ..core.events import Package
from ..core.fleet.agent_record import AgentRecord
from ..core.ports import Stored
from ..core.queueing.queues import QueueState
from ..core.state import Ended, Task
from ..core.subjects import (
    HISTORY_EVENTS,
    LIFECYCLE_STREAM,
    SAMPLES_STREAM,
    TELEMETRY_STREAM,
)
from .fold import (
    Folded,
    Heard,
    changed_attempts,
    dead_letter,
    fold_lifecycle,
    hear,
    sort_telemetry,
    task_of,
)
from .history.trim import note
from .rows import (
    AttemptRow,
    PackageRow,
    PhaseRow,
    attempt_row,
    package_rows,
    phase_rows,
    queue_row,
    saved_query_row,
    set_name,
    task_row,
    unfold,
    unfold_queue,
)
from .samples.record import sort_samples
from .samples.write import write_samples
from .store import Database, Unfit
from .telemetry import write_telemetry

FAR = 2**62
"""A horizon when the real one is not known."""

_KEPT_TASKS = 50_000
_KEPT_CLAIMS = 200_000
_STREAMS = ("lifecycle", "telemetry", "samples")


class Batch(msgspec.Struct, frozen=True):
    """Messages of the streams, each in order.

    `horizon` is how far the lifecycle stream reached after the telemetry was read.
    """

    lifecycle: Sequence[Stored] = ()
    telemetry: Sequence[Stored] = ()
    horizon: int = FAR
    samples: Sequence[Stored] = ()

    def __len__(self) -> int:
        return len(self.lifecycle) + len(self.telemetry) + len(self.samples)

    def around_trim(self) -> tuple[Batch, Batch] | None:
        """Two batches, the first of which ends with an event of retention: what that is about is
        found out as of then. Null if none is in the way."""
        for number, stored in enumerate(self.lifecycle[:-1], 1):
            if stored.subject == HISTORY_EVENTS:
                return (
                    Batch(self.lifecycle[:number]),
                    replace(self, lifecycle=self.lifecycle[number:]),
                )
        return None

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches that make this one, to be applied one after the other."""
        if self.lifecycle and (self.telemetry or self.samples):
            return Batch(self.lifecycle), replace(self, lifecycle=())
        if self.telemetry and self.samples:
            return replace(self, samples=()), Batch(samples=self.samples)
        # Only one is left that has any.
        stream = next(name for name in _STREAMS if getattr(self, name))
        messages = getattr(self, stream)
        half = len(messages) // 2
        return (
            replace(self, **{stream: messages[:half]}),
            replace(self, **{stream: messages[half:]}),
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
        self._agents: dict[str, AgentRecord] = {}
        self._queues: dict[str, QueueState] = {}
        self._packages: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        """Know nothing but what the database says."""
        self._tasks.clear()
        self._claims.clear()
        self._agents = {row.agent: row for row in _read_agents(self.database)}
        self._queues = {
            queue.name: queue
            for (fold,) in self.database.rows("SELECT fold FROM _queues")
            for queue in (unfold_queue(fold),)
        }
        self._packages = {
            name for (name,) in self.database.rows("FROM (SELECT DISTINCT packages FROM _packages)")
        }
        positions = self.database.positions()
        self.lifecycle = positions[LIFECYCLE_STREAM].seq
        self.telemetry = positions[TELEMETRY_STREAM].seq
        self.samples = positions[SAMPLES_STREAM].seq

    @property
    def position(self) -> tuple[int, int, int]:
        """How far each stream is in the database: lifecycle, telemetry, samples."""
        return (self.lifecycle, self.telemetry, self.samples)

    def apply(self, batch: Batch) -> Sequence[Stored]:
        """Write all that follows from the batch; returns the telemetry that is too early.

        A message whose values the database cannot hold becomes a dead letter; the batch is cut
        into halves until it is found. Raises `Failed`; then open the file again.
        """
        if parts := batch.around_trim():
            return self._both(*parts)
        try:
            return self._write(batch)
        except Unfit as error:
            self._forget()
            if len(batch) > 1:
                first, second = batch.halves()
                return self._both(first, second)
            self._bury(batch, str(error))
            return ()

    def _both(self, first: Batch, second: Batch) -> Sequence[Stored]:
        early = self.apply(first)
        # Telemetry stays in order: nothing may overtake what waits.
        if early:
            self.apply(replace(second, telemetry=()))
            return [*early, *second.telemetry]
        return self.apply(second)

    def _write(self, batch: Batch) -> Sequence[Stored]:
        with self.database.transaction():
            folded = self._write_lifecycle(batch.lifecycle)
            heard = list(hear(batch.telemetry, self._after(batch), batch.horizon))
            self._write_telemetry(heard)
            self._write_samples(batch.samples)
        self._remember(folded)
        self.lifecycle = self._after(batch)
        if batch.samples:
            self.samples = batch.samples[-1].seq
        if heard:
            self.telemetry = heard[-1][0].seq
        return batch.telemetry[len(heard) :]

    def _after(self, batch: Batch) -> int:
        return batch.lifecycle[-1].seq if batch.lifecycle else self.lifecycle

    def _bury(self, batch: Batch, error: str) -> None:
        for stream, messages in (
            (LIFECYCLE_STREAM, batch.lifecycle),
            (TELEMETRY_STREAM, batch.telemetry),
            (SAMPLES_STREAM, batch.samples),
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
        folded = fold_lifecycle(messages, before, self._agents, self._queues, _now())
        database = self.database
        changed = folded.tasks
        database.delete(
            "_tasks", "origin", [before[name].origin for name in changed.keys() & before.keys()]
        )
        database.append("_tasks", [task_row(task) for task in changed.values()])
        self._write_attempts(before, folded.tasks)
        database.delete("_agents", "agent", list(folded.agents))
        database.append("_agents", list(folded.agents.values()))
        database.delete("_queues", "queue", list(folded.queues))
        database.append("_queues", [queue_row(queue) for queue in folded.queues.values()])
        database.delete("_permits", "queue", list(folded.permits))
        database.append("_permits", list(folded.permits.values()))
        database.delete("_saved_queries", "query", list(folded.queries))
        saved = [saved_query_row(query) for query in folded.queries.values() if query]
        database.append("_saved_queries", saved)
        database.append("_events", folded.events)
        database.append("_dead_letters", folded.dead)
        database.append("_cleaned", folded.cleaned)
        for seq, event in folded.trimmed:
            note(database, seq, event)
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
        return package_rows(name, packages)

    def _remember(self, folded: Folded) -> None:
        self._agents |= folded.agents
        self._queues |= folded.queues
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
        write_telemetry(self.database, said, heard[0][0].seq)
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

    # --- samples ------------------------------------------------------------------------------

    def _write_samples(self, messages: Sequence[Stored]) -> None:
        if messages:
            write_samples(self.database, sort_samples(messages, _now()))
            self.database.move(SAMPLES_STREAM, messages[-1].seq)


def _read_agents(database: Database) -> list[AgentRecord]:
    columns = ", ".join(
        f"epoch_us({name})" if name in ("started", "last_event", "drained") else name
        for name in AgentRecord.__struct_fields__
    )
    rows = database.rows(f"SELECT {columns} FROM _agents")
    fields = AgentRecord.__struct_fields__
    return [msgspec.convert(dict(zip(fields, row, strict=True)), AgentRecord) for row in rows]


def _now() -> int:
    return time.time_ns() // 1000
