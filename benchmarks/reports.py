"""Every report on a long history: `python benchmarks/reports.py [--tasks N] [--database FILE]`.

Fills a database with the rows that so many tasks of four weeks leave on 200 agents with eight
GPUs each, and asks every report with what its parameters are by themselves. The rows are made in
SQL, not projected: as many and as large as those of real tasks, but not true to each other in all.
With a `--database` that is there already, it asks that one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from evq.core.queries import Query, values_for
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM
from evq.projector.catalogue import reports
from evq.projector.store import Database

AGENTS, GPUS_EACH, DAYS = 200, 8, 28
TIMES = 5
SLOW_SECONDS = 0.3
NEEDED = {"name": "work-352", "agent": "gpu-007"}
"""What the parameters are without which a report makes no sense."""

HISTORY = """
CREATE TEMP TABLE made AS
SELECT n, printf('%012d', n) AS task, 'user-' || (hash(n, 1) % 40) AS "user",
    'project-' || (hash(n, 2) % 25) AS project, 'queue-' || (hash(n, 3) % 6) AS queue,
    'work-' || (hash(n, 4) % 900) AS name, hash(n, 5) % 5 AS gpus,
    _now() - to_seconds(($days * 86400.0 * (1 - n / $tasks))) AS enqueued,
    (hash(n, 6) % 3600)::DOUBLE AS wait, 5.0 + hash(n, 7) % 90 AS setup,
    30.0 + hash(n, 8) % 7200 AS run, hash(n, 9) % 10 AS luck,
    hash(n, 10) % $agents AS place
FROM (SELECT unnest(range($tasks::BIGINT)) AS n);

CREATE TEMP TABLE tried AS
SELECT *, 'gpu-' || printf('%03d', (place + attempt) % $agents) AS agent,
    enqueued + to_seconds(wait + (attempt - 1) * (run / 4 + wait)) AS claimed,
    claimed + to_seconds(setup) AS started,
    started + to_seconds(CASE WHEN attempt < attempts THEN run / 4 ELSE run END) AS ended
FROM (SELECT *, unnest(range(1, attempts + 1)) AS attempt
    FROM (SELECT *, CASE luck WHEN 8 THEN 2 WHEN 9 THEN 3 ELSE 1 END AS attempts FROM made));

UPDATE tried SET started = NULL WHERE started > _now();
UPDATE tried SET ended = NULL WHERE ended > _now();
DELETE FROM tried WHERE claimed > _now();

INSERT INTO _attempts BY NAME
SELECT 10 * n + attempt AS claim, task, attempt, agent, 'i' AS instance, 0 AS slot,
    list_transform(range(gpus::BIGINT), lambda g: 'GPU-' || agent || '-' || g) AS gpus,
    CASE WHEN gpus = 1 AND luck = 3 THEN 20 * 2**30 END AS gpu_memory, claimed, started, ended,
    CASE WHEN ended IS NULL THEN NULL WHEN attempt < attempts AND luck = 9 THEN 'lost'
        WHEN attempt < attempts OR luck = 7 THEN 'failed' ELSE 'completed' END AS outcome,
    CASE outcome WHEN 'lost' THEN 'lost_agent' WHEN 'failed' THEN ['code', 'environment',
        'oom_host'][1 + (hash(n, 11) % 3)::BIGINT] END AS cause,
    agent AS host, 'uv' AS manager, '3.11.9' AS python,
    'environment-' || hash(n, 12) % 50 AS environment, 'set-' || hash(n, 12) % 50 AS packages,
    run * 3 AS cpu_seconds
FROM tried;

INSERT INTO _packages SELECT 'set-' || s, 'package-' || p, '1.' || (p + s) % 9
FROM (SELECT unnest(range(50)) AS s), (SELECT unnest(range(120)) AS p);

INSERT INTO _phases BY NAME
SELECT 10 * n + attempt AS claim, task, attempt, place, phase AS name, claimed AS began,
    setup / 5 AS seconds, CASE WHEN place < 4 THEN hash(n, place) % 3 > 0 END AS cached,
    'done' AS detail
FROM (SELECT * EXCLUDE (place), unnest(range(5)) AS place,
        unnest(['secrets', 'code', 'environment', 'image', 'start']) AS phase FROM tried);

INSERT INTO _tasks BY NAME
SELECT 10 * m.n AS origin, 10 * m.n + 9 AS seq, m.task, m.name, m.queue, 5 AS priority,
    m.n::DOUBLE AS rank, 'g' || m.gpus AS size,
    CASE WHEN l.claimed IS NULL THEN 'queued' WHEN l.started IS NULL THEN 'claimed'
        WHEN l.ended IS NULL THEN 'running' ELSE l.outcome END AS state,
    m."user", 'laptop' AS host, [] AS tags, '{"lr": "0.1"}' AS params,
    'train.py --lr 0.1' AS entry, 'commit-' || m.n % 500 AS "commit", 'main' AS branch,
    'snapshot-' || m.n % 5000 AS snapshot, m.project, m.gpus, 1 AS nodes, l.attempt AS attempts,
    0 AS failures, 0 AS losses, l.agent, l.claim, m.enqueued, l.claimed, l.started,
    l.ended, l.outcome, l.cause, '{}' AS fold
FROM made m LEFT JOIN (
    SELECT * FROM _attempts QUALIFY row_number() OVER (PARTITION BY task ORDER BY attempt DESC) = 1
    ) l USING (task);

INSERT INTO _events (seq, ts, task, kind, "by", attempt, data)
SELECT 10 * n, enqueued, task, 'enqueued', 'x', NULL, json_object('kind', 'enqueued', 'task', task,
    'spec', json_object('name', name, 'queue', queue, 'variables', json_object('SEED', n)))
