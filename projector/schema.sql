-- The projector's tables and the views that users see. docs/views.md describes every column of a
-- view, and a test holds the two together. Raise the version in store.py with every change here:
-- an older file is then rebuilt from the log.
--
-- The projector is the only writer, so nothing here needs an index or a primary key: they would
-- cost half of the writing speed and of the disk. Rows are found by `origin` and `claim`, which
-- grow with the log, so that zone maps skip what is old.

CREATE TABLE IF NOT EXISTS _positions (
    stream VARCHAR NOT NULL, created VARCHAR NOT NULL, seq BIGINT NOT NULL);

-- Changes when rows that follow from a stream are taken back: a copy of them cannot go on.
CREATE TABLE IF NOT EXISTS _lineage (stream VARCHAR NOT NULL, name VARCHAR NOT NULL);

CREATE TABLE IF NOT EXISTS _tasks (
    origin BIGINT, seq BIGINT, task VARCHAR, name VARCHAR, queue VARCHAR, priority INTEGER,
    rank DOUBLE, size VARCHAR, state VARCHAR, submitter VARCHAR, "user" VARCHAR, host VARCHAR, tags VARCHAR[], params JSON,
    entry VARCHAR, "commit" VARCHAR, branch VARCHAR, snapshot VARCHAR, key VARCHAR,
    parent VARCHAR, retries INTEGER, timeout DOUBLE, project VARCHAR, gpus INTEGER,
    gpu_memory BIGINT, nodes INTEGER, gang VARCHAR, gang_rank INTEGER, array_id VARCHAR, array_index INTEGER, array_size INTEGER,
    dependencies JSON,
    attempts INTEGER, failures INTEGER,
    losses INTEGER, agent VARCHAR, claim BIGINT, since TIMESTAMP, delay DOUBLE,
    enqueued TIMESTAMP, first_claimed TIMESTAMP, claimed TIMESTAMP, started TIMESTAMP,
    ended TIMESTAMP, exit_code BIGINT, outcome VARCHAR, cause VARCHAR, evidence VARCHAR,
    abort_reason VARCHAR, archived TIMESTAMP, unknown INTEGER, fold VARCHAR);

CREATE TABLE IF NOT EXISTS _attempts (
    claim BIGINT, task VARCHAR, attempt INTEGER, agent VARCHAR, instance VARCHAR, slot INTEGER,
    gpus VARCHAR[], gpu_memory BIGINT, claimed TIMESTAMP, started TIMESTAMP, ended TIMESTAMP,
    outcome VARCHAR, cause VARCHAR, evidence VARCHAR, exit_code BIGINT, pid BIGINT, host VARCHAR, folder VARCHAR,
    manager VARCHAR, python VARCHAR, environment VARCHAR, packages VARCHAR,
    wall_seconds DOUBLE, cpu_seconds DOUBLE, max_rss_bytes BIGINT);

CREATE TABLE IF NOT EXISTS _phases (
    claim BIGINT, task VARCHAR, attempt INTEGER, place INTEGER, name VARCHAR, began TIMESTAMP,
    seconds DOUBLE, cached BOOLEAN, detail VARCHAR);

-- A set of packages stands here once, however many attempts ran with it.
CREATE TABLE IF NOT EXISTS _packages (packages VARCHAR, name VARCHAR, version VARCHAR);

CREATE TABLE IF NOT EXISTS _agents (
    agent VARCHAR, instance VARCHAR, host VARCHAR, pid BIGINT, state VARCHAR, queues VARCHAR[],
    queue_order VARCHAR, slots INTEGER, version VARCHAR, cpus INTEGER, memory BIGINT,
    platform VARCHAR, python VARCHAR, started TIMESTAMP, last_event TIMESTAMP, reason VARCHAR,
    services BOOLEAN, drains JSON, drained TIMESTAMP, drained_by VARCHAR, drain_reason VARCHAR,
    drained_gpus VARCHAR[]);

-- Queues that somebody did something to; the others are known by their tasks.
CREATE TABLE IF NOT EXISTS _queues (
    queue VARCHAR, state VARCHAR, since TIMESTAMP, "by" VARCHAR, reason VARCHAR,
    description VARCHAR, created TIMESTAMP, fold VARCHAR);

-- What limits a queue, and the tasks that are live under it, as of the last event about it.
CREATE TABLE IF NOT EXISTS _permits (
    queue VARCHAR, most INTEGER, per_user INTEGER, held VARCHAR[], since TIMESTAMP, "by" VARCHAR,
    reason VARCHAR);

CREATE TABLE IF NOT EXISTS _saved_queries (
    query VARCHAR, text VARCHAR, meaning VARCHAR, parameters VARCHAR[], chart VARCHAR,
    "by" VARCHAR, saved TIMESTAMP, document VARCHAR);

