-- Reports: questions that people ask of the whole history, as `evq sql @wait-percentiles`.
-- The form is that of queries.sql. `days` is how far back they look, `by` is what they sum up by.

-- name: wait_percentiles(by="queue", days=7)
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project ELSE queue END AS name,
    count(*) AS waits, round(quantile_cont(seconds, 0.5), 3) AS p50,
    round(quantile_cont(seconds, 0.9), 3) AS p90, round(quantile_cont(seconds, 0.95), 3) AS p95,
    round(quantile_cont(seconds, 0.99), 3) AS p99, round(max(seconds), 3) AS longest
FROM waits WHERE ended_by = 'claimed' AND until >= _ago($days)
GROUP BY ALL ORDER BY name;

-- name: queue_depth(queue=null, hours=24, points=48)
WITH clock AS (
    SELECT _now() - to_seconds($hours::DOUBLE * 3600 * (1 - n / greatest($points::BIGINT, 1))) AS ts
    FROM (SELECT unnest(range(1, greatest($points::BIGINT, 1) + 1)) AS n)),
steps AS (
    SELECT since AS ts, queue, 1 AS change FROM waits
    UNION ALL SELECT until, queue, -1 FROM waits WHERE until IS NOT NULL AND until > since),
depths AS (
    SELECT queue, ts, sum(change) OVER (PARTITION BY queue ORDER BY ts) AS depth FROM steps
    WHERE $queue::VARCHAR IS NULL OR queue = $queue)
SELECT clock.ts, queues.queue, coalesce(depths.depth, 0)::BIGINT AS depth
FROM clock CROSS JOIN (SELECT DISTINCT queue FROM depths) queues
ASOF LEFT JOIN depths ON depths.queue = queues.queue AND depths.ts <= clock.ts
ORDER BY queues.queue, clock.ts;

-- name: gpu_hours(by="user", days=7)
SELECT CASE $by WHEN 'queue' THEN queue WHEN 'project' THEN project WHEN 'worker' THEN agent
        ELSE "user" END AS name,
    count(*) AS attempts, round(sum(gpu_hours), 3) AS reserved,
    round(sum(gpu_hours * run_seconds / nullif(held_seconds, 0)), 3) AS used,
    round(sum(gpu_hours * setup_seconds / nullif(held_seconds, 0)), 3) AS set_up,
    round(sum(gpu_hours) FILTER (wasted), 3) AS wasted,
    round(sum(gpu_hours) FILTER (wasted AND run_seconds = 0), 3) AS wasted_in_set_up
FROM usage WHERE gpus > 0 AND coalesce(ended, _now()) >= _ago($days)
GROUP BY ALL ORDER BY reserved DESC;

-- Two attempts that had one GPU at once, though one of them was to have it alone: never any.
-- name: gpu_overlaps(days=7)
SELECT a.gpu, a.task, a.attempt, a.agent, b.task AS other, b.attempt AS other_attempt,
    b.agent AS other_agent, b.claimed AS since
FROM gpu_claims a JOIN gpu_claims b ON a.gpu = b.gpu AND a.given < b.given
    AND (a.taken_back IS NULL OR a.taken_back > b.given)
WHERE (a.gpu_memory IS NULL OR b.gpu_memory IS NULL) AND b.claimed >= _ago($days)
ORDER BY since, a.gpu;

-- name: worker_use(days=7)
WITH begin AS (SELECT _ago($days) AS start),
offered AS (
    SELECT agent, any_value(host) AS host,
        sum(_seconds(greatest(since, begin.start), coalesce(until, _now())))
            FILTER (state = 'up') AS up_seconds,
        sum(slots * _seconds(greatest(since, begin.start), coalesce(until, _now())))
            FILTER (state = 'up') AS slot_seconds,
        count(*) FILTER (state = 'lost') AS losses
    FROM agent_history, begin WHERE coalesce(until, _now()) > begin.start GROUP BY agent),
taken AS (
    SELECT agent, count(*) AS attempts,
        sum(_seconds(greatest(claimed, begin.start), coalesce(ended, _now()))) AS busy_seconds
    FROM usage, begin WHERE coalesce(ended, _now()) > begin.start GROUP BY agent)
SELECT agent, host, attempts, round(up_seconds / 3600, 3) AS up_hours,
    round(busy_seconds / 3600, 3) AS busy_hours,
    round(least(1, busy_seconds / nullif(slot_seconds, 0)), 4) AS busy_share, losses