FROM made
UNION ALL SELECT claim, claimed, task, 'claimed', agent, attempt,
    '{"kind":"claimed","lease":10.0,"slot":0}' FROM _attempts
UNION ALL SELECT claim + 3, started, task, 'started', agent, attempt,
    '{"kind":"started","pid":1}' FROM _attempts WHERE started IS NOT NULL
UNION ALL SELECT claim + 5, ended, task, CASE WHEN outcome = 'lost' THEN 'lost'
        WHEN lead(attempt) OVER (PARTITION BY task ORDER BY attempt) IS NOT NULL THEN 'retry'
        ELSE 'finished' END, agent, attempt, '{"kind":"retry","delay":5.0}'
    FROM _attempts WHERE ended IS NOT NULL
UNION ALL SELECT claim + place % 2, began, task, 'phase', 'x', attempt,
    '{"kind":"phase","name":"code","seconds":1.0}' FROM _phases;

INSERT INTO _events BY NAME
SELECT 20 * $tasks::BIGINT + row_number() OVER (ORDER BY ts) AS seq, ts, 'agent_' || kind AS kind,
    agent AS by, json_object('kind', 'agent_' || kind, 'agent', agent, 'instance', 'i',
        'reason', 'told', 'host', agent, 'slots', $gpus, 'gpus', list_transform(
            range($gpus), lambda g: 'GPU-' || agent || '-' || g),
        'gpu_memory', list_transform(range($gpus), lambda g: 80 * 2**30::BIGINT)) AS data
FROM (SELECT 'gpu-' || printf('%03d', a) AS agent,
        unnest(['up', 'paused', 'resumed', 'lost']) AS kind,
        _ago($days + 1) + to_hours(d * 24 + unnest(range(4)) * 5) AS ts
    FROM (SELECT unnest(range($agents)) AS a), (SELECT unnest(range($days)) AS d));
INSERT INTO _agents BY NAME
SELECT 'gpu-' || printf('%03d', a) AS agent, agent AS host, 'up' AS state, ['q'] AS queues,
    8 AS slots FROM (SELECT unnest(range($agents)) AS a);

INSERT INTO _task_hours BY NAME
SELECT date_trunc('hour', started) AS ts, claim AS seq, task, attempt, agent, claim,
    3600.0 AS seconds, 360 AS readings, {'mean': claim % 100, 'max': 100, 'last': 50}::figure AS gpu
FROM _attempts WHERE started IS NOT NULL;
INSERT INTO _gpu_hours BY NAME
SELECT date_trunc('hour', _ago(h / 24)) AS ts, h AS seq, 'gpu-' || printf('%03d', a) AS agent,
    'GPU-gpu-' || printf('%03d', a) || '-' || g AS gpu, 3600.0 AS seconds, 360 AS readings,
    81920 AS memory_total, {'mean': h % 100, 'max': 100, 'last': 50}::figure AS utilisation,
    {'mean': 20000, 'max': 40000, 'last': 30000}::figure AS memory,
    {'mean': 300, 'max': 400, 'last': 350}::figure AS power
FROM (SELECT unnest(range($agents)) AS a), (SELECT unnest(range($gpus)) AS g),
    (SELECT unnest(range($days * 24)) AS h);
INSERT INTO _machine_hours BY NAME
SELECT date_trunc('hour', _ago(h / 24)) AS ts, h AS seq, 'gpu-' || printf('%03d', a) AS agent,
    3600.0 AS seconds, 360 AS readings, 524288 AS memory_total,
    {'mean': h % 100, 'max': 100, 'last': 50}::figure AS cpu,
    {'mean': 20000, 'max': 40000, 'last': 30000}::figure AS memory
FROM (SELECT unnest(range($agents)) AS a), (SELECT unnest(range($days * 24)) AS h);
"""


def fill(database: Database, tasks: int) -> None:
    """Rows of so many tasks."""
    for stream in (LIFECYCLE_STREAM, TELEMETRY_STREAM, SAMPLES_STREAM):
        database.start(stream, "made")
    numbers = {"tasks": tasks, "agents": AGENTS, "gpus": GPUS_EACH, "days": DAYS}
    for statement in HISTORY.split(";\n"):
        used = {name: n for name, n in numbers.items() if f"${name}" in statement}
        if statement.strip():
            database.execute(statement, used)
    database.checkpoint()


def all_reports() -> Iterator[Query]:
    """evq's reports."""
    for group in reports().values():
        yield from group.values()


def seconds_of(database: Database, query: Query) -> tuple[float, int]:
    """How long a report takes at best, as others use this machine too, and how many rows it has."""
    given = {one.name: NEEDED[one.name] for one in query.parameters if one.required}
    values = values_for(query, given)
    times, rows = [], 0
    for _ in range(TIMES):
        began = time.perf_counter()
        rows = len(database.answer(query.text, values).rows)
        times.append(time.perf_counter() - began)
    return min(times), rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--database", type=Path)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = chosen.database or Path(folder) / "made.duckdb"
        is_new = not path.exists()
        database = Database(path)
        if is_new:
            fill(database, chosen.tasks)
        counts = database.rows(
            "SELECT (SELECT count(*) FROM _tasks), (SELECT count(*) FROM _events)"
        )[0]
        print(f"{counts[0]:,} tasks, {counts[1]:,} events")
        slow = 0
        for query in all_reports():
            seconds, rows = seconds_of(database, query)
            slow += seconds > SLOW_SECONDS
            mark = "  slow" * (seconds > SLOW_SECONDS)
            print(f"{query.name:<22} {seconds * 1000:7.1f} ms {rows:6} rows{mark}")
        database.close()
        print(f"{slow} of them take more than {SLOW_SECONDS * 1000:g} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
