-- Reports on what failed. An attempt *failed* here if it failed, ran out of time or was lost, but
-- not if somebody aborted it, its agent was drained, or another member of its gang failed.

-- name: failures_by_cause(days=7, queue=null, user=null, project=null)
-- Attempts that did not complete, by how and why they ended; `evidence` is of the last one.
-- chart: bar:cause,attempts
SELECT outcome, coalesce(cause, '') AS cause, count(*) AS attempts,
    count(DISTINCT task) AS tasks, count(DISTINCT u."user") AS users,
    count(DISTINCT coalesce(a.host, u.agent)) AS hosts,
    _share(count(*), sum(count(*)) OVER ()) AS share, round(sum(u.gpu_hours), 3) AS gpu_hours,
    max(u.ended) AS last, left(arg_max(a.evidence, u.ended), 200) AS evidence
FROM usage u JOIN (SELECT task, attempt, host, evidence FROM attempts WHERE ended IS NOT NULL) a
    USING (task, attempt)
WHERE u.wasted AND u.ended >= _ago($days)
    AND _is($queue, u.queue) AND _is($user, u."user") AND _is($project, u.project)
GROUP BY u.outcome, u.cause ORDER BY attempts DESC, outcome, cause;

-- name: failure_rates(by="user", days=7, queue=null, user=null, project=null)
-- How many of the attempts that ended failed, why most of them, and what that cost.
-- by (user|project|queue|agent|host|name): what a row stands for
-- chart: bar:name,rate
SELECT CASE $by WHEN 'project' THEN project WHEN 'queue' THEN queue WHEN 'agent' THEN agent
        WHEN 'host' THEN coalesce(u.host, g.host, agent) WHEN 'name' THEN name
        ELSE u."user" END AS name,
    count(*) AS attempts, count(*) FILTER (_failed(outcome, cause)) AS failed,
    _share(count(*) FILTER (_failed(outcome, cause)), count(*)) AS rate,
    count(*) FILTER (outcome = 'lost') AS lost,
    mode(cause) FILTER (_failed(outcome, cause)) AS main_cause,
    coalesce(round(sum(gpu_hours) FILTER (_failed(outcome, cause)), 3), 0) AS gpu_hours,
    max(ended) FILTER (_failed(outcome, cause)) AS last_failure
