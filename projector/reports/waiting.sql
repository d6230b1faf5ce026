-- Reports on waiting. catalogue.py says how to read the heads of reports.

-- name: wait_percentiles(by="queue", days=7, queue=null, user=null, project=null)
-- Seconds that tasks waited before each claim: median, 90, 95 and 99 %, and the longest.
-- by (queue|user|project): what a row stands for
-- chart: bar:name,p50,p95
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project ELSE queue END AS name,
    count(*) AS waits, _quantile(seconds, 0.5) AS p50, _quantile(seconds, 0.9) AS p90,
    _quantile(seconds, 0.95) AS p95, _quantile(seconds, 0.99) AS p99,
    round(max(seconds), 3) AS longest
FROM waits
WHERE ended_by = 'claimed' AND until >= _ago($days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY name;

-- name: wait_trend(every="day", days=14, queue=null, user=null, project=null)
-- How long those waited that were claimed in each hour, day or week: seconds.
-- every (hour|day|week): how long a row's stretch of time is, in UTC
-- chart: line:ts,p50,p95
SELECT date_trunc($every, until) AS ts, count(*) AS waits, _quantile(seconds, 0.5) AS p50,
    _quantile(seconds, 0.95) AS p95, round(max(seconds), 3) AS longest
FROM waits
WHERE ended_by = 'claimed' AND until >= _first($every, $days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY ts;

-- name: long_waiting(limit=20, queue=null, user=null, project=null)
-- Tasks that wait now, those first that have waited longest; `after` is what made them wait.
-- chart: bar:task,seconds
SELECT w.task, t.name, w."user", w.project, w.queue, t.priority, t.class, w.after, w.since,
    round(w.seconds, 3) AS seconds, t.failures, t.losses
FROM waits w JOIN tasks t USING (task)
WHERE w.until IS NULL
    AND _is($queue, w.queue) AND _is($user, w."user") AND _is($project, w.project)
ORDER BY seconds DESC, w.task LIMIT $limit::BIGINT;

-- name: queue_depth(hours=24, points=48, queue=null)
-- How many tasks waited in each queue, at so many moments of the last hours.
-- chart: line:ts,depth:queue
WITH begin AS (
    SELECT _ago($hours::DOUBLE / 24) AS start,
        greatest(epoch_us(_now()) - epoch_us(start), 1) / $points::BIGINT AS width),
stretches AS (
    SELECT queue, since, until FROM waits, begin
    WHERE coalesce(until, _now()) >= start AND (until IS NULL OR until > since)
        AND _is($queue, queue)),
steps AS (
    SELECT since AS ts, queue, 1 AS change FROM stretches
    UNION ALL SELECT until, queue, -1 FROM stretches WHERE until IS NOT NULL),
changes AS (
    SELECT queue, greatest(0, ceil((epoch_us(ts) - epoch_us(start)) / width))::BIGINT AS n,
        sum(change) AS change
    FROM steps, begin GROUP BY ALL),
grid AS (
    SELECT queue, unnest(range($points::BIGINT + 1)) AS n FROM (SELECT DISTINCT queue FROM changes)),
depths AS (
    SELECT queue, n, sum(coalesce(change, 0)) OVER (PARTITION BY queue ORDER BY n) AS depth
    FROM grid LEFT JOIN changes USING (queue, n))
SELECT start + to_microseconds((n * width)::BIGINT) AS ts, queue, depth::BIGINT AS depth
FROM depths, begin WHERE n > 0 ORDER BY queue, ts;

-- name: idle_while_waiting(days=7)
-- GPU-hours offered, taken, idle, and idle while tasks that ask for GPUs waited; the last column
-- is for how many hours that was so.
WITH begin AS (SELECT _ago($days) AS start),
offers AS (
    SELECT since, until, gpus FROM agent_history, begin
    WHERE state = 'up' AND gpus > 0 AND coalesce(until, _now()) > start),
holds AS (
    SELECT claimed, ended, gpu_share FROM usage, begin
    WHERE gpus > 0 AND coalesce(ended, _now()) > start),
queued AS (
    SELECT since, until FROM waits, begin
    WHERE gpus > 0 AND since <= _now() AND coalesce(until, _now()) > greatest(start, since)),
steps AS (
    SELECT since AS ts, gpus AS offered, 0.0 AS taken, 0 AS waiting FROM offers
    UNION ALL SELECT until, -gpus, 0, 0 FROM offers WHERE until IS NOT NULL
    UNION ALL SELECT claimed, 0, gpu_share, 0 FROM holds
    UNION ALL SELECT ended, 0, -gpu_share, 0 FROM holds WHERE ended IS NOT NULL
    UNION ALL SELECT since, 0, 0, 1 FROM queued
    UNION ALL SELECT until, 0, 0, -1 FROM queued WHERE until IS NOT NULL),
moments AS (
    SELECT ts, sum(offered) AS offered, sum(taken) AS taken, sum(waiting) AS waiting
    FROM steps GROUP BY ts),
levels AS (
    SELECT ts, lead(ts, 1, _now()) OVER later AS until, sum(offered) OVER later AS offered,
        round(sum(taken) OVER later, 6) AS taken, sum(waiting) OVER later AS waiting
    FROM moments WINDOW later AS (ORDER BY ts)),
seen AS (
    SELECT _since(start, ts, least(until, _now())) / 3600 AS hours, offered, taken, waiting
    FROM levels, begin)
SELECT coalesce(round(sum(hours * offered), 3), 0) AS offered,
    coalesce(round(sum(hours * least(taken, offered)), 3), 0) AS taken,
    coalesce(round(sum(hours * greatest(offered - taken, 0)), 3), 0) AS idle,
    coalesce(round(sum(hours * greatest(offered - taken, 0)) FILTER (waiting > 0), 3), 0)
        AS idle_while_waiting,
    coalesce(round(sum(hours) FILTER (waiting > 0 AND offered > taken), 3), 0) AS hours_of_it
FROM seen;
