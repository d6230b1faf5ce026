-- What one may ask by name. `-- name:` begins a question and gives its parameters; one with a
-- value may be left out. answers.py reads this file; docs/views.md lists the questions.

-- name: resolve(prefix)
SELECT task, queue, name, state FROM _tasks WHERE starts_with(task, $prefix)
UNION ALL
SELECT array_id, any_value(queue), any_value(name), '' FROM _tasks
WHERE starts_with(array_id, $prefix) GROUP BY array_id LIMIT 10;

-- name: latest(user=null, offset=0, limit=1)
SELECT coalesce(array_id, task) AS task, arg_max(name, origin) AS name,
    arg_max(queue, origin) AS queue, arg_max(state, origin) AS state, max(enqueued) AS enqueued
FROM _tasks WHERE $user::VARCHAR IS NULL OR "user" = $user
GROUP BY coalesce(array_id, task)
ORDER BY max(origin) DESC LIMIT least($limit, 10000) OFFSET $offset;

-- name: tasks(states=null, queue=null, user=null, parent=null, archived=false, arrays=false, ranks=false, limit=100, offset=0)
WITH listed AS (
    SELECT * FROM tasks
    WHERE ($ranks OR coalesce(gang_rank, 0) = 0)
        AND ($states::VARCHAR[] IS NULL OR list_contains($states, state))
        AND ($queue::VARCHAR IS NULL OR queue = $queue)
        AND ($user::VARCHAR IS NULL OR "user" = $user)
        AND ($parent::VARCHAR IS NULL OR parent = $parent)
        AND (archived IS NOT NULL) = $archived),
-- Of an array the latest of those that are listed stands for all.
arrays AS (
    SELECT array_id, max(origin) AS origin, count(*) AS members,
        count(*) FILTER (state = 'held') AS members_held,
        count(*) FILTER (state = 'queued') AS members_queued,
        count(*) FILTER (state = 'claimed') AS members_claimed,
        count(*) FILTER (state = 'running') AS members_running,
        count(*) FILTER (state = 'completed') AS members_completed,
        count(*) FILTER (state = 'failed') AS members_failed,
        count(*) FILTER (state = 'aborted') AS members_aborted,
        count(*) FILTER (state = 'timed_out') AS members_timed_out
    FROM listed WHERE $arrays AND array_id IS NOT NULL GROUP BY array_id),
chosen AS (
    SELECT listed.*, arrays.* EXCLUDE (array_id, origin)
    FROM listed LEFT JOIN arrays ON arrays.array_id = listed.array_id
    WHERE arrays.array_id IS NULL OR arrays.origin = listed.origin
    ORDER BY listed.origin DESC LIMIT least($limit, 10000) OFFSET $offset),
said AS (
    SELECT task, string_agg(name || '=' || format('{:.4g}', value), ' ' ORDER BY name) AS metrics
    FROM metric_latest WHERE task IN (SELECT task FROM chosen) GROUP BY task),
-- The end of a gang is that of the member which ended by its own doing.
decisive AS (
    SELECT gang, arg_min(cause, gang_rank) AS own_cause, arg_min(exit_code, gang_rank) AS own_code
    FROM _tasks WHERE gang IN (SELECT gang FROM chosen) AND cause <> 'gang' GROUP BY gang)
SELECT chosen.* EXCLUDE (params, evidence) REPLACE (
        CASE WHEN $ranks THEN cause ELSE coalesce(own_cause, cause) END AS cause,
        CASE WHEN $ranks OR own_cause IS NULL THEN exit_code ELSE own_code END AS exit_code),
    evidence[:200] AS evidence, metrics
FROM chosen LEFT JOIN said USING (task) LEFT JOIN decisive USING (gang) ORDER BY origin DESC;

