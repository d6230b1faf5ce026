-- What retention would take away, and what it has still to take away; see queries.sql.

-- Moments are microseconds since 1970; null is not asked for. `points` are those beyond the most
-- that a thinned curve keeps, so that a few less may go.
-- name: trim_preview(metrics=null, logs=null, minutes=null)
WITH ended AS (
    SELECT a.claim, a.task, t.ended FROM _attempts a JOIN _tasks t USING (task)
    WHERE t.ended IS NOT NULL),
curves AS (
    SELECT e.task, l.n FROM _metric_latest l JOIN ended e USING (claim)
    WHERE e.ended < make_timestamp($metrics::BIGINT) AND l.n > 1000
        AND e.claim NOT IN (SELECT claim FROM _trimmed WHERE metrics IS NOT NULL)),
lines AS (
    SELECT e.task, count(*) AS n FROM _logs l JOIN ended e USING (claim)
    WHERE e.ended < make_timestamp($logs::BIGINT) AND l.ts < make_timestamp($logs::BIGINT)
        AND e.claim NOT IN (SELECT claim FROM _trimmed WHERE logs IS NOT NULL)
    GROUP BY e.task),
sums AS (SELECT date_trunc('hour', make_timestamp($minutes::BIGINT)) AS before,
    (SELECT max(seq) FROM _rolled WHERE unit = 'hour') AS mark)
SELECT coalesce((SELECT sum(n - 997) FROM curves), 0)::BIGINT AS points,
    (SELECT count(*) FROM curves) AS curves,
    coalesce((SELECT sum(n) FROM lines), 0)::BIGINT AS lines,
    (SELECT count(*) FROM _machine_minutes WHERE ts < before AND seq <= mark)
        + (SELECT count(*) FROM _gpu_minutes WHERE ts < before AND seq <= mark)
        + (SELECT count(*) FROM _task_minutes WHERE ts < before AND seq <= mark) AS minutes,
    (SELECT count(*) FROM (SELECT task FROM curves UNION SELECT task FROM lines)) AS tasks,
    (SELECT block_size * total_blocks FROM pragma_database_size()
        WHERE database_name = current_database()) AS database_bytes
FROM sums;

-- name: trim_left()
SELECT count(*) AS attempts FROM _trimmed WHERE NOT done;

-- name: clean_left()
SELECT count(*) AS attempts FROM _cleaned WHERE NOT done;
