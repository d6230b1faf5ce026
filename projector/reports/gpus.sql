-- Reports on GPUs. A GPU that is shared by memory counts by its share, and of an attempt only the
-- time within the days that are asked for.

-- name: gpu_hours(by="user", days=7, queue=null, user=null, project=null)
-- GPU-hours reserved, and of these: in set-up, with the command running, used and idle, wasted.
-- `used` is the running time times the GPUs' utilisation, and `idle` the rest of it, as far as
-- samples tell; `wasted` are those of attempts that did not complete.
-- by (user|queue|project|agent): what a row stands for
-- chart: bar:name,reserved,used,wasted
WITH begin AS (SELECT _ago($days) AS start),
held AS (
    SELECT task, attempt, queue, "user", project, agent, wasted, started,
        gpu_share * _since(start, claimed, coalesce(started, ended)) / 3600 AS setup,
        CASE WHEN started IS NULL THEN 0
            ELSE gpu_share * _since(start, started, ended) / 3600 END AS running
    FROM usage, begin
    WHERE gpus > 0 AND coalesce(ended, _now()) >= start
        AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)),
seen AS (
    SELECT task, attempt, sum((gpu).mean * seconds) / sum(seconds) / 100 AS part
    FROM task_hours, begin WHERE (gpu).mean IS NOT NULL AND ts >= start - INTERVAL 1 HOUR
    GROUP BY ALL)
SELECT CASE $by WHEN 'queue' THEN queue WHEN 'project' THEN project WHEN 'agent' THEN agent
        ELSE "user" END AS name,
    count(*) AS attempts, round(sum(setup + running), 3) AS reserved,
    round(sum(setup), 3) AS setup, round(sum(running), 3) AS running,
    round(sum(running * part), 3) AS used, round(sum(running * (1 - part)), 3) AS idle,
    coalesce(round(sum(setup + running) FILTER (wasted), 3), 0) AS wasted,
    coalesce(round(sum(setup + running) FILTER (wasted AND started IS NULL), 3), 0)
        AS wasted_in_setup
FROM held LEFT JOIN seen USING (task, attempt)
GROUP BY ALL ORDER BY reserved DESC, name;

-- name: idle_holders(days=1, below=10, limit=20, queue=null, user=null, project=null)
-- Attempts that hold or held GPUs and hardly used them: the GPU-hours that lay idle, as far as
-- samples tell.
-- below (amount): percent of utilisation
-- chart: bar:task,idle_gpu_hours
WITH begin AS (SELECT _ago($days) AS start),
seen AS (
    SELECT task, attempt, sum((gpu).mean * seconds) / sum(seconds) AS utilisation,
        max((gpu).max) AS highest
    FROM task_hours, begin WHERE (gpu).mean IS NOT NULL AND ts >= start - INTERVAL 1 HOUR
    GROUP BY ALL)
SELECT task, attempt, name, "user", queue, agent, gpu_share AS gpus,
    coalesce(outcome, 'running') AS outcome, round(utilisation, 1) AS utilisation,
    round(highest, 1) AS highest,
    round(gpu_share * _since(start, started, ended) / 3600 * (1 - utilisation / 100), 3)
        AS idle_gpu_hours
FROM usage JOIN seen USING (task, attempt), begin
WHERE gpus > 0 AND started IS NOT NULL AND coalesce(ended, _now()) >= start
    AND utilisation < $below::DOUBLE
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
ORDER BY idle_gpu_hours DESC, task LIMIT $limit::BIGINT;

-- name: gpu_overlaps(days=7)
-- Two attempts that had one GPU at once, though one of them was to have it alone: there are none.
WITH recent AS (
    SELECT * FROM gpu_claims WHERE ended IS NULL OR ended >= _ago($days))
SELECT a.gpu, a.task, a.attempt, a.agent, b.task AS other, b.attempt AS other_attempt,
    b.agent AS other_agent, b.claimed AS since
FROM recent a JOIN recent b ON a.gpu = b.gpu AND a.given < b.given
    AND (a.taken_back IS NULL OR a.taken_back > b.given)
WHERE (a.gpu_memory IS NULL OR b.gpu_memory IS NULL) AND b.claimed >= _ago($days)
ORDER BY since, a.gpu;

-- name: longest_holders(days=7, limit=20, queue=null, user=null, project=null)
-- Attempts that held the most GPU-hours, or were held the longest.
-- chart: bar:task,gpu_hours
SELECT task, attempt, name, "user", queue, agent, gpu_share AS gpus,
    round(held_seconds / 3600, 3) AS hours, round(gpu_hours, 3) AS gpu_hours,
    coalesce(outcome, 'running') AS outcome
FROM usage
WHERE coalesce(ended, _now()) >= _ago($days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
ORDER BY usage.gpu_hours DESC, held_seconds DESC, task LIMIT $limit::BIGINT;

-- name: cost(by="user", days=30, gpu_hour=1.0, slot_hour=0.0, cpu_hour=0.0, queue=null, user=null, project=null)
-- What tasks cost at these prices, and what of it went into attempts that did not complete.
-- by (user|queue|project|agent): what a row stands for
-- gpu_hour (amount): the price of a GPU for an hour
-- slot_hour (amount): the price of a slot for an hour
-- cpu_hour (amount): the price of an hour of processor time, known when an attempt has ended
-- chart: bar:name,cost,wasted
WITH begin AS (SELECT _ago($days) AS start),
held AS (
    SELECT queue, "user", project, agent, wasted,
        _since(start, claimed, ended) / 3600 AS hours,
        hours * gpu_share AS gpus,
        CASE WHEN held_seconds > 0 THEN cpu_hours * hours * 3600 / held_seconds ELSE 0 END AS cpus
    FROM usage, begin
    WHERE coalesce(ended, _now()) >= start
        AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)),
priced AS (
    SELECT *, gpus * $gpu_hour::DOUBLE + hours * $slot_hour::DOUBLE
        + cpus * $cpu_hour::DOUBLE AS price FROM held)
SELECT CASE $by WHEN 'queue' THEN queue WHEN 'project' THEN project WHEN 'agent' THEN agent
        ELSE "user" END AS name,
    count(*) AS attempts, round(sum(gpus), 3) AS gpu_hours, round(sum(hours), 3) AS slot_hours,
    round(sum(cpus), 3) AS cpu_hours, round(sum(price), 2) AS cost,
    coalesce(round(sum(price) FILTER (wasted), 2), 0) AS wasted
FROM priced GROUP BY ALL ORDER BY cost DESC, name;

-- name: energy(by="agent", days=7, kwh=0.0)
-- The energy that GPUs took, by their own meters, and how much of the time they were looked at.
-- by (agent|gpu): what a row stands for
-- kwh (amount): the price of a kilowatt-hour
-- chart: bar:name,kwh
SELECT CASE $by WHEN 'gpu' THEN gpu ELSE agent END AS name, count(DISTINCT gpu) AS gpus,
    round(sum(seconds) / 3600, 3) AS gpu_hours_seen,
    round(sum((power).mean * seconds) / 3.6e6, 3) AS kwh,
    round(sum((power).mean * seconds) / nullif(sum(seconds) FILTER ((power).mean IS NOT NULL), 0), 1)
        AS mean_watts,
    round(max((power).max), 1) AS highest_watts,
    round(sum((power).mean * seconds) / 3.6e6 * $kwh::DOUBLE, 2) AS cost
FROM gpu_hours WHERE ts >= _ago($days)
GROUP BY ALL ORDER BY kwh DESC, name;