-- name: show(task)
SELECT t.fold, CASE WHEN t.state = 'queued' THEN 1 + (
    SELECT count(*) FROM _tasks o
    WHERE o.queue = t.queue AND o.state = 'queued'
        AND (o.priority > t.priority OR o.priority = t.priority AND o.rank < t.rank)) END
    AS position,
    p.done AS progress_done, p.total AS progress_total, p.text AS progress_text
FROM _tasks t LEFT JOIN _progress p ON p.claim = t.claim WHERE t.task = $task;

-- name: why(task)
WITH t AS (SELECT * FROM _tasks WHERE task = $task),
ahead AS (
    SELECT count(*) AS n FROM _tasks o, t
    WHERE o.queue = t.queue AND o.state = 'queued'
        AND (o.priority > t.priority OR o.priority = t.priority AND o.rank < t.rank)),
recent AS (
    SELECT epoch_us(ended) - epoch_us(started) AS run FROM _tasks
    WHERE queue = (SELECT queue FROM t) AND started IS NOT NULL AND ended IS NOT NULL
    ORDER BY origin DESC LIMIT 100),
serving AS (
    SELECT count(*) AS n, sum(slots) AS slots, list(agent ORDER BY agent) AS names FROM agents
    WHERE state = 'up' AND list_contains(queues, (SELECT queue FROM t)))
SELECT t.task, t.state, t.queue, t.priority, t.delay, t.since,
    CASE WHEN t.state = 'queued' THEN ahead.n + 1 END AS position,
    CASE WHEN t.state = 'queued' THEN ahead.n END AS ahead,
    (SELECT count(*) FROM _tasks o
        WHERE o.queue = t.queue AND o.state IN ('claimed', 'running')) AS running,
    serving.n AS agents, coalesce(serving.slots, 0)::BIGINT AS slots,
    coalesce(serving.names, []) AS agent_names,
    (SELECT median(run) / 1e6 FROM recent) AS median_run_seconds
FROM t, ahead, serving;

-- name: ahead(task, limit=500)
SELECT o.task, o.name, o.size FROM _tasks o, (SELECT * FROM _tasks WHERE task = $task) t
WHERE o.queue = t.queue AND o.state = 'queued'
    AND (o.priority > t.priority OR o.priority = t.priority AND o.rank < t.rank)
ORDER BY o.priority DESC, o.rank LIMIT least($limit, 10000);

-- name: held(limit=1000)
SELECT queue, name, (epoch_us(ended) - epoch_us(claimed)) / 1e6 AS seconds FROM _tasks
WHERE claimed IS NOT NULL AND ended IS NOT NULL
ORDER BY ended DESC LIMIT least($limit, 10000);

-- name: metrics(task)
SELECT name, step, value, first, value AS last, min, max, n, ts FROM metric_latest
WHERE task = $task ORDER BY name;

-- name: remarks(task)
SELECT kind, name, value FROM remarks
WHERE task = $task AND attempt = (SELECT max(attempt) FROM remarks WHERE task = $task)
ORDER BY kind, name;

-- name: logs(task, attempt=null, after=-1, limit=1000)
SELECT attempt, line, ts, stream, text FROM _logs
WHERE task = $task AND line > $after
    AND attempt = coalesce($attempt::INTEGER,
        (SELECT max(attempt) FROM _attempts WHERE task = $task))
ORDER BY line LIMIT least($limit, 10000);

-- name: events(task=null, after=0, limit=1000)
SELECT seq, ts, task, kind, "by", attempt, data FROM _events
WHERE seq > $after AND ($task::VARCHAR IS NULL OR task = $task)
ORDER BY seq LIMIT least($limit, 10000);

-- name: agents()
SELECT * FROM agents ORDER BY agent;

-- name: queues()
WITH next AS (
    SELECT queue, task, name, "user" FROM _tasks WHERE state = 'queued'
    QUALIFY row_number() OVER (PARTITION BY queue ORDER BY priority DESC, rank) = 1),
