-- Reports on agents and their machines.

-- name: worker_use(days=7)
-- Each agent's hours up, hours of slots taken, and the share of what it offered; `busy_hours` may be
-- more than `up_hours` where an agent has several slots.
-- chart: bar:agent,busy_share
WITH begin AS (SELECT _ago($days) AS start),
offered AS (
    SELECT agent, any_value(host) AS host,
        sum(_since(start, since, until)) FILTER (state = 'up') AS up_seconds,
        sum(slots * _since(start, since, until)) FILTER (state = 'up') AS slot_seconds,
        count(*) FILTER (state = 'lost') AS losses
    FROM agent_history, begin WHERE coalesce(until, _now()) > start GROUP BY agent),
taken AS (
    SELECT agent, count(*) AS attempts, sum(_since(start, claimed, ended)) AS busy_seconds
    FROM usage, begin WHERE coalesce(ended, _now()) > start GROUP BY agent)
SELECT agent, host, coalesce(attempts, 0) AS attempts,
    coalesce(round(up_seconds / 3600, 3), 0) AS up_hours,
    coalesce(round(busy_seconds / 3600, 3), 0) AS busy_hours,
    least(1, _share(coalesce(busy_seconds, 0), slot_seconds)) AS busy_share, losses
FROM offered LEFT JOIN taken USING (agent) ORDER BY agent;

-- name: availability(days=30)
-- Each agent's shares of time up, held back (paused, drained, draining), and away, and how often it
-- was lost.
-- chart: bar:agent,up
WITH begin AS (SELECT _ago($days) AS start),
seen AS (
    SELECT agent, state, host, _since(start, since, until) AS seconds
    FROM agent_history, begin WHERE coalesce(until, _now()) > start)
SELECT agent, any_value(host) AS host, round(sum(seconds) / 3600, 3) AS known_hours,
    coalesce(_share(sum(seconds) FILTER (state = 'up'), sum(seconds)), 0) AS up,
    coalesce(_share(sum(seconds) FILTER (state IN ('paused', 'drained', 'draining')), sum(seconds)), 0)
        AS held_back,
    coalesce(_share(sum(seconds) FILTER (state IN ('down', 'lost')), sum(seconds)), 0) AS away,
    count(*) FILTER (state = 'lost') AS losses
FROM seen GROUP BY agent ORDER BY agent;

-- name: agent_history(agent, limit=100)
-- An agent's states, the newest first.
-- agent (text): its name
SELECT since, until, state, reason, host, instance, round(seconds, 3) AS seconds
FROM agent_history WHERE agent = $agent ORDER BY since DESC LIMIT $limit::BIGINT;

-- name: utilisation(hours=24, every="hour")
-- How much there was and how much of it was taken, in the mean over each stretch of time: agents,
-- slots, GPUs, and the GPUs' own utilisation in percent, as far as samples tell.
-- every (minute|hour|day|week): how long a row's stretch of time is, in UTC
-- chart: line:ts,gpus,gpus_taken
WITH begin AS (SELECT _first($every, $hours::DOUBLE / 24) AS start),
buckets AS (
    SELECT ts, least(ts + ('1 ' || $every)::INTERVAL, _now()) AS ends, _seconds(ts, ends) AS length
    FROM (SELECT unnest(generate_series(start, _now(), ('1 ' || $every)::INTERVAL)) AS ts
        FROM begin)),
stretches AS (
    SELECT since, until, 1 AS agents, slots, gpus, 0 AS slots_taken, 0.0 AS gpus_taken
    FROM agent_history, begin WHERE state = 'up' AND coalesce(until, _now()) > start
    UNION ALL
    SELECT claimed, ended, 0, 0, 0, 1, gpu_share FROM usage, begin
    WHERE coalesce(ended, _now()) > start),
parts AS (
    SELECT b.ts, _overlap(s.since, s.until, b.ts, b.ends) / b.length AS part, s.*
    FROM buckets b LEFT JOIN stretches s
        ON s.since < b.ends AND coalesce(s.until, _now()) > b.ts),
seen AS (
    SELECT date_trunc($every, ts) AS ts,
        sum((utilisation).mean * seconds) / nullif(sum(seconds), 0) AS used
    FROM (SELECT ts, utilisation, seconds FROM gpu_minutes, begin
            WHERE $every = 'minute' AND ts >= start AND (utilisation).mean IS NOT NULL
        UNION ALL SELECT ts, utilisation, seconds FROM gpu_hours, begin
            WHERE $every <> 'minute' AND ts >= start AND (utilisation).mean IS NOT NULL)
    GROUP BY ALL)
SELECT ts, coalesce(round(sum(part * agents), 2), 0) AS agents,
    coalesce(round(sum(part * slots), 2), 0) AS slots,
    coalesce(round(sum(part * slots_taken), 2), 0) AS slots_taken,
    coalesce(round(sum(part * gpus), 2), 0) AS gpus,
    coalesce(round(sum(part * gpus_taken), 2), 0) AS gpus_taken,
    round(any_value(used), 1) AS gpu_utilisation
FROM parts LEFT JOIN seen USING (ts) GROUP BY ts ORDER BY ts;

-- name: machine_use(days=7)
-- What agents' machines did: percent of processors and GPUs in the mean, the largest shares of
-- memory and disk that were taken.
-- chart: bar:agent,cpu,gpu
WITH seen AS (
    SELECT agent, sum(seconds) / 3600 AS hours,
        sum((cpu).mean * seconds) / nullif(sum(seconds) FILTER ((cpu).mean IS NOT NULL), 0) AS cpu,
        max((cpu).max) AS cpu_highest, max((memory).max / nullif(memory_total, 0)) AS memory,
        max((disk).max / nullif(disk_total, 0)) AS disk, max((temperature).max) AS temperature
    FROM machine_hours WHERE ts >= _ago($days) GROUP BY agent),
one_gpu AS (
    SELECT agent, gpu, sum((utilisation).mean * seconds) AS busy,
        sum(seconds) FILTER ((utilisation).mean IS NOT NULL) AS seen,
        max((memory).max / nullif(memory_total, 0)) AS memory, max((temperature).max) AS heat
    FROM gpu_hours WHERE ts >= _ago($days) GROUP BY ALL),
gpus AS (
    SELECT agent, count(*) AS gpus, sum(busy) / nullif(sum(seen), 0) AS gpu,
        max(memory) AS gpu_memory, max(heat) AS gpu_temperature
    FROM one_gpu GROUP BY agent)
SELECT agent, round(hours, 2) AS hours, round(cpu, 1) AS cpu, round(cpu_highest, 1) AS cpu_highest,
    round(memory, 4) AS memory_highest, round(disk, 4) AS disk_highest,
    round(temperature, 1) AS temperature_highest, coalesce(gpus, 0) AS gpus,
    round(gpu, 1) AS gpu, round(gpu_memory, 4) AS gpu_memory_highest,
    round(gpu_temperature, 1) AS gpu_temperature_highest
FROM seen LEFT JOIN gpus USING (agent) ORDER BY agent;
