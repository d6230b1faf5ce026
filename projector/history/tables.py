"""What is copied of each table, and how what is new is found.

A *fact* is written once: what is new has a higher sequence, and goes into a file of its own beside
the older ones of its day. A *state* changes: its rows stand by the day on which their task was
enqueued, which never changes, and a day in which something did is written anew. So no row can be
in two files, and none in no file. All other tables are small and written anew each time.
"""

from __future__ import annotations

import msgspec

from ...core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM
from ..samples.columns import HOUR, KINDS, MINUTE


class Fact(msgspec.Struct, frozen=True):
    """A table that only grows. `rows` tells those behind sequence {0} up to sequence {1}, `end`
    how far the table goes, if not as far as its stream was read."""

    stream: str
    rows: str = "seq > {0} AND seq <= {1}"
    end: str = ""
    order: str = "seq"


class State(msgspec.Struct, frozen=True):
    """A table whose rows change. `days` are the days with a task that changed after sequence $1,
    `of_day` tells the rows of the day $1."""

    stream: str
    days: str
    of_day: str
    order: str


# The sequence of a task that was only enqueued is 0: it is that of its last lifecycle event.
_CHANGED = "SELECT DISTINCT enqueued::DATE FROM _tasks WHERE greatest(origin, seq) > $1"
_TASKS = "(SELECT task FROM _tasks WHERE enqueued::DATE = $1)"
_CLAIMS = f"(SELECT claim FROM _attempts WHERE task IN {_TASKS})"
_HEARD = "SELECT DISTINCT enqueued::DATE FROM _tasks WHERE task IN (SELECT task FROM {})"

STATES = {
    "_tasks": State(LIFECYCLE_STREAM, _CHANGED, "enqueued::DATE = $1", "origin"),
    "_attempts": State(LIFECYCLE_STREAM, _CHANGED, f"task IN {_TASKS}", "claim"),
    "_phases": State(LIFECYCLE_STREAM, _CHANGED, f"task IN {_TASKS}", "claim, place"),
    "_metric_latest": State(
        TELEMETRY_STREAM,
        _HEARD.format("_metric_latest WHERE place >> 20 > $1"),
        f"task IN {_TASKS}",
        "claim, name",
    ),
    "_progress": State(
        TELEMETRY_STREAM,
        _HEARD.format("_attempts WHERE claim IN (SELECT claim FROM _progress WHERE seq > $1)"),
        f"claim IN {_CLAIMS}",
        "claim",
    ),
}

_MARK = "SELECT max(seq) FROM _rolled WHERE unit = '{}'"

FACTS = {
    "_events": Fact(LIFECYCLE_STREAM),
    "_metrics": Fact(
        TELEMETRY_STREAM,
        "place >= ({0} + 1) << 20 AND place < ({1} + 1) << 20",
        order="claim, name, place",
    ),
    "_logs": Fact(TELEMETRY_STREAM, order="claim, line"),
    "_remarks": Fact(TELEMETRY_STREAM),
} | {
    kind.rolled(unit): Fact(SAMPLES_STREAM, end=_MARK.format(unit), order="ts, seq")
    for kind in KINDS
    for unit in (MINUTE, HOUR)
}

UNFINISHED = {kind.samples: f"seq > ({_MARK.format(MINUTE)})" for kind in KINDS}
"""Of samples only those are copied that no minute holds yet."""

LEFT_OUT = frozenset({"_lineage"})
