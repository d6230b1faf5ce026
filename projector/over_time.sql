-- What the dashboard asks of workers and queues over time; see queries.sql for the form. Times are
-- milliseconds since 1970, as charts take them, and there are at most `points` of them.

-- name: fleet_curve(hours=24, points=96)
WITH clock AS (
    SELECT ts, date_trunc(CASE WHEN $hours::DOUBLE > 48 THEN 'hour' ELSE 'minute' END, ts) AS unit
    FROM (SELECT _now() - to_microseconds(($hours::DOUBLE * 3600e6 * n / $points)::BIGINT) AS ts
        FROM (SELECT unnest(range(greatest($points::BIGINT, 1))) AS n))),
known AS (
    SELECT ts, count(*) AS workers, sum(gpus) AS gpus
    FROM clock JOIN agent_history h
        ON h.since <= clock.ts AND coalesce(h.until, _now() + INTERVAL 1 DAY) > clock.ts
    WHERE h.state IN ('up', 'paused', 'draining') GROUP BY ts),
held AS (
    SELECT agent, len(gpus) AS gpus, claimed, coalesce(ended, _now() + INTERVAL 1 DAY) AS ended
    FROM _attempts WHERE coalesce(ended, _now()) >= _ago($hours / 24)),
busy AS (
    SELECT ts, count(DISTINCT agent) AS workers, count(*) AS tasks, sum(gpus) AS gpus
    FROM clock JOIN held ON held.claimed <= clock.ts AND held.ended > clock.ts GROUP BY ts),
-- Only the minutes or hours that are shown are read, and each is found by its zone.
seen AS (
    SELECT ts AS unit, avg(utilisation.mean) AS use,
        count(*) FILTER (outside.mean >= 256) AS outside,
        count(*) FILTER (utilisation IS NULL) AS offline
    FROM (FROM _gpu_minutes WHERE $hours <= 48 AND ts IN (SELECT unit FROM clock)
        UNION ALL FROM _gpu_hours WHERE $hours > 48 AND ts IN (SELECT unit FROM clock))
    GROUP BY ts)
SELECT epoch_ms(ts) AS ms, coalesce(known.workers, 0) AS workers,
    coalesce(busy.workers, 0) AS busy_workers, coalesce(busy.tasks, 0) AS tasks,
    coalesce(known.gpus, 0)::BIGINT AS gpus, coalesce(busy.gpus, 0)::BIGINT AS busy_gpus,
    coalesce(seen.outside, 0) AS outside, coalesce(seen.offline, 0) AS offline,
    round(seen.use, 1) AS use
FROM clock LEFT JOIN known USING (ts) LEFT JOIN busy USING (ts) LEFT JOIN seen USING (unit)
ORDER BY ts;

-- name: worker_curve(agent, hours=24, points=240)
WITH rows AS (
    SELECT ts, cpu, memory, memory_total, disk, disk_total, disk_read, disk_write, net_in, net_out,
        temperature
    FROM (SELECT * FROM _machine_minutes WHERE $hours::DOUBLE <= 48
        UNION ALL SELECT * FROM _machine_hours WHERE $hours > 48
        UNION ALL SELECT * FROM _machine_minutes
            WHERE $hours > 48 AND seq > (SELECT max(seq) FROM _rolled WHERE unit = 'hour')
        UNION ALL SELECT * EXCLUDE (instance, number, cores, trouble) FROM _machine_samples
            WHERE seq > (SELECT max(seq) FROM _rolled WHERE unit = 'minute'))
    WHERE agent = $agent AND ts >= _ago($hours / 24))
SELECT epoch_ms(time_bucket(to_microseconds(($hours * 3600e6 / $points)::BIGINT), ts)) AS ms,
    round(avg(cpu.mean), 1) AS cpu, max(cpu.max) AS cpu_peak,
    round(100 * avg(memory.mean / nullif(memory_total, 0)), 1) AS memory,
    round(100 * avg(disk.mean / nullif(disk_total, 0)), 1) AS disk,
    round(avg(disk_read.mean)) * 1024 AS disk_read, round(avg(disk_write.mean)) * 1024 AS disk_write,
    round(avg(net_in.mean)) * 1024 AS net_in, round(avg(net_out.mean)) * 1024 AS net_out,
    round(avg(temperature.mean), 1) AS temperature