waits AS (
    SELECT queue, count(*) AS n, quantile_cont(_seconds(enqueued, first_claimed), [0.5, 0.9]) AS q
    FROM _tasks WHERE first_claimed > _now() - INTERVAL 1 DAY GROUP BY queue)
SELECT queues.*, next.task AS next_task, next.name AS next_name, next."user" AS next_user,
    coalesce(waits.n, 0) AS waits, waits.q[1] AS wait_median_seconds, waits.q[2] AS wait_high_seconds
FROM queues LEFT JOIN next USING (queue) LEFT JOIN waits USING (queue) ORDER BY queue;

-- name: depth(queue)
SELECT priority, size AS class, count(*) AS queued, _seconds(min(since), _now()) AS oldest_seconds
FROM _tasks WHERE queue = $queue AND state = 'queued'
GROUP BY priority, size ORDER BY priority DESC, size;

-- name: line(queue, priority=null, without=[], offset=0, limit=50)
SELECT row_number() OVER (ORDER BY priority DESC, rank) AS position, task, name, "user",
    priority, rank, size AS class, _seconds(since, _now()) AS wait_seconds,
    count(*) OVER () AS total
FROM _tasks
WHERE queue = $queue AND state = 'queued'
    AND ($priority::INTEGER IS NULL OR priority = $priority)
    AND NOT list_contains($without::VARCHAR[], task)
ORDER BY position LIMIT least($limit, 100000) OFFSET $offset;

-- name: positions(tasks)
WITH lines AS (
    SELECT task, queue, priority, rank, count(*) OVER (PARTITION BY queue) AS total,
        row_number() OVER (PARTITION BY queue ORDER BY priority DESC, rank) AS position,
        row_number() OVER (PARTITION BY queue, priority ORDER BY rank) AS place
    FROM _tasks
    WHERE state = 'queued' AND queue IN (
        SELECT queue FROM _tasks WHERE list_contains($tasks::VARCHAR[], task)))
SELECT task, queue, priority, rank, position, place, total FROM lines
WHERE list_contains($tasks::VARCHAR[], task) ORDER BY queue, position;

-- name: workload()
SELECT queue, count(*) FILTER (state = 'queued') AS queued,
    list_aggregate(arg_max(_seconds(claimed, ended), origin, 100)
        FILTER (claimed IS NOT NULL AND ended IS NOT NULL), 'median') AS median_seconds
FROM _tasks GROUP BY queue ORDER BY queue;

-- name: dead_letters(after=0, limit=100)
SELECT stream, seq, subject, error, payload[:1000] AS payload, seen FROM _dead_letters
WHERE seq > $after ORDER BY seen, seq LIMIT least($limit, 10000);

-- name: status()
SELECT
    (SELECT max(seq) FROM _positions WHERE stream = 'EVQ') AS lifecycle_seq,
    (SELECT max(seq) FROM _positions WHERE stream = 'EVQTEL') AS telemetry_seq,
    (SELECT max(seq) FROM _positions WHERE stream = 'EVQSAM') AS samples_seq,
    (SELECT count(*) FROM _tasks) AS tasks,
    (SELECT count(*) FROM _tasks WHERE state IN ('held', 'queued', 'claimed', 'running')) AS live,
    (SELECT count(*) FROM _events) AS events,
    (SELECT count(*) FROM _metrics) AS metrics,
    (SELECT count(*) FROM _logs) AS log_lines,
    (SELECT count(*) FROM _machine_samples) AS samples,
    (SELECT count(*) FROM _dead_letters) AS dead_letters,
    (SELECT max(stream || ' ' || seq || ': ' || error) FROM _dead_letters
        WHERE seen = (SELECT max(seen) FROM _dead_letters)) AS last_dead_letter,
    (SELECT block_size * total_blocks FROM pragma_database_size()
        WHERE database_name = current_database()) AS database_bytes,
    (SELECT max(version) FROM _version) AS schema_version,
    version() AS duckdb;