CREATE TABLE IF NOT EXISTS _events (
    seq BIGINT, ts TIMESTAMP, task VARCHAR, kind VARCHAR, "by" VARCHAR, attempt INTEGER,
    data JSON, unread VARCHAR);

CREATE TABLE IF NOT EXISTS _dead_letters (
    stream VARCHAR, seq BIGINT, subject VARCHAR, error VARCHAR, payload BLOB, seen TIMESTAMP);

-- `place` is the message's sequence and the point's number in it: the order of all points.
CREATE TABLE IF NOT EXISTS _metrics (
    place BIGINT, claim BIGINT, task VARCHAR, attempt INTEGER, ts TIMESTAMP, name VARCHAR,
    step BIGINT, value DOUBLE);

-- `min`, `max` are over finite values only: a NaN is bigger than everything in DuckDB. `since` is
-- the first point's place.
CREATE TABLE IF NOT EXISTS _metric_latest (
    claim BIGINT, task VARCHAR, name VARCHAR, place BIGINT, ts TIMESTAMP, step BIGINT,
    value DOUBLE, first DOUBLE, min DOUBLE, max DOUBLE, n BIGINT,
    since BIGINT, first_step BIGINT, first_ts TIMESTAMP);

-- Runs of points of metrics that are long, each summed up; see pieces.py.
CREATE TABLE IF NOT EXISTS _metric_pieces (
    claim BIGINT, name VARCHAR, first_place BIGINT, place BIGINT, first_step BIGINT, step BIGINT,
    first_ts TIMESTAMP, ts TIMESTAMP, value DOUBLE, low DOUBLE, high DOUBLE, n BIGINT, gaps BIGINT);

CREATE TABLE IF NOT EXISTS _logs (
    seq BIGINT, claim BIGINT, task VARCHAR, attempt INTEGER, line BIGINT, ts TIMESTAMP,
    stream VARCHAR, text VARCHAR);

CREATE TABLE IF NOT EXISTS _remarks (
    seq BIGINT, claim BIGINT, task VARCHAR, attempt INTEGER, ts TIMESTAMP,
    params MAP(VARCHAR, VARCHAR), tags MAP(VARCHAR, VARCHAR));

CREATE TABLE IF NOT EXISTS _progress (
    claim BIGINT, seq BIGINT, ts TIMESTAMP, done DOUBLE, total DOUBLE, text VARCHAR);

-- What retention took away of an attempt, or takes away when telemetry is read as far as then.
CREATE TABLE IF NOT EXISTS _trimmed (
    claim BIGINT, seq BIGINT, telemetry BIGINT, metrics TIMESTAMP, logs TIMESTAMP, done BOOLEAN);

-- What was let go of an attempt, or goes when telemetry is read as far as then.
CREATE TABLE IF NOT EXISTS _cleaned (
    claim BIGINT, seq BIGINT, telemetry BIGINT, metrics BOOLEAN, logs BOOLEAN, done BOOLEAN);

-- Views ------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW tasks AS
SELECT t.task, t.name, t.queue, t.priority, t.state, t."user", t.host, t.tags, t.params, t.entry,
    t."commit", t.branch, t.snapshot, t.key, t.parent, t.retries, t.timeout, t.project, t.gpus,
    t.gpu_memory, t.nodes, t.gang, t.gang_rank, t.attempts,
    t.failures, t.losses, t.agent, t.enqueued, t.claimed, t.started, t.ended,
    _seconds(t.enqueued, coalesce(t.first_claimed, t.ended, _now())) AS wait_seconds,
    _seconds(t.started, coalesce(t.ended, _now())) AS run_seconds,
    t.exit_code, t.outcome, t.cause, t.evidence, t.abort_reason,
    p.done AS progress_done, p.total AS progress_total, p.text AS progress_text, t.origin,
    t.rank, t.size AS class, t.archived, t.array_id, t.array_index, t.array_size
FROM _tasks t LEFT JOIN _progress p ON p.claim = t.claim;

CREATE OR REPLACE VIEW limits AS
SELECT queue, most, per_user, len(held)::INTEGER AS running, held AS tasks, since, "by", reason
FROM _permits WHERE most IS NOT NULL OR per_user IS NOT NULL;

CREATE OR REPLACE VIEW dependencies AS
SELECT task, one->>'awaits' AS awaits, one->>'on' AS "on", one->>'outcome' AS outcome,
    CASE one->>'on' WHEN 'any' THEN outcome IS NOT NULL OR NULL
        ELSE (outcome = 'completed') = (one->>'on' = 'ok') END AS met
FROM (SELECT task, unnest(dependencies::JSON[]) AS one FROM _tasks WHERE dependencies IS NOT NULL);

CREATE OR REPLACE VIEW attempts AS
SELECT task, attempt, agent, instance, slot, gpus, gpu_memory, claimed, started, ended, outcome,
    cause, evidence, exit_code, pid, host, folder, manager, python, environment, wall_seconds, cpu_seconds,
    max_rss_bytes, claim
