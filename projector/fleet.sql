-- Who is there, and what they have, as the log tells; the form is that of queries.sql. Asked for a
-- moment that is past, when nobody is there any more who could tell.

-- name: recorded_agents()
WITH told AS (
    SELECT data->>'agent' AS agent, data->>'instance' AS instance,
        unnest((data->'gpus')::VARCHAR[]) AS gpu,
        generate_subscripts((data->'gpus')::VARCHAR[], 1) - 1 AS place
    FROM _events WHERE kind = 'agent_up'),
devices AS (
    SELECT a.agent, list({'id': t.gpu, 'index': coalesce(g."index", t.place),
        'name': coalesce(g.name, ''), 'memory': coalesce(g.memory_total, 0)}
        ORDER BY t.place) AS devices
    FROM told t JOIN _agents a USING (agent, instance) LEFT JOIN gpu_latest g USING (agent, gpu)
    GROUP BY a.agent)
SELECT agent, instance, host, pid, queues, queue_order, slots, state, epoch_us(started) AS since,
    cpus, memory, services, coalesce(reason, 'unknown') AS reason, drains,
    coalesce(devices, []) AS devices
FROM _agents LEFT JOIN devices USING (agent) WHERE started IS NOT NULL ORDER BY agent;

-- name: live_attempts()
SELECT a.agent, a.claim, a.gpu_memory, {'task': a.task, 'attempt': a.attempt, 'name': t.name,
    'user': t."user", 'slot': a.slot, 'since': epoch_us(a.claimed), 'queue': t.queue,
    'size': t.size, 'gpus': a.gpus} AS running
FROM _attempts a JOIN _agents g USING (agent, instance) JOIN _tasks t USING (task)
WHERE a.ended IS NULL ORDER BY a.agent, a.claim;
