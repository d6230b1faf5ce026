"""Minutes out of samples, and hours out of minutes; and what is old goes.

A step sums up the samples from where the last one ended, in the order of the stream, and appends
what it found: nothing that is written is looked for again. So a minute may stand in two rows,
if a step ended within it or a sample came late; the views put them together. The clock says only
when there is a step, so that whatever it is, the sums are the same.
"""

from __future__ import annotations

import time

from ..pieces import sum_up_long
from ..store import Database
from .columns import HOUR, KINDS, MACHINE, MINUTE, gathered
from .write import last_mark

KEEP_SECONDS = 2 * 86_400.0
LOOK_SECONDS = 5.0
STEP_SECONDS = {MINUTE: 50.0, HOUR: 600.0}
"""The least time between two steps: a machine whose clock is slow has an old minute always."""

DROP_SECONDS = 600.0
"""Between two looks for what is old: many rows that lie together cost no more than one."""


class Housekeeping:
    """Keeps one database's samples and long metrics in order. Used by the database's thread."""

    def __init__(self, database: Database, keep: float) -> None:
        """Samples stay `keep` seconds, by their machine's clock, and their sums for good."""
        self._database = database
        self._keep = keep
        self._next = dict.fromkeys((MINUTE, HOUR), 0.0)
        self._drop_at = 0.0

    def look(self) -> None:
        """Do what is due."""
        sum_up_long(self._database)
        here, today = time.monotonic(), time.time()
        for unit in (MINUTE, HOUR):
            if here >= self._next[unit] and roll_up(self._database, unit, today):
                self._next[unit] = here + STEP_SECONDS[unit]
        if here >= self._drop_at and last_mark(self._database, MINUTE):
            self._drop_at = here + DROP_SECONDS
            drop(self._database, today - self._keep)


def roll_up(database: Database, unit: str, now: float) -> bool:
    """Sum up all that came since the last step if a minute, or an hour, is over by `now` (seconds
    since 1970). Returns whether there was something."""
    mark = last_mark(database, unit)
    of = MACHINE.samples if unit == MINUTE else MACHINE.rolled(MINUTE)
    ((until,),) = database.rows(
        f"SELECT max(seq) FROM {of}"
        f" WHERE seq > $1 AND ts < date_trunc('{unit}', make_timestamp($2::BIGINT))",
        [mark, int(now * 1e6)],
    )
    if until is None:
        return False
    with database.transaction():
        for kind in KINDS:
            source = kind.samples if unit == MINUTE else kind.rolled(MINUTE)
            rows = gathered(kind, unit, f"{source} WHERE seq > $1 AND seq <= $2")
            database.execute(f"INSERT INTO {kind.rolled(unit)} BY NAME {rows}", [mark, until])
        database.execute("INSERT INTO _rolled VALUES ($1, $2)", [unit, until])
    return True


def drop(database: Database, before: float) -> None:
    """Delete samples from before a time (seconds since 1970), if they are summed up."""
    mark = last_mark(database, MINUTE)
    with database.transaction():
        for kind in KINDS:
            database.execute(
                f"DELETE FROM {kind.samples} WHERE ts < make_timestamp($1::BIGINT) AND seq <= $2",
                [int(before * 1e6), mark],
            )
