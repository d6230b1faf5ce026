"""A connection on which everything is as it was at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

from ...core.past import Moment
from ...core.state import Attempt
from ...core.subjects import LIFECYCLE_STREAM
from ..rows import (
    PackageRow,
    attempt_row,
    package_rows,
    phase_rows,
    queue_row,
    saved_query_row,
    set_name,
    task_row,
)
from ..store import Tables
from .refold import Recorded, damaged, refold_surroundings, refold_tasks

_COLUMNS = 'e.seq, epoch_us(e.ts), e."by", e.kind, e.task, e.data::VARCHAR, e.unread'

# Tasks that were there at the moment ($1), and that something has happened to since.
_CHANGED = "SELECT task FROM present._tasks WHERE origin <= $1 AND seq > $1"

_TASK_EVENTS = f"""
SELECT {_COLUMNS} FROM present._events e
WHERE e.seq <= $1 AND e.task IN ({_CHANGED} EXCEPT SELECT task FROM _then_tasks)
ORDER BY e.seq"""

_OTHER_EVENTS = f"""
SELECT {_COLUMNS} FROM present._events e
WHERE e.seq <= $1 AND e.task IS NULL AND e.kind NOT IN ('permits', 'turns') ORDER BY e.seq"""

# Each of these says all there is to say.
_LAST_PERMITS = f"""
SELECT {_COLUMNS} FROM present._events e
WHERE e.seq IN (SELECT max(seq) FROM present._events
    WHERE seq <= $1 AND kind = 'permits' AND unread IS NULL GROUP BY data->>'queue')"""

_DAMAGED = """
SELECT seq, subject, payload FROM present._dead_letters WHERE stream = $2 AND seq <= $1
ORDER BY seq"""

# What was folded for the moment before ($2) holds for this one if nothing happened in between:
# no event, and no damage to one.
_STALE = f"""
WITH between AS (
    SELECT seq, task FROM present._events
    UNION ALL SELECT seq, split_part(subject, '.', 4) FROM present._dead_letters
    WHERE stream = '{LIFECYCLE_STREAM}')
DELETE FROM _then_tasks WHERE task NOT IN ({_CHANGED}) OR task IN (
    SELECT task FROM between
    WHERE seq > least($1, $2) AND seq <= greatest($1, $2) AND task IS NOT NULL)"""


class Past:
    """Answers for any moment, one after the other. Not thread-safe; may raise `Failed`."""

    def __init__(self, tables: Tables) -> None:
        """Put the past in front of what `tables`, a connection that nobody else uses, can see."""
        self._tables = tables
        self._moment: Moment | None = None
        database = tables.rows("SELECT current_database()")[0][0]
        self._present = '"{}".main.'.format(database.replace('"', '""'))
        views = resources.files(__package__).joinpath("views.sql").read_text("utf-8")
        self._execute(views)

    def interrupt(self) -> None:
        """End what is being asked; from any thread."""
        self._tables.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._tables.close()

    @contextmanager
    def at(self, moment: Moment) -> Iterator[Tables]:
        """The tables as they were, as long as the block runs."""
        before, self._moment = self._moment, None
        with self._tables.transaction():
            self._go(before, moment)
            yield self._tables
        self._moment = moment

    def stay(self, moment: Moment) -> None:
        """Go to a moment and stay there, on a database that nobody writes any more."""
        with self.at(moment):
            pass

    def _go(self, before: Moment | None, moment: Moment) -> None:
        self._execute(f"SET VARIABLE moment_seq = {moment.seq}")
        self._execute(f"SET VARIABLE moment_at = {moment.at}")
        if before is None or before.seq != moment.seq:
            self._leave(before, moment)
            self._fold_surroundings(moment)
        self._fold_tasks(moment)

    def _leave(self, before: Moment | None, moment: Moment) -> None:
        """Forget what was folded for the moment before and does not hold for this one."""
        self._execute(_STALE, [moment.seq, before.seq if before else 0])
        for table in ("_then_attempts", "_then_phases"):
            self._execute(f"DELETE FROM {table} WHERE task NOT IN (SELECT task FROM _then_tasks)")

    def _fold_tasks(self, moment: Moment) -> None:
        """Fold what has changed since the moment, as far as that is not done: the projection may
        have gone on since somebody looked."""
        found = self._recorded(_TASK_EVENTS, moment)
        if not found:
            return
        names = {one.task for one in found}
        harm = [one for one in self._damaged(moment) if one.task in names]
        tasks = refold_tasks(sorted(found + harm, key=lambda one: one.seq))
        attempts = [(task.id, attempt) for task in tasks.values() for attempt in task.attempts]
        append = self._tables.append
        append("_tasks", [task_row(task) for task in tasks.values()], "_then_tasks")
        append("_attempts", [attempt_row(*one) for one in attempts], "_then_attempts")
        append("_phases", [row for one in attempts for row in phase_rows(*one)], "_then_phases")
        append("_packages", list(self._new_packages(attempts)), "_then_packages")

    def _new_packages(self, attempts: Iterable[tuple[str, Attempt]]) -> Iterable[PackageRow]:
        """The rows of sets of packages that are not there yet."""
        found = (attempt.environment.packages for _, attempt in attempts if attempt.environment)
        sets = {name: packages for packages in found if (name := set_name(packages))}
        known = self._rows("SELECT DISTINCT packages FROM _packages", None) if sets else ()
        for name in sets.keys() - {name for (name,) in known}:
            yield from package_rows(name, sets[name])

    def _fold_surroundings(self, moment: Moment) -> None:
        found = [*self._recorded(_OTHER_EVENTS, moment), *self._recorded(_LAST_PERMITS, moment)]
        found += [one for one in self._damaged(moment) if one.task is None]
        then = refold_surroundings(sorted(found, key=lambda one: one.seq))
        for table, rows in (
            ("_agents", list(then.agents.values())),
            ("_queues", [queue_row(queue) for queue in then.queues.values()]),
            ("_permits", list(then.permits.values())),
            ("_saved_queries", [saved_query_row(query) for query in then.queries.values()]),
        ):
            self._execute(f"DELETE FROM temp.{table}")
            self._tables.append(table, rows, f"temp.{table}")

    def _recorded(self, sql: str, moment: Moment) -> list[Recorded]:
        return [Recorded(*row) for row in self._rows(sql, [moment.seq])]

    def _damaged(self, moment: Moment) -> Iterable[Recorded]:
        rows = self._rows(_DAMAGED, [moment.seq, LIFECYCLE_STREAM])
        return filter(None, (damaged(*row) for row in rows))

    def _execute(self, sql: str, parameters: object = None) -> None:
        self._tables.execute(sql.replace("present.", self._present), parameters)

    def _rows(self, sql: str, parameters: object) -> list[tuple[Any, ...]]:
        return self._tables.rows(sql.replace("present.", self._present), parameters)