FROM usage u LEFT JOIN (SELECT agent, host FROM agents) g USING (agent)
WHERE ended >= _ago($days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY rate DESC, failed DESC, name;

-- name: flaky_hosts(days=14, least=3, same="work")
-- Hosts on which more tasks failed than the same work did elsewhere: Cochran's test, by strata.
-- `expected` is how many would have failed with the rates of that work on all hosts; `z` tells how
-- unlikely the excess is, and from 3 on the host is suspect. Work that ran on one host alone tells
-- nothing about it, so that no host is blamed for what one user broke.
-- least (count): how many tasks must have failed on a host before it is suspect
-- same (work|name|user|project): what is compared: a user's work, or tasks of one name, user, project
-- chart: bar:host,z
WITH tries AS (
    SELECT coalesce(u.host, g.host, u.agent) AS host, u.task,
        CASE $same WHEN 'user' THEN u."user" WHEN 'project' THEN u.project
            WHEN 'name' THEN u."user" || '/' || u.project || '/' || u.name
            ELSE u."user" || '/' || u.project || '/' || _work(u.name) END AS work,
        bool_or(_failed(u.outcome, u.cause)) AND NOT bool_or(u.outcome = 'completed') AS failed,
        max(u.cause) FILTER (_failed(u.outcome, u.cause)) AS cause
    FROM usage u LEFT JOIN (SELECT agent, host FROM agents) g USING (agent)
    WHERE u.ended >= _ago($days) AND (u.outcome = 'completed' OR _failed(u.outcome, u.cause))
    GROUP BY ALL),
cells AS (
    SELECT host, work, count(*) AS n, count(*) FILTER (failed) AS f FROM tries GROUP BY ALL),
strata AS (
    SELECT host, n, f, sum(n) OVER everywhere AS all_n, sum(f) OVER everywhere AS all_f
    FROM cells WINDOW everywhere AS (PARTITION BY work)),
tested AS (
    SELECT host, sum(n)::BIGINT AS tasks, sum(f)::BIGINT AS failed,
        sum(n * all_f / all_n) AS expected,
        coalesce(sum(n * (all_n - n) * all_f * (all_n - all_f)
            / (all_n * all_n * (all_n - 1.0))) FILTER (all_n > 1), 0) AS variance
    FROM strata GROUP BY host),
causes AS (SELECT host, mode(cause) AS main_cause FROM tries WHERE failed GROUP BY host)
SELECT host, tasks, failed, _share(failed, tasks) AS rate, round(expected, 2) AS expected,
    round(failed - expected, 2) AS excess,
    CASE WHEN variance > 1e-9 THEN round((failed - expected) / sqrt(variance), 2) ELSE 0 END AS z,
    z >= 3 AND failed >= $least::BIGINT AS suspect, main_cause
FROM tested LEFT JOIN causes USING (host) ORDER BY z DESC, excess DESC, host;

-- name: retries(by="queue", days=7, queue=null, user=null, project=null)
-- Tasks that needed more than one attempt: how many completed after all, how many did not, and the
-- hours that went into attempts before the last.
-- by (queue|user|project|name): what a row stands for
-- chart: bar:name,completed_after,failed_after
WITH tries AS (
    SELECT task, any_value(queue) AS queue, any_value("user") AS "user",
        any_value(project) AS project, any_value(name) AS name, count(*) AS attempts,
        count(*) FILTER (outcome = 'lost') AS losses, arg_max_null(outcome, attempt) AS last,
        sum(slot_hours) - arg_max(slot_hours, attempt) AS slot_hours,
        sum(gpu_hours) - arg_max(gpu_hours, attempt) AS gpu_hours
    FROM usage
    WHERE _is($queue, queue) AND _is($user, "user") AND _is($project, project)
    GROUP BY task HAVING max(coalesce(ended, _now())) >= _ago($days))
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project WHEN 'name' THEN name
        ELSE queue END AS name,
    count(*) AS tasks, sum(attempts)::BIGINT AS attempts,
    count(*) FILTER (attempts > 1) AS retried,
    count(*) FILTER (attempts > 1 AND last = 'completed') AS completed_after,
    count(*) FILTER (attempts > 1 AND last IS NOT NULL AND last <> 'completed') AS failed_after,
    sum(losses)::BIGINT AS losses, round(sum(slot_hours), 3) AS extra_slot_hours,
    round(sum(gpu_hours), 3) AS extra_gpu_hours
FROM tries GROUP BY ALL ORDER BY retried DESC, name;

-- name: losses(days=30, queue=null)
-- Attempts that were lost with their agent, by agent and cause, and the work that went with them.
-- chart: bar:agent,attempts
SELECT agent, any_value(host) AS host, coalesce(cause, '') AS cause, count(*) AS attempts,
    count(DISTINCT task) AS tasks, round(sum(slot_hours), 3) AS slot_hours,
    round(sum(gpu_hours), 3) AS gpu_hours, max(ended) AS last
FROM usage WHERE outcome = 'lost' AND ended >= _ago($days) AND _is($queue, queue)
GROUP BY agent, cause ORDER BY attempts DESC, agent, cause;

-- name: failing_streaks(days=30, limit=20, same="work", user=null, project=null)
-- Work of one project whose last runs all failed: how many, since when, and when it last completed.
-- `@what-changed` compares the two runs between which it broke.
-- same (work|name): what is the same: the first word of the name, or the whole of it
-- chart: bar:name,failed
WITH runs AS (
    SELECT CASE $same WHEN 'name' THEN name ELSE _work(name) END AS name, project, "user", task,
        cause, ended, origin,
        coalesce(max(origin) FILTER (outcome = 'completed') OVER alike, 0) AS good,
        arg_max(ended, origin) FILTER (outcome = 'completed') OVER alike AS completed
    FROM tasks
    WHERE ended >= _ago($days) AND outcome IN ('completed', 'failed', 'timed_out')
        AND coalesce(gang_rank, 0) = 0 AND _is($user, "user") AND _is($project, project)
    WINDOW alike AS (
        PARTITION BY CASE $same WHEN 'name' THEN tasks.name ELSE _work(tasks.name) END, project))
SELECT name, project, count(*) AS failed, min(ended) AS since, any_value(completed) AS last_completed,
    mode(cause) AS main_cause, string_agg(DISTINCT "user", ', ' ORDER BY "user") AS users,
    arg_max(task, origin) AS last_task
FROM runs WHERE origin > good
GROUP BY name, project ORDER BY failed DESC, name, project LIMIT $limit::BIGINT;

-- name: what_changed(name, project=null, entry=null, user=null)
-- What differs between the last run that completed and the first that failed after it, in the order
-- in which they were enqueued: one row for each difference.
-- name (text): the tasks' name, or the first word of it
-- entry (text): only tasks that run exactly this, as the view `tasks` has it
WITH runs AS (
    SELECT task, outcome, lag(outcome) OVER (ORDER BY origin) AS before,
        lag(task) OVER (ORDER BY origin) AS good, origin
    FROM tasks
    WHERE ($name = name OR $name = _work(name)) AND outcome IN ('completed', 'failed', 'timed_out')
        AND coalesce(gang_rank, 0) = 0 AND _is($project, project) AND _is($entry, entry)
        AND _is($user, "user")),
pair AS (
    SELECT good, task AS bad FROM runs WHERE outcome <> 'completed' AND before = 'completed'
    ORDER BY origin DESC LIMIT 1),
sides AS (SELECT 'good' AS side, good AS task FROM pair UNION ALL SELECT 'bad', bad FROM pair),
told AS (SELECT s.side, t.* FROM sides s JOIN tasks t USING (task)),
tried AS (
    SELECT s.side, a.* FROM sides s JOIN attempts a USING (task)
    QUALIFY row_number() OVER (PARTITION BY s.side ORDER BY a.attempt DESC) = 1),
specs AS (
    SELECT s.side, unnest(map_entries((e.data->'spec')::MAP(VARCHAR, JSON))) AS one
    FROM sides s JOIN events e ON e.task = s.task AND e.kind = 'enqueued'),
facts AS (
    SELECT side, unnest([
        {'place': 0, 'what': 'task', 'item': '', 'value': task},
        {'place': 1, 'what': 'ended', 'item': '', 'value': date_trunc('second', ended)::VARCHAR},
        {'place': 2, 'what': 'outcome', 'item': '', 'value': concat_ws(': ', outcome, cause)},
        {'place': 3, 'what': 'commit', 'item': '', 'value': "commit"},
        {'place': 4, 'what': 'branch', 'item': '', 'value': branch},
        {'place': 5, 'what': 'snapshot', 'item': '', 'value': snapshot},
        {'place': 6, 'what': 'entry', 'item': '', 'value': entry},
        {'place': 17, 'what': 'user', 'item': '', 'value': "user"},
        {'place': 18, 'what': 'queue', 'item': '', 'value': queue}], recursive := true)
    FROM told
    UNION ALL
    SELECT side, 7, 'param', one.key, one.value->>'$'
    FROM (SELECT side, unnest(map_entries(params::MAP(VARCHAR, JSON))) AS one FROM told)
    UNION ALL
    SELECT side, 8, 'package', p.name, string_agg(p.version, ', ' ORDER BY p.version)
    FROM tried a JOIN packages p USING (task, attempt) GROUP BY ALL
    UNION ALL
    SELECT side, unnest([
        {'place': 9, 'what': 'environment', 'item': '', 'value': environment},
        {'place': 10, 'what': 'manager', 'item': '', 'value': manager},
        {'place': 11, 'what': 'python', 'item': '', 'value': python},
        {'place': 13, 'what': 'agent', 'item': '', 'value': agent},
        {'place': 14, 'what': 'host', 'item': '', 'value': host}], recursive := true)
    FROM tried
    UNION ALL
    SELECT side, 12, 'image', '', e.data->>'image'
    FROM tried a JOIN events e ON e.task = a.task AND e.attempt = a.attempt
    WHERE e.kind = 'environment'
    UNION ALL
    SELECT side, 15, 'gpu', '', string_agg(DISTINCT coalesce(g.name, a.gpu), ', ')
    FROM (SELECT side, unnest(gpus) AS gpu FROM tried) a LEFT JOIN gpu_latest g USING (gpu)
    GROUP BY side
    UNION ALL
    SELECT side, 16, 'variable', v.key, v.value
    FROM (SELECT side, unnest(map_entries(one.value::MAP(VARCHAR, VARCHAR))) AS v FROM specs
        WHERE one.key = 'variables')
    UNION ALL
    SELECT side, 19, 'spec', one.key, one.value->>'$' FROM specs
    WHERE one.key NOT IN ('code', 'params', 'entry', 'name', 'queue', 'user', 'variables', 'key'))
SELECT what, item, any_value(value) FILTER (side = 'good') AS good,
    any_value(value) FILTER (side = 'bad') AS bad
FROM facts GROUP BY place, what, item
HAVING good IS DISTINCT FROM bad ORDER BY place, what, item;
