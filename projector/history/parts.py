"""A process that writes what is new as Parquet files: `python -m evq.projector.history.parts`.

It works on a snapshot, so that the projection goes on. It reads one `Order` as a line of JSON and
answers with a message a line; a file that was announced lies in the order's folder until its taker
has taken it and says so with a line. At most two wait for that, so that the disk does not fill.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...core.history import Contents, Export, Part, Reach
from ..store import VERSION
from .snapshot import Snapshot
from .tables import FACTS, LEFT_OUT, STATES, UNFINISHED, Fact, State
from .views import folder, views

_WAITING = 2
_COMPLETE_FROM = """
SELECT make_timestamp(coalesce(max(greatest((data->>'metrics')::BIGINT, (data->>'logs')::BIGINT,
    (data->>'minutes')::BIGINT)), 0))::DATE FROM _events WHERE kind = 'trimmed'"""
_CLEANED_UNTIL = """
SELECT max(a.ended)::DATE + 1 FROM _cleaned c JOIN _attempts a USING (claim)"""


class Order(msgspec.Struct, frozen=True):
    """Where the snapshot is, where to put files, and what is wanted."""

    snapshot: str
    folder: str
    wish: Export


def main() -> None:
    """Carry out the order, and end."""
    os.nice(5)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    waiting = 0
    for message in Writer(order).messages():
        if isinstance(message, Part):
            waiting += 1
        sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
        sys.stdout.buffer.flush()
        if waiting >= _WAITING and not sys.stdin.buffer.readline():
            return
        waiting = min(waiting, _WAITING - 1)


class Writer:
    """What one order asks for, table by table."""

    def __init__(self, order: Order) -> None:
        self._folder = Path(order.folder)
        self._database = Snapshot(Path(order.snapshot), self._folder / "spill")
        self._have = order.wish.have
        self._whole = order.wish.whole
        self._replaced: list[str] = []
        self._number = 0
        self._streams = dict(self._database.rows("SELECT stream, seq FROM _positions"))
        self._lineage = dict(self._database.rows("SELECT stream, name FROM _lineage"))
        # What retention took from the database stays in a copy that has it.
        ((self._complete_from,),) = self._database.rows(_COMPLETE_FROM)
        ((cleaned_until,),) = self._database.rows(_CLEANED_UNTIL)
        if cleaned_until:
            self._complete_from = max(self._complete_from, cleaned_until)

    def messages(self) -> Iterator[Part | Contents]:
        """The files, and what the whole is then. Without files nothing is new."""
        at = time.time_ns() // 1000
        tables = {
            name: columns
            for name, columns in self._database.types().items()
            if name not in LEFT_OUT
        }
        reached = {folder(table): self._reach(table) for table in tables}
        if self._have != reached:
            for table in tables:
                yield from self._table(table, reached[folder(table)])
        filled = [t for t in tables if self._database.rows(f"SELECT 1 FROM {t} LIMIT 1")]
        sql = views(tables, filled, at)
        yield Contents(at, VERSION, self._streams, reached, tuple(self._replaced), sql)

    def _reach(self, table: str) -> Reach:
        """How far a table goes now."""
        match FACTS.get(table) or STATES.get(table):
            case Fact(stream=stream, end=end):
                upto = self._database.rows(end)[0][0] if end else self._streams[stream]
                return self._named(stream, upto)
            case State(stream=stream):
                return self._named(stream, self._streams[stream])
            case None:
                return Reach(f"{VERSION}", sum(self._streams.values()))

    def _named(self, stream: str, upto: int) -> Reach:
        return Reach(f"{VERSION} {self._lineage[stream]}", upto)

    def _table(self, table: str, now: Reach) -> Iterator[Part]:
        name = folder(table)
        have = self._have.get(name, Reach(now.lineage, 0))
        if have == now:
            return
        if have.lineage != now.lineage:
            self._replaced.append(name)
            have = Reach(now.lineage, 0)
        match FACTS.get(table) or STATES.get(table):
            case Fact() as fact:
                yield from self._facts(table, fact, have.upto, now.upto)
            case State() as state:
                yield from self._states(table, state, have.upto, now.upto)
            case None:
                self._replaced.append(name)
                condition = UNFINISHED.get(table, "true")
                yield from self._part(f"{name}/{now.upto}", f"FROM {table} WHERE {condition}")

    def _facts(self, table: str, fact: Fact, since: int, upto: int) -> Iterator[Part]:
        for (day,) in self._database.rows(
            f"SELECT DISTINCT ts::DATE AS day FROM {table}"
            f" WHERE {fact.rows.format(since, upto)} ORDER BY day"
        ):
            partition, begin = f"{folder(table)}/day={day}", since
            if partition in self._whole and day >= self._complete_from:
                self._replaced.append(partition)
                begin = 0
            yield from self._part(
                f"{partition}/{begin}-{upto}",
                f"FROM {table} WHERE {fact.rows.format(begin, upto)}"
                f" AND ts >= DATE '{day}' AND ts::DATE = DATE '{day}' ORDER BY {fact.order}",
            )

    def _states(self, table: str, state: State, since: int, upto: int) -> Iterator[Part]:
        for (day,) in sorted(self._database.rows(state.days, [since])):
            partition = f"{folder(table)}/day={day}"
            self._replaced.append(partition)
            rows = state.of_day.replace("$1", f"DATE '{day}'")
            yield from self._part(
                f"{partition}/{upto}", f"FROM {table} WHERE {rows} ORDER BY {state.order}"
            )

    def _part(self, path: str, query: str) -> Iterator[Part]:
        """Write the rows of a query, if there are any."""
        file = self._folder / f"{self._number}.parquet"
        self._number += 1
        rows = self._database.write_parquet(query, file)
        if rows:
            yield Part(f"{path}.parquet", rows, file.stat().st_size)
        else:
            file.unlink()
            self._number -= 1


if __name__ == "__main__":
    main()
