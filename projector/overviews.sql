-- Overviews of what the hardware did and what people waited for. They follow from the events and
-- the attempts alone, so that they hold for the whole history; docs/views.md describes them.

-- Each stretch that a task waited: from the event that put it into its queue to the next one.
-- One that awaits others stands there from the last of `dependencies_ended` on. Of a gang that is
-- disbanded, those who wait or have ended wait again if it is said so, those who run go on for now.
-- Most tasks wait once, from `enqueued` on, which their own row tells; only the events of the others
-- are put in order. Of a task that had ended before `earliest` nothing is told.
CREATE OR REPLACE MACRO _waits(earliest) AS TABLE
WITH there AS (FROM _tasks WHERE ended IS NULL OR ended >= earliest::TIMESTAMP),
lately AS NOT MATERIALIZED (FROM _events WHERE seq >= (SELECT min(origin) FROM there)),
restless AS (
    SELECT DISTINCT task FROM lately SEMI JOIN there USING (task)
    WHERE kind IN ('requeued', 'retry', 'lost', 'dequeued', 'dependencies_ended', 'disbanded')),
marks AS (
    SELECT task, kind, attempt, seq, ts,
        CASE WHEN kind IN ('retry', 'lost', 'disbanded') THEN ts
            + to_microseconds((1e6 * coalesce((data->>'delay')::DOUBLE, 0))::BIGINT)
            ELSE ts END AS since,
        kind = 'disbanded' AND coalesce((data->>'again')::BOOLEAN, false) AS again
    FROM lately SEMI JOIN restless USING (task)
    WHERE kind IN ('enqueued', 'requeued', 'retry', 'lost', 'claimed', 'finished', 'aborted',
        'dequeued', 'dependencies_ended', 'disbanded')),
steps AS (
    SELECT task, kind, since,
        again AND lag(nullif(kind, 'disbanded') IGNORE NULLS) OVER later <> 'claimed' AS again,
        lead(kind) OVER later AS next_kind,
        lead(attempt) OVER later AS next_attempt, lead(ts) OVER later AS next_ts
    FROM marks WINDOW later AS (PARTITION BY task ORDER BY seq)),
stretches AS (
    SELECT task, kind, s.since, next_kind, next_attempt, next_ts
    FROM steps s JOIN there t USING (task)
    WHERE kind IN ('requeued', 'retry', 'lost') OR s.again
        OR kind = 'enqueued' AND t.dependencies IS NULL
        OR kind = 'dependencies_ended' AND CASE WHEN next_kind IS NULL THEN t.state = 'queued'
            ELSE next_kind NOT IN ('dependencies_ended', 'requeued') END
    UNION ALL
    SELECT task, 'enqueued', enqueued, CASE WHEN first_claimed IS NOT NULL THEN 'claimed'
            WHEN ended IS NOT NULL THEN 'aborted' END,
        CASE WHEN first_claimed IS NOT NULL THEN 1 END, coalesce(first_claimed, ended)
    FROM there ANTI JOIN restless USING (task) WHERE dependencies IS NULL)
SELECT s.task, CASE WHEN next_kind = 'claimed' THEN next_attempt END AS attempt, t.queue,
    t."user", t.project, t.gpus, s.kind AS after, s.since, s.next_ts AS until,
    coalesce(next_kind, '') AS ended_by,
    greatest(0.0, _seconds(s.since, coalesce(s.next_ts, _now()))) AS seconds
FROM stretches s JOIN there t USING (task);

CREATE OR REPLACE VIEW waits AS FROM _waits('-infinity');

-- How large each GPU's memory is, as the agents said that offer it.
CREATE OR REPLACE VIEW _gpu_sizes AS
SELECT gpu, arg_max(memory, seq) AS memory
FROM (SELECT seq, unnest((data->'gpus')::VARCHAR[]) AS gpu,
        unnest((data->'gpu_memory')::BIGINT[]) AS memory
    FROM _events WHERE kind = 'agent_up')
WHERE memory > 0 GROUP BY gpu;

-- Each attempt as what it cost, whether it came to anything or not.
CREATE OR REPLACE VIEW usage AS
WITH held AS (
    SELECT *, greatest(0.0, _seconds(claimed, coalesce(ended, _now()))) AS held,
        least(held, greatest(0.0, _seconds(claimed, coalesce(started, ended, _now())))) AS set_up
    FROM _attempts),
parts AS (
    SELECT claim, sum(_part(a.gpu_memory, s.memory)) AS gpu_share
    FROM (SELECT claim, gpu_memory, unnest(gpus) AS gpu FROM _attempts
        WHERE gpu_memory IS NOT NULL) a LEFT JOIN _gpu_sizes s USING (gpu)
    GROUP BY claim)
