-- Reports on tasks: how many, how long, by whom, and what people did about them.

-- name: throughput(hours=24, every="hour", queue=null, user=null, project=null)
-- How many tasks were enqueued and how many ended in each stretch of time, by outcome.
-- every (minute|hour|day|week): how long a row's stretch of time is, in UTC
-- chart: line:ts,enqueued,completed,failed
WITH begin AS (SELECT _first($every, $hours::DOUBLE / 24) AS start),
clock AS (
    SELECT unnest(generate_series(start, _now(), ('1 ' || $every)::INTERVAL)) AS ts FROM begin),
told AS (
    SELECT enqueued, ended, outcome FROM tasks
    WHERE _is($queue, queue) AND _is($user, "user") AND _is($project, project)),
steps AS (
    SELECT enqueued AS at, 'enqueued' AS what FROM told, begin WHERE enqueued >= start
    UNION ALL SELECT ended, outcome FROM told, begin WHERE ended >= start)
SELECT clock.ts, count(*) FILTER (what = 'enqueued') AS enqueued,
    count(*) FILTER (what = 'completed') AS completed, count(*) FILTER (what = 'failed') AS failed,
    count(*) FILTER (what = 'aborted') AS aborted,
    count(*) FILTER (what = 'timed_out') AS timed_out
FROM clock LEFT JOIN steps ON date_trunc($every, steps.at) = clock.ts
GROUP BY clock.ts ORDER BY clock.ts;

-- name: activity(by="user", days=7, queue=null, user=null, project=null)
-- Who enqueues what: tasks enqueued and ended in these days, and what waits and runs now.
-- by (user|project|queue|name): what a row stands for
-- chart: bar:name,enqueued,completed,failed
SELECT CASE $by WHEN 'project' THEN project WHEN 'queue' THEN queue WHEN 'name' THEN name
        ELSE "user" END AS name,
    count(*) FILTER (enqueued >= _ago($days)) AS enqueued,
    count(*) FILTER (ended >= _ago($days) AND outcome = 'completed') AS completed,
    count(*) FILTER (ended >= _ago($days) AND outcome IN ('failed', 'timed_out')) AS failed,
    count(*) FILTER (ended >= _ago($days) AND outcome = 'aborted') AS aborted,
    count(*) FILTER (state IN ('held', 'queued')) AS waiting,
    count(*) FILTER (state IN ('claimed', 'running')) AS running, max(enqueued) AS last_enqueued
