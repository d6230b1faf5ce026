-- What a live fleet begins with; core/sdk/live/loading.py asks it once, and then follows the log.
-- Times are microseconds since 1970 here, as in events.

-- name: live_tasks(ended=1000)
WITH chosen AS (
    SELECT * FROM _tasks WHERE outcome IS NULL
    UNION ALL
    (SELECT * FROM _tasks WHERE outcome IS NOT NULL AND archived IS NULL ORDER BY ended DESC, seq DESC
        LIMIT least($ended::BIGINT, 100000)))
SELECT task, origin, seq, name, queue, priority, rank, size, state, "user", host, project, tags,
    gpus, nodes, gang, gang_rank, attempts, failures, losses, agent, epoch_us(since), delay,
    epoch_us(enqueued), epoch_us(claimed), epoch_us(started), epoch_us(ended), exit_code, cause,
    coalesce(evidence[:200], ''), coalesce(abort_reason, '')
FROM chosen ORDER BY outcome IS NOT NULL, ended, seq;

-- name: live_queues()
SELECT queue, count(*) FILTER (state = 'completed') AS completed,
    count(*) FILTER (state = 'failed') AS failed, count(*) FILTER (state = 'aborted') AS aborted,
    count(*) FILTER (state = 'timed_out') AS timed_out,
    coalesce(arg_max(_seconds(enqueued, first_claimed), origin, 100)
        FILTER (first_claimed IS NOT NULL), []) AS waits,
    coalesce(arg_max(_seconds(claimed, ended), origin, 100)
        FILTER (claimed IS NOT NULL AND ended IS NOT NULL), []) AS holds
FROM _tasks GROUP BY queue;

-- name: live_agents()
SELECT agent, instance, host, pid, state, queues, queue_order, slots, version, cpus, memory,
    platform, python, epoch_us(started) AS started, epoch_us(last_event) AS last_event, reason,
    services, drains, epoch_us(drained) AS drained, drained_by, drain_reason, drained_gpus
FROM _agents;

-- name: live_events(limit=500)
SELECT seq, epoch_us(ts) AS at, "by", kind, task, attempt, data FROM _events
ORDER BY seq DESC LIMIT least($limit::BIGINT, 10000);