SELECT a.task, a.attempt, t.queue, t."user", t.project, t.name, a.agent, a.host, a.claimed,
    a.started, a.ended, a.outcome, a.cause, len(a.gpus) AS gpus,
    coalesce(p.gpu_share, len(a.gpus)) AS gpu_share, a.held AS held_seconds,
    a.set_up AS setup_seconds, a.held - a.set_up AS run_seconds,
    a.held / 3600 AS slot_hours, coalesce(p.gpu_share, len(a.gpus)) * a.held / 3600 AS gpu_hours,
    coalesce(a.cpu_seconds, 0) / 3600 AS cpu_hours,
    a.ended IS NOT NULL AND a.outcome <> 'completed' AS wasted
FROM held a JOIN _tasks t USING (task) LEFT JOIN parts p ON p.claim = a.claim;

-- Each GPU of each attempt, from the event that gave it to the one that took it back. By these
-- sequences, not by clocks, two attempts do or do not have a GPU at once.
CREATE OR REPLACE VIEW gpu_claims AS
WITH ends AS (
    SELECT task, attempt, min(seq) AS seq FROM _events
    WHERE kind IN ('finished', 'retry', 'lost') GROUP BY ALL),
given AS (SELECT *, unnest(gpus) AS gpu FROM _attempts)
SELECT gpu, a.agent, a.instance, a.task, a.attempt, a.gpu_memory,
    _part(a.gpu_memory, s.memory) AS share, a.claim AS given, e.seq AS taken_back, a.claimed,
    a.ended, _seconds(a.claimed, coalesce(a.ended, _now())) AS seconds
FROM given a LEFT JOIN ends e USING (task, attempt) LEFT JOIN _gpu_sizes s USING (gpu);

-- Each task of an agent for services as what it is there: a sub-agent.
CREATE OR REPLACE VIEW services AS
SELECT a.agent || '/' || t.name AS sub_agent, a.agent, a.task, a.attempt, t.name, t.queue,
    t."user", coalesce(a.outcome, CASE WHEN a.started IS NULL THEN 'preparing' ELSE 'running' END)
    AS state, a.claimed AS since, a.ended, a.host, a.pid, a.cpu_seconds, a.max_rss_bytes
FROM _attempts a JOIN _tasks t USING (task)
WHERE a.agent IN (SELECT agent FROM _agents WHERE services);

-- Each stretch of an agent's life in one state: the true history of the machines. What somebody
-- wants of single GPUs of it changes nothing here.
CREATE OR REPLACE VIEW agent_history AS
WITH said AS (
    SELECT data->>'agent' AS agent, data->>'instance' AS instance, kind, seq, ts,
        data->>'reason' AS reason, (data->>'slots')::INTEGER AS slots, data->>'host' AS host,
        json_array_length(data->'gpus')::INTEGER AS gpus
    FROM _events
    WHERE task IS NULL AND (starts_with(kind, 'agent_')
        OR kind IN ('drain_requested', 'resume_requested')
            AND coalesce(json_array_length(data->'gpus'), 0) = 0)),
known AS (
    SELECT agent, kind, ts, reason, seq, last_value(instance IGNORE NULLS) OVER before AS instance,
        last_value(slots IGNORE NULLS) OVER before AS slots,
        last_value(host IGNORE NULLS) OVER before AS host,
        last_value(gpus IGNORE NULLS) OVER before AS gpus,
        last_value(CASE kind WHEN 'agent_up' THEN 'up' WHEN 'agent_resumed' THEN 'up'
            WHEN 'drain_requested' THEN NULL WHEN 'resume_requested' THEN NULL
            ELSE substr(kind, 7) END IGNORE NULLS) OVER before AS own,
        last_value(CASE kind WHEN 'drain_requested' THEN true WHEN 'resume_requested' THEN false
            END IGNORE NULLS) OVER before AS drained
    FROM said WINDOW before AS (PARTITION BY agent ORDER BY seq)),
states AS (
    SELECT *, CASE WHEN drained AND own IN ('up', 'paused') THEN 'drained' ELSE own END AS state
    FROM known WHERE own IS NOT NULL
    QUALIFY starts_with(kind, 'agent_')
        OR state IS DISTINCT FROM lag(state) OVER (PARTITION BY agent ORDER BY seq))
SELECT agent, instance, host, state, reason, slots, coalesce(gpus, 0) AS gpus, ts AS since,
    lead(ts) OVER (PARTITION BY agent ORDER BY seq) AS until,
    greatest(0.0, _seconds(ts, coalesce(until, _now()))) AS seconds
FROM states;
