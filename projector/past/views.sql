-- What the tables held at a moment, in front of the tables themselves: `present` is where these
-- are. The variables `moment_seq` and `moment_at` say which moment.

CREATE TEMP MACRO _now() AS make_timestamp(getvariable('moment_at'));
CREATE TEMP MACRO _seq() AS getvariable('moment_seq')::BIGINT;

-- What was otherwise then than it is now, folded again from the events.
CREATE TEMP TABLE _then_tasks AS FROM present._tasks LIMIT 0;
CREATE TEMP TABLE _then_attempts AS FROM present._attempts LIMIT 0;
CREATE TEMP TABLE _then_phases AS FROM present._phases LIMIT 0;
CREATE TEMP TABLE _then_packages AS FROM present._packages LIMIT 0;

-- Agents, queues and saved queries are few: all of them are folded again.
CREATE TEMP TABLE _agents AS FROM present._agents LIMIT 0;
CREATE TEMP TABLE _queues AS FROM present._queues LIMIT 0;
CREATE TEMP TABLE _permits AS FROM present._permits LIMIT 0;
CREATE TEMP TABLE _saved_queries AS FROM present._saved_queries LIMIT 0;

CREATE TEMP VIEW _tasks AS
FROM present._tasks WHERE origin <= _seq() AND seq <= _seq()
UNION ALL FROM _then_tasks;

CREATE TEMP VIEW _attempts AS
FROM present._attempts WHERE claim <= _seq() AND task NOT IN (SELECT task FROM _then_tasks)
UNION ALL FROM _then_attempts;

CREATE TEMP VIEW _phases AS
FROM present._phases WHERE claim <= _seq() AND task NOT IN (SELECT task FROM _then_tasks)
UNION ALL FROM _then_phases;

-- A set of packages that an attempt had for a moment only may stand nowhere else.
CREATE TEMP VIEW _packages AS
FROM present._packages
UNION ALL FROM _then_packages WHERE packages NOT IN (SELECT packages FROM present._packages);

CREATE TEMP VIEW _events AS FROM present._events WHERE seq <= _seq();

CREATE TEMP VIEW _dead_letters AS
FROM present._dead_letters WHERE CASE stream WHEN 'EVQ' THEN seq <= _seq() ELSE seen <= _now() END;

-- Telemetry and samples have no place in the log: here the clocks of those who wrote them count.

CREATE TEMP VIEW _metrics AS FROM present._metrics WHERE claim <= _seq() AND ts <= _now();

CREATE TEMP VIEW _metric_latest AS
FROM present._metric_latest WHERE claim <= _seq() AND ts <= _now()
UNION ALL
SELECT claim, any_value(task), name, max(place), arg_max(ts, place), arg_max_null(step, place),
    arg_max(value, place), arg_min(value, place), min(value) FILTER (isfinite(value)),
    max(value) FILTER (isfinite(value)), count(*), min(place), arg_min_null(step, place),
    arg_min(ts, place)
FROM _metrics
WHERE (claim, name) IN (
    SELECT (claim, name) FROM present._metric_latest WHERE claim <= _seq() AND ts > _now())
GROUP BY claim, name;

CREATE TEMP VIEW _metric_pieces AS
FROM present._metric_pieces WHERE claim <= _seq() AND ts <= _now();

CREATE TEMP VIEW _remarks AS FROM present._remarks WHERE claim <= _seq() AND ts <= _now();

CREATE TEMP VIEW _logs AS FROM present._logs WHERE claim <= _seq() AND ts <= _now();

-- Only the last word of each attempt is kept.
CREATE TEMP VIEW _progress AS FROM present._progress WHERE claim <= _seq() AND ts <= _now();

CREATE TEMP VIEW _machine_samples AS FROM present._machine_samples WHERE ts <= _now();
CREATE TEMP VIEW _gpu_samples AS FROM present._gpu_samples WHERE ts <= _now();
CREATE TEMP VIEW _task_samples AS FROM present._task_samples WHERE ts <= _now();

CREATE TEMP VIEW _machine_minutes AS
FROM present._machine_minutes WHERE ts <= _now() - INTERVAL 1 MINUTE;
CREATE TEMP VIEW _gpu_minutes AS
FROM present._gpu_minutes WHERE ts <= _now() - INTERVAL 1 MINUTE;
CREATE TEMP VIEW _task_minutes AS
FROM present._task_minutes WHERE ts <= _now() - INTERVAL 1 MINUTE;

CREATE TEMP VIEW _machine_hours AS
FROM present._machine_hours WHERE ts <= _now() - INTERVAL 1 HOUR;
CREATE TEMP VIEW _gpu_hours AS FROM present._gpu_hours WHERE ts <= _now() - INTERVAL 1 HOUR;
CREATE TEMP VIEW _task_hours AS FROM present._task_hours WHERE ts <= _now() - INTERVAL 1 HOUR;

-- The last samples of an agent that is not lost are young. After a while only minutes are kept.

CREATE TEMP VIEW machine_latest AS
SELECT m.* REPLACE (coalesce(m.instance, a.instance) AS instance)
FROM (FROM machine_samples WHERE ts > _now() - INTERVAL 5 MINUTE
    UNION ALL BY NAME FROM machine_minutes WHERE ts > _now() - INTERVAL 5 MINUTE) m
LEFT JOIN _agents a USING (agent)
QUALIFY row_number() OVER (PARTITION BY m.agent ORDER BY m.ts DESC) = 1;

CREATE TEMP VIEW gpu_latest AS
FROM (FROM gpu_samples WHERE ts > _now() - INTERVAL 5 MINUTE
    UNION ALL BY NAME FROM gpu_minutes WHERE ts > _now() - INTERVAL 5 MINUTE)
QUALIFY row_number() OVER (PARTITION BY agent, gpu ORDER BY ts DESC) = 1;

CREATE TEMP VIEW task_latest AS
FROM (FROM task_samples WHERE ts > _now() - INTERVAL 5 MINUTE
    UNION ALL BY NAME FROM task_minutes WHERE ts > _now() - INTERVAL 5 MINUTE)
WHERE claim IN (SELECT claim FROM _attempts WHERE ended IS NULL)
QUALIFY row_number() OVER (PARTITION BY claim ORDER BY ts DESC) = 1;

-- Which processes used a GPU is told, but not kept.
CREATE TEMP VIEW gpu_processes AS FROM present.gpu_processes LIMIT 0;