FROM _attempts;

CREATE OR REPLACE VIEW phases AS
SELECT task, attempt, place, name, began, seconds, cached, detail FROM _phases;

CREATE OR REPLACE VIEW packages AS
SELECT a.task, a.attempt, p.name, p.version FROM _attempts a JOIN _packages p USING (packages);

CREATE OR REPLACE VIEW metrics AS SELECT task, attempt, ts, name, step, value FROM _metrics;

CREATE OR REPLACE VIEW metric_latest AS
SELECT task, name, arg_max(ts, place) AS ts, arg_max_null(step, place) AS step,
    arg_max(value, place) AS value, arg_min(first, place) AS first, min(min) AS min,
    max(max) AS max, sum(n)::BIGINT AS n
FROM _metric_latest GROUP BY task, name;

CREATE OR REPLACE VIEW remarks AS
SELECT task, attempt, arg_max(ts, seq) AS ts, kind, one.key AS name,
    arg_max(one.value, seq) AS value
FROM (
    SELECT seq, task, attempt, ts, 'param' AS kind, unnest(map_entries(params)) AS one FROM _remarks
    UNION ALL
    SELECT seq, task, attempt, ts, 'tag', unnest(map_entries(tags)) FROM _remarks)
GROUP BY task, attempt, kind, one.key;

CREATE OR REPLACE VIEW logs AS SELECT task, attempt, line, ts, stream, text FROM _logs;

CREATE OR REPLACE VIEW agents AS
SELECT agent, instance, host, pid,
    CASE WHEN state IN ('up', 'paused') AND drained IS NOT NULL THEN 'drained' ELSE state END
    AS state,
    queues, queue_order, slots, version, cpus, memory, platform, python, started, last_event,
    reason, services, drained, drained_by, drain_reason, drained_gpus
FROM _agents;

CREATE OR REPLACE VIEW queues AS
WITH served AS (
    SELECT queue, count(*) AS agents
    FROM (SELECT unnest(queues) AS queue FROM agents WHERE state = 'up') GROUP BY queue),
filled AS (
    SELECT queue, count(*) FILTER (state = 'queued') AS queued,
        count(*) FILTER (state = 'claimed') AS claimed,
        count(*) FILTER (state = 'running') AS running,
        count(*) FILTER (state = 'completed') AS completed,
        count(*) FILTER (state = 'failed') AS failed,
        count(*) FILTER (state = 'aborted') AS aborted,
        count(*) FILTER (state = 'timed_out') AS timed_out,
        _seconds(min(since), _now()) AS oldest_wait_seconds
    FROM _tasks GROUP BY queue)
SELECT queue,
    CASE WHEN q.state = 'deleted' AND queued + claimed + running > 0 THEN 'open'
        ELSE coalesce(q.state, 'open') END AS state,
    q.since, q."by", q.reason, q.description, q.created, coalesce(queued, 0) AS queued, coalesce(claimed, 0) AS claimed,
    coalesce(running, 0) AS running, coalesce(completed, 0) AS completed,
    coalesce(failed, 0) AS failed, coalesce(aborted, 0) AS aborted,
    coalesce(timed_out, 0) AS timed_out, oldest_wait_seconds, coalesce(agents, 0) AS agents
FROM filled FULL JOIN served USING (queue) FULL JOIN _queues q USING (queue);

CREATE OR REPLACE VIEW saved_queries AS
SELECT query, text, meaning, parameters, chart, "by", saved FROM _saved_queries;

CREATE OR REPLACE VIEW artifacts AS
SELECT task, attempt, data ->> '$.name' AS name, (data ->> '$.size')::BIGINT AS size,
    data ->> '$.digest' AS digest, coalesce((data ->> '$.folder')::BOOLEAN, false) AS folder,
    coalesce(data ->> '$.depot', 'nats') AS depot, ts, seq,
    row_number() OVER (PARTITION BY task, name ORDER BY seq DESC) = 1 AS latest
FROM _events WHERE kind = 'artifact';

CREATE OR REPLACE VIEW removals AS
SELECT task, unnest((data -> '$.what')::VARCHAR[]) AS what, ts, "by", data ->> '$.reason' AS reason,
    seq
FROM _events WHERE kind = 'cleaned';

CREATE OR REPLACE VIEW decisions AS
SELECT seq, ts, data ->> '$.service' AS service, data ->> '$.name' AS name, "by",
    coalesce(data ->> '$.holder', '') AS holder, data ->> '$.words' AS words,
    data -> '$.fact' AS fact
FROM _events WHERE kind = 'decided';

CREATE OR REPLACE VIEW events AS SELECT seq, ts, task, kind, "by", attempt, data FROM _events;

CREATE OR REPLACE VIEW dead_letters AS
SELECT stream, seq, subject, error, octet_length(payload) AS bytes, seen FROM _dead_letters;