FROM tasks
WHERE coalesce(ended, _now()) >= _ago($days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY enqueued DESC, name;

-- name: run_percentiles(by="queue", days=7, outcome=null, queue=null, user=null, project=null)
-- Seconds that the commands of attempts ran that ended.
-- by (queue|user|project|name|agent): what a row stands for
-- outcome (completed|failed|aborted|timed_out|lost): only attempts that ended like this
-- chart: bar:name,p50,p95
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project WHEN 'name' THEN name
        WHEN 'agent' THEN agent ELSE queue END AS name,
    count(*) AS attempts, _quantile(run_seconds, 0.5) AS p50, _quantile(run_seconds, 0.9) AS p90,
    _quantile(run_seconds, 0.95) AS p95, _quantile(run_seconds, 0.99) AS p99,
    round(max(run_seconds), 3) AS longest
FROM usage
WHERE started IS NOT NULL AND ended >= _ago($days) AND _is($outcome, outcome)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY name;

-- name: turnaround(by="queue", days=7, queue=null, user=null, project=null)
-- Seconds from a task's enqueueing to its end, and what share of them its last attempt ran.
-- by (queue|user|project|name): what a row stands for
-- chart: bar:name,p50,p95
WITH ended AS (
    SELECT queue, "user", project, name, greatest(0.0, _seconds(enqueued, ended)) AS seconds,
        coalesce(greatest(0.0, run_seconds), 0) AS run_seconds
    FROM tasks
    WHERE ended >= _ago($days)
        AND _is($queue, queue) AND _is($user, "user") AND _is($project, project))
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project WHEN 'name' THEN name
        ELSE queue END AS name,
    count(*) AS tasks, _quantile(seconds, 0.5) AS p50, _quantile(seconds, 0.9) AS p90,
    _quantile(seconds, 0.95) AS p95, _quantile(seconds, 0.99) AS p99,
    round(max(seconds), 3) AS longest, _share(sum(run_seconds), sum(seconds)) AS run_share
FROM ended GROUP BY ALL ORDER BY name;

-- name: slower_runs(days=7, factor=1.5, least=3, limit=20, user=null, project=null)
-- Work of one name and project that takes longer than it did: the median run of these days and of
-- all before, in seconds, of attempts that completed.
-- factor (amount): by how much longer it must take
-- least (count): how many runs there must be before and within these days
-- chart: bar:name,before,now
WITH runs AS (
    SELECT name, project, run_seconds, ended >= _ago($days) AS recent FROM usage
    WHERE outcome = 'completed' AND started IS NOT NULL
        AND _is($user, "user") AND _is($project, project)),
compared AS (
    SELECT name, project, count(*) FILTER (NOT recent) AS runs_before,
        count(*) FILTER (recent) AS runs_now, median(run_seconds) FILTER (NOT recent) AS before,
        median(run_seconds) FILTER (recent) AS now
    FROM runs GROUP BY ALL)
SELECT name, project, runs_before, runs_now, round(before, 3) AS before, round(now, 3) AS now,
    round(now / before, 2) AS times_as_long
FROM compared
WHERE runs_before >= $least::BIGINT AND runs_now >= $least::BIGINT AND before > 0
    AND compared.now / compared.before >= $factor::DOUBLE
ORDER BY times_as_long DESC, name, project LIMIT $limit::BIGINT;

-- name: duplicates(days=30, limit=20, user=null, project=null)
-- The same code, command and parameters, completed more than once: how often, by whom, and the hours
-- that all but the first took.
-- chart: bar:name,completed
WITH done AS (
    SELECT t.task, t.name, t."user", t.snapshot, t.entry, t.params, t.origin, t.ended,
        u.slot_hours, u.gpu_hours
    FROM tasks t JOIN usage u ON u.task = t.task AND u.outcome = 'completed'
    WHERE t.outcome = 'completed' AND t.snapshot IS NOT NULL AND t.ended >= _ago($days)
        AND coalesce(t.gang_rank, 0) = 0 AND _is($user, t."user") AND _is($project, t.project))
SELECT any_value(name) AS name, count(*) AS completed,
    string_agg(DISTINCT "user", ', ' ORDER BY "user") AS users, entry,
    round(sum(slot_hours) - arg_min(slot_hours, origin), 3) AS extra_slot_hours,
    round(sum(gpu_hours) - arg_min(gpu_hours, origin), 3) AS extra_gpu_hours,
    arg_min(task, origin) AS first_task, arg_max(task, origin) AS last_task
FROM done GROUP BY snapshot, entry, params HAVING count(*) > 1
ORDER BY extra_gpu_hours DESC, extra_slot_hours DESC, first_task LIMIT $limit::BIGINT;

-- name: interventions(days=7, limit=100, actor=null)
-- What people did: tasks aborted, retried and moved, queues paused, agents drained, and so on, the
-- newest first.
-- actor (text): only what this one did, as the log has it: `user@host`
SELECT e.ts, e."by", e.kind, coalesce(e.task, e.data->>'agent', e.data->>'queue',
        e.data->>'query') AS about, t.name, e.data->>'reason' AS reason
FROM events e LEFT JOIN (SELECT task, name FROM tasks) t USING (task)
WHERE e.kind IN ('abort_requested', 'aborted', 'requeued', 'moved', 'dequeued', 'queue_created',
        'queue_described', 'queue_paused', 'queue_resumed', 'queue_deleted', 'queue_ruled',
        'drain_requested', 'resume_requested', 'stop_requested', 'query_saved', 'query_deleted')
    AND e.ts >= _ago($days) AND _is($actor, e."by")
ORDER BY e.seq DESC LIMIT $limit::BIGINT;
