"""What tasks say, in the database: points, lines and progress, and the last of each metric."""

from __future__ import annotations

from ..core.moments import LATEST
from ..core.subjects import TELEMETRY_STREAM
from .fold import Said
from .pieces import forget_pieces_after
from .store import Database

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
        least(greatest(coalesce(t, 0), 0), {LATEST}))))"""

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

_INSERT_REMARKS = f"""
INSERT INTO _remarks
SELECT seq, claim, task, attempt, make_timestamp(least(greatest(r.at, 0), {LATEST})),
    r.params, r.tags
FROM (SELECT *, from_json(record, '{{"at": "BIGINT", "params": "MAP(VARCHAR, VARCHAR)",
    "tags": "MAP(VARCHAR, VARCHAR)"}}') AS r FROM appender_data)"""

_MERGE_LATEST = """
MERGE INTO _metric_latest AS old USING (
    SELECT claim, any_value(task) AS task, name, max(place) AS place, arg_max(ts, place) AS ts,
        arg_max_null(step, place) AS step, arg_max(value, place) AS value,
        arg_min(value, place) AS first, min(value) FILTER (isfinite(value)) AS min,
        max(value) FILTER (isfinite(value)) AS max, count(*) AS n, min(place) AS since,
        arg_min_null(step, place) AS first_step, arg_min(ts, place) AS first_ts
    FROM _metrics WHERE place >= $1 AND {condition} GROUP BY claim, name) AS new
ON old.claim = new.claim AND old.name = new.name
WHEN MATCHED THEN UPDATE SET place = new.place, ts = new.ts, step = new.step, value = new.value,
    min = least(old.min, new.min), max = greatest(old.max, new.max), n = old.n + new.n
WHEN NOT MATCHED THEN INSERT VALUES (new.claim, new.task, new.name, new.place, new.ts, new.step,
    new.value, new.first, new.min, new.max, new.n, new.since, new.first_step, new.first_ts)"""

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


def write_telemetry(database: Database, said: Said, first: int) -> None:
    """Add what a batch says; `first` is the sequence of its first message."""
    database.append_by(_INSERT_METRICS, _RECORD_TYPES, said.metrics)
    if said.metrics:
        sum_up(database, first)
    database.append_by(_INSERT_LOGS, _RECORD_TYPES, said.logs)
    database.append_by(_INSERT_REMARKS, _RECORD_TYPES, said.remarks)
    database.delete("_progress", "claim", list(said.progress))
    database.append_by(_INSERT_PROGRESS, _PROGRESS_TYPES, list(said.progress.values()))
    database.append("_dead_letters", said.dead)


def sum_up(database: Database, first: int, condition: str = "true") -> None:
    """Bring `_metric_latest` forward by the points from sequence `first` on."""
    database.execute(_MERGE_LATEST.format(condition=condition), [first << 20])


def forget_after(database: Database, seq: int) -> None:
    """Undo what came after `seq`: the stream has lost it.

    A server that is killed may lose the last moments of the telemetry stream, which it stores
    without waiting for the disk. What comes next has those sequences again.
    """
    later = (seq + 1) << 20
    with database.transaction():
        database.execute(
            "CREATE OR REPLACE TEMP TABLE cut AS SELECT DISTINCT claim FROM _metrics"
            " WHERE place >= $1",
            [later],
        )
        database.execute("DELETE FROM _metrics WHERE place >= $1", [later])
        forget_pieces_after(database, later)
        database.execute("DELETE FROM _metric_latest WHERE claim IN (FROM cut)")
        sum_up(database, 0, "claim IN (FROM cut)")
        for table in ("_logs", "_remarks", "_progress"):
            database.execute(f"DELETE FROM {table} WHERE seq > $1", [seq])
        database.execute(
            "DELETE FROM _dead_letters WHERE stream = $1 AND seq > $2", [TELEMETRY_STREAM, seq]
        )
        database.move(TELEMETRY_STREAM, seq)
        database.break_lineage(TELEMETRY_STREAM)
