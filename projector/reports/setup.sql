-- Reports on set-up: what happens between a claim and the start of the command.

-- name: setup_percentiles(by="queue", days=7, queue=null, user=null, project=null)
-- Seconds of set-up of the attempts whose command was started.
-- by (queue|user|project|agent): what a row stands for
-- chart: bar:name,p50,p95
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project WHEN 'agent' THEN agent
        ELSE queue END AS name,
    count(*) AS attempts, _quantile(setup_seconds, 0.5) AS p50,
    _quantile(setup_seconds, 0.9) AS p90, _quantile(setup_seconds, 0.95) AS p95,
    _quantile(setup_seconds, 0.99) AS p99, round(max(setup_seconds), 3) AS longest
FROM usage
WHERE started >= _ago($days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY name;

-- name: setup_share(by="queue", days=7, queue=null, user=null, project=null)
-- How much of the time that attempts held a slot was set-up, and how many got no further.
-- by (queue|user|project|agent): what a row stands for
-- chart: bar:name,share
SELECT CASE $by WHEN 'user' THEN "user" WHEN 'project' THEN project WHEN 'agent' THEN agent
        ELSE queue END AS name,
    count(*) AS attempts, round(sum(setup_seconds) / 3600, 3) AS setup_hours,
    round(sum(held_seconds) / 3600, 3) AS held_hours,
    _share(sum(setup_seconds), sum(held_seconds)) AS share,
    count(*) FILTER (wasted AND started IS NULL) AS failed_in_setup
FROM usage
WHERE coalesce(ended, _now()) >= _ago($days)
    AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
GROUP BY ALL ORDER BY name;

-- name: setup_phases(days=7, queue=null, user=null, project=null)
-- Each step of set-up: how often, how many seconds, its share of all set-up time, and how often a
-- cache spared the work.
-- chart: bar:phase,hours
SELECT p.name AS phase, count(*) AS times, _quantile(p.seconds, 0.5) AS p50,
    _quantile(p.seconds, 0.95) AS p95, round(max(p.seconds), 3) AS longest,
    round(sum(p.seconds) / 3600, 3) AS hours,
    _share(sum(p.seconds), sum(sum(p.seconds)) OVER ()) AS share,
    count(p.cached) AS lookups, count(*) FILTER (p.cached) AS hits,
    _share(count(*) FILTER (p.cached), count(p.cached)) AS hit_rate
FROM phases p JOIN usage u USING (task, attempt)
WHERE p.began >= _ago($days)
    AND _is($queue, u.queue) AND _is($user, u."user") AND _is($project, u.project)
GROUP BY ALL ORDER BY hours DESC, phase;

-- name: cache_hits(by="phase", days=7, queue=null, user=null, project=null)
-- How often caches spared the work of a step, and about how many hours that saved: what the others
-- needed in the mean, less what these did.
-- by (phase|queue|user|project|agent): what a row stands for
-- chart: bar:name,hit_rate
WITH looked AS (
    SELECT p.name AS phase, p.cached, p.seconds, u.queue, u."user", u.project, u.agent,
        avg(p.seconds) FILTER (NOT p.cached) OVER (PARTITION BY p.name) AS without
    FROM phases p JOIN usage u USING (task, attempt)
    WHERE p.cached IS NOT NULL AND p.seconds IS NOT NULL AND p.began >= _ago($days)
        AND _is($queue, u.queue) AND _is($user, u."user") AND _is($project, u.project))
SELECT CASE $by WHEN 'queue' THEN queue WHEN 'user' THEN "user" WHEN 'project' THEN project
        WHEN 'agent' THEN agent ELSE phase END AS name,
    count(*) AS lookups, count(*) FILTER (cached) AS hits,
    _share(count(*) FILTER (cached), count(*)) AS hit_rate,
    _quantile(CASE WHEN cached THEN seconds END, 0.5) AS hit_p50,
    _quantile(CASE WHEN NOT cached THEN seconds END, 0.5) AS miss_p50,
    round(sum(greatest(0, without - seconds)) FILTER (cached) / 3600, 3) AS saved_hours
FROM looked GROUP BY ALL ORDER BY name;

-- name: slowest_setups(days=7, limit=20, queue=null, user=null, project=null)
-- The attempts whose set-up took longest, and the step of it that did.
-- chart: bar:task,seconds
WITH slow AS (
    SELECT task, attempt, name, "user", queue, agent, claimed, setup_seconds FROM usage
    WHERE coalesce(ended, _now()) >= _ago($days)
        AND _is($queue, queue) AND _is($user, "user") AND _is($project, project)
    ORDER BY setup_seconds DESC, task, attempt LIMIT $limit::BIGINT)
SELECT s.task, s.attempt, s.name, s."user", s.queue, s.agent, s.claimed,
    round(s.setup_seconds, 3) AS seconds,
    arg_max(p.name, p.seconds) AS slowest_phase, round(max(p.seconds), 3) AS phase_seconds,
    arg_max_null(p.cached, p.seconds) AS cached, arg_max_null(p.detail, p.seconds) AS detail
FROM slow s LEFT JOIN phases p USING (task, attempt)
GROUP BY ALL ORDER BY seconds DESC, s.task, s.attempt;

-- name: environments(days=30, limit=20, user=null, project=null)
-- The environments that attempts ran in: how often each was used and built, and what building took.
-- chart: bar:environment,attempts
WITH ran AS (
    SELECT a.environment, a.manager, a.python, a.task, a.attempt, a.agent, a.claimed, u."user"
    FROM attempts a JOIN usage u USING (task, attempt)
    WHERE a.environment IS NOT NULL AND a.claimed >= _ago($days)
        AND _is($user, u."user") AND _is($project, u.project))
SELECT environment[:12] AS environment, any_value(manager) AS manager,
    any_value(python) AS python, count(*) AS attempts, count(DISTINCT ran.task) AS tasks,
    count(DISTINCT "user") AS users, count(DISTINCT agent) AS agents,
    count(*) FILTER (NOT p.cached) AS built,
    _quantile(CASE WHEN NOT p.cached THEN p.seconds END, 0.5) AS build_p50, max(claimed) AS last_used
FROM ran LEFT JOIN phases p
    ON p.task = ran.task AND p.attempt = ran.attempt AND p.name = 'environment'
GROUP BY ran.environment ORDER BY attempts DESC, environment LIMIT $limit::BIGINT;
