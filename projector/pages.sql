-- What pages of the dashboard ask by name; see queries.sql.

-- name: telemetry_position()
SELECT coalesce(max(seq), 0)::BIGINT AS seq FROM _positions WHERE stream = 'EVQTEL';

-- name: samples_position()
SELECT coalesce(max(seq), 0)::BIGINT AS seq FROM _positions WHERE stream = 'EVQSAM';

-- name: view_columns()
SELECT table_name AS "table", column_name AS "column", data_type AS type
FROM duckdb_columns() WHERE NOT starts_with(table_name, '_') AND NOT internal
    AND database_name = current_database() AND schema_name = 'main'
ORDER BY table_name, column_index;

-- Lines before a line, from the last one on; or lines after one, from the first one on.
-- name: log_window(task, claim, before=null, after=null, streams=null, search=null, limit=500)
SELECT line, ts, stream, text FROM _logs
WHERE claim = $claim::BIGINT AND task = $task
    AND ($before::BIGINT IS NULL OR line < $before::BIGINT)
    AND ($after::BIGINT IS NULL OR line > $after::BIGINT)
    AND ($streams::VARCHAR[] IS NULL OR list_contains($streams::VARCHAR[], stream))
    AND ($search::VARCHAR IS NULL OR contains(lower(text), lower($search::VARCHAR)))
ORDER BY CASE WHEN $after::BIGINT IS NULL THEN -line ELSE line END
LIMIT least($limit::BIGINT, 10000);

-- What an attempt took of its machine: by sample while these are kept, by minute later.
-- name: task_machine(task, claim)
WITH near AS (
    SELECT ts, cpu, memory, gpu, gpu_memory FROM task_samples
    WHERE claim = $claim::BIGINT AND task = $task),
far AS (
    SELECT ts, cpu, memory, gpu, gpu_memory FROM task_minutes
    WHERE claim = $claim::BIGINT AND task = $task AND ts < coalesce((SELECT min(ts) FROM near), ts + INTERVAL 1 HOUR)),
both_of_them AS (FROM near UNION ALL FROM far),
parts AS (SELECT *, ntile(1000) OVER (ORDER BY ts) AS part FROM both_of_them)
SELECT max(ts) AS ts, avg(cpu.mean) AS cpu, avg(memory.mean) AS memory, avg(gpu.mean) AS gpu,
    avg(gpu_memory.mean) AS gpu_memory
FROM parts GROUP BY part ORDER BY ts;

-- name: task_page(where="", words="", sort="-enqueued", limit=50, offset=0)
SELECT task, name, state, queue, priority, "user", project, host, tags, params, agent, gpus,
    attempts, enqueued, started, ended, wait_seconds, run_seconds, exit_code, cause,
    evidence[:200] AS evidence, progress_done, progress_total, gang_rank, archived
FROM tasks WHERE {where} ORDER BY {sort}
LIMIT least($limit::BIGINT, 1000) OFFSET $offset::BIGINT;

-- name: task_count(where="", words="")
SELECT count(*) AS n FROM tasks WHERE {where};

-- name: task_ids(where="", words="", sort="-enqueued", limit=1000)
SELECT task FROM tasks WHERE {where} ORDER BY {sort} LIMIT least($limit::BIGINT, 10000);

-- name: task_facet(facet, where="", words="")
SELECT value, count(*) AS n FROM (SELECT {facet} AS value FROM tasks WHERE {where})
WHERE value IS NOT NULL GROUP BY value ORDER BY n DESC, value LIMIT 200;

-- name: task_metrics(tasks)
SELECT task, name, value, min, max, step FROM metric_latest
WHERE list_contains($tasks::VARCHAR[], task) ORDER BY task, name;

-- What the latest tasks have: their parameters and metrics, the most frequent first.
-- name: task_columns()
WITH latest AS (SELECT task, params FROM _tasks ORDER BY origin DESC LIMIT 2000)
SELECT 'params' AS kind, name, count(*) AS n
FROM (SELECT unnest(json_keys(params)) AS name FROM latest) GROUP BY name
UNION ALL
SELECT 'metrics', name, count(DISTINCT task) FROM _metric_latest
WHERE task IN (SELECT task FROM latest) GROUP BY name
ORDER BY kind DESC, n DESC, name LIMIT 400;

-- name: services_now(limit=200)
WITH shown AS (
    SELECT * FROM services WHERE ended IS NULL OR ended > _now() - INTERVAL 1 DAY
    ORDER BY ended IS NOT NULL, since DESC LIMIT $limit::BIGINT),
spoken AS (
    SELECT task, attempt, arg_max(text, line) AS text FROM logs SEMI JOIN shown USING (task, attempt)
    WHERE stream IN ('stdout', 'stderr') AND trim(text) <> '' GROUP BY task, attempt)
SELECT s.task, s.attempt, s.name, s.agent, s."user", s.queue, s.state, s.since, s.ended,
    coalesce(nullif(t.progress_text, ''), w.text, '')[:300] AS words,
    (SELECT count(*) FROM _tasks c WHERE c.parent = s.task) AS children
FROM shown s JOIN tasks t USING (task) LEFT JOIN spoken w USING (task, attempt)
ORDER BY s.ended IS NOT NULL, s.since DESC;

-- name: decisions_now(limit=100)
SELECT service, name, arg_max(words, seq) AS words, arg_max("by", seq) AS "by",
    max(ts) AS ts, count(*) AS decisions
FROM decisions
-- A new attempt, and how far a trigger has read, say nothing to people.
WHERE fact IS NOT NULL AND fact ->> '$.type' IS DISTINCT FROM 'read'
GROUP BY service, name ORDER BY max(seq) DESC LIMIT $limit::BIGINT;

-- name: families(limit=50)
SELECT c.parent AS task, any_value(p.name) AS name, any_value(p.state) AS state,
    any_value(p."user") AS "user", count(*) AS children,
    count(*) FILTER (c.state IN ('running', 'claimed')) AS running,
    count(*) FILTER (c.state IN ('queued', 'held')) AS waiting,
    count(*) FILTER (c.state = 'completed') AS completed,
    count(*) FILTER (c.state IN ('failed', 'aborted', 'timed_out')) AS failed,
    max(c.enqueued) AS latest
FROM _tasks c JOIN _tasks p ON p.task = c.parent WHERE p.archived IS NULL
GROUP BY c.parent ORDER BY latest DESC LIMIT $limit::BIGINT;

-- name: family(task, limit=300)
WITH RECURSIVE members(task, generation) AS (
    SELECT $task::VARCHAR, 0
    UNION ALL
    SELECT t.task, generation + 1 FROM members m JOIN _tasks t ON t.parent = m.task
    WHERE generation < 20),
awaited AS (SELECT task, list(awaits) AS awaits FROM dependencies GROUP BY task)
SELECT t.task, t.name, t.state, t.parent, m.generation, coalesce(a.awaits, []) AS awaits
FROM members m JOIN _tasks t USING (task) LEFT JOIN awaited a USING (task)
ORDER BY t.origin LIMIT $limit::BIGINT;