FROM offered LEFT JOIN taken USING (agent) ORDER BY agent;

-- name: idle_while_waiting(days=7)
WITH begin AS (SELECT _ago($days) AS start),
steps AS (
    SELECT since AS ts, gpus AS offered, 0 AS taken, 0 AS waiting FROM agent_history
        WHERE state = 'up' AND gpus > 0
    UNION ALL SELECT until, -gpus, 0, 0 FROM agent_history
        WHERE state = 'up' AND gpus > 0 AND until IS NOT NULL
    UNION ALL SELECT claimed, 0, gpus, 0 FROM usage WHERE gpus > 0
    UNION ALL SELECT ended, 0, -gpus, 0 FROM usage WHERE gpus > 0 AND ended IS NOT NULL
    UNION ALL SELECT since, 0, 0, 1 FROM waits WHERE gpus > 0
    UNION ALL SELECT until, 0, 0, -1 FROM waits WHERE gpus > 0 AND until IS NOT NULL),
moments AS (SELECT ts, sum(offered) AS offered, sum(taken) AS taken, sum(waiting) AS waiting
    FROM steps GROUP BY ts),
levels AS (
    SELECT ts, lead(ts, 1, _now()) OVER (ORDER BY ts) AS until, sum(offered) OVER w AS offered,
        sum(taken) OVER w AS taken, sum(waiting) OVER w AS waiting
    FROM moments WINDOW w AS (ORDER BY ts)),
seen AS (
    SELECT _seconds(greatest(ts, begin.start), until) / 3600 AS hours, offered, taken, waiting
    FROM levels, begin WHERE until > begin.start)
SELECT round(sum(hours * offered), 3) AS offered,
    round(sum(hours * least(taken, offered)), 3) AS taken,
    round(sum(hours * greatest(offered - taken, 0)), 3) AS idle,
    round(sum(hours * greatest(offered - taken, 0)) FILTER (waiting > 0), 3)
        AS idle_while_waiting,
    round(sum(hours) FILTER (waiting > 0 AND offered > taken), 3) AS hours_of_it
FROM seen;

-- name: availability(days=30)
WITH begin AS (SELECT _ago($days) AS start),
seen AS (
    SELECT agent, state, host,
        _seconds(greatest(since, begin.start), coalesce(until, _now())) AS seconds
    FROM agent_history, begin WHERE coalesce(until, _now()) > begin.start)
SELECT agent, any_value(host) AS host, round(sum(seconds) / 3600, 3) AS known_hours,
    round(sum(seconds) FILTER (state = 'up') / sum(seconds), 4) AS up,
    round(coalesce(sum(seconds) FILTER (state IN ('paused', 'draining')), 0) / sum(seconds), 4)
        AS held_back,
    round(coalesce(sum(seconds) FILTER (state IN ('down', 'lost')), 0) / sum(seconds), 4) AS away,
    count(*) FILTER (state = 'lost') AS losses
FROM seen GROUP BY agent ORDER BY agent;

-- name: agent_history(agent, limit=100)
SELECT since, until, state, reason, host, instance, round(seconds, 3) AS seconds
FROM agent_history WHERE agent = $agent ORDER BY since DESC LIMIT least($limit::BIGINT, 10000);

-- name: longest_holders(days=7, limit=20)
SELECT task, attempt, name, "user", queue, agent, gpus, round(held_seconds / 3600, 3) AS hours,
    round(gpu_hours, 3) AS gpu_hours, coalesce(outcome, 'running') AS outcome
FROM usage WHERE coalesce(ended, _now()) >= _ago($days)
ORDER BY gpu_hours DESC, held_seconds DESC LIMIT least($limit::BIGINT, 10000);

-- name: setup_share(by="queue", days=7)
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project WHEN 'worker' THEN agent
        ELSE queue END AS name,
    count(*) AS attempts, round(median(setup_seconds), 3) AS set_up_p50,
    round(quantile_cont(setup_seconds, 0.95), 3) AS set_up_p95,
    round(sum(setup_seconds) / nullif(sum(held_seconds), 0), 4) AS share,
    count(*) FILTER (wasted AND run_seconds = 0) AS failed_in_set_up
FROM usage WHERE coalesce(ended, _now()) >= _ago($days)
GROUP BY ALL ORDER BY name;