FROM rows GROUP BY ms ORDER BY ms;

-- name: worker_gpu_curve(agent, hours=24, points=240)
WITH rows AS (
    SELECT ts, "index", utilisation, memory, memory_total, temperature, power
    FROM (SELECT * FROM _gpu_minutes WHERE $hours::DOUBLE <= 48
        UNION ALL SELECT * FROM _gpu_hours WHERE $hours > 48
        UNION ALL SELECT * FROM _gpu_minutes
            WHERE $hours > 48 AND seq > (SELECT max(seq) FROM _rolled WHERE unit = 'hour')
        UNION ALL SELECT * EXCLUDE (trouble, name, power_limit) FROM _gpu_samples
            WHERE seq > (SELECT max(seq) FROM _rolled WHERE unit = 'minute'))
    WHERE agent = $agent AND ts >= _ago($hours / 24))
SELECT "index", epoch_ms(time_bucket(to_microseconds(($hours * 3600e6 / $points)::BIGINT), ts)) AS ms,
    round(avg(utilisation.mean), 1) AS use,
    round(100 * avg(memory.mean / nullif(memory_total, 0)), 1) AS memory,
    round(avg(temperature.mean), 1) AS temperature, round(avg(power.mean)) AS power
FROM rows GROUP BY "index", ms ORDER BY "index", ms;

-- name: worker_attempts(agent, limit=50)
SELECT a.task, a.attempt, t.name, t."user", t.queue, epoch_us(a.claimed) AS claimed,
    epoch_us(a.ended) AS ended, coalesce(a.outcome, 'running') AS outcome, a.cause,
    len(a.gpus) AS gpus
FROM _attempts a JOIN _tasks t USING (task) WHERE a.agent = $agent
ORDER BY a.claim DESC LIMIT least($limit::BIGINT, 10000);

-- name: queue_curve(queue, hours=24, points=96)
WITH clock AS (
    SELECT _now() - to_microseconds(($hours::DOUBLE * 3600e6 * n / $points)::BIGINT) AS ts
    FROM (SELECT unnest(range(greatest($points::BIGINT, 1))) AS n)),
stood AS (
    SELECT since, coalesce(until, _now() + INTERVAL 1 DAY) AS until FROM _waits(_ago($hours / 24))
    WHERE queue = $queue AND coalesce(until, _now()) >= _ago($hours / 24)),
depths AS (
    SELECT ts, count(*) AS queued, max(_seconds(since, ts)) AS longest
    FROM clock JOIN stood ON stood.since <= clock.ts AND stood.until > clock.ts GROUP BY ts),
held AS (
    SELECT claimed, coalesce(ended, _now() + INTERVAL 1 DAY) AS ended FROM _attempts
    WHERE coalesce(ended, _now()) >= _ago($hours / 24)
        AND task IN (SELECT task FROM _tasks WHERE queue = $queue)),
running AS (
    SELECT ts, count(*) AS tasks FROM clock
    JOIN held ON held.claimed <= clock.ts AND held.ended > clock.ts GROUP BY ts)
SELECT epoch_ms(ts) AS ms, coalesce(queued, 0) AS queued, coalesce(tasks, 0) AS running,
    round(coalesce(longest, 0), 1) AS longest
FROM clock LEFT JOIN depths USING (ts) LEFT JOIN running USING (ts) ORDER BY ts;

-- name: fleet_ends(days=1)
SELECT count(*) FILTER (outcome = 'completed') AS completed,
    count(*) FILTER (outcome IN ('failed', 'timed_out')) AS failed,
    coalesce(list_aggregate(list(DISTINCT cause) FILTER (outcome = 'failed'), 'string_agg', ', '), '')
        AS causes,
    (SELECT quantile_cont(_seconds(enqueued, first_claimed), 0.5) FROM _tasks
        WHERE first_claimed >= _ago($days)) AS wait_median,
    (SELECT quantile_cont(_seconds(enqueued, first_claimed), 0.95) FROM _tasks
        WHERE first_claimed >= _ago($days)) AS wait_high
FROM _tasks WHERE ended >= _ago($days);
