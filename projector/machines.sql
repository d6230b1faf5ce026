-- What one may ask by name of machines; see queries.sql.

-- name: machine(agent=null)
SELECT * FROM machine_latest WHERE $agent::VARCHAR IS NULL OR agent = $agent ORDER BY agent;

-- name: machine_gpus(agent=null)
SELECT * FROM gpu_latest WHERE $agent::VARCHAR IS NULL OR agent = $agent ORDER BY agent, "index";

-- name: machine_tasks(agent=null)
SELECT * FROM task_latest WHERE $agent::VARCHAR IS NULL OR agent = $agent ORDER BY agent, claim;

-- name: machine_processes(agent=null)
SELECT * FROM gpu_processes WHERE $agent::VARCHAR IS NULL OR agent = $agent
ORDER BY agent, gpu, pid;

-- name: machine_curve(agent, hours=24)
FROM (
    SELECT * FROM machine_minutes
    WHERE $hours::DOUBLE <= 72 AND agent = $agent AND ts >= _ago($hours / 24)
    UNION ALL
    SELECT * FROM machine_hours
    WHERE $hours::DOUBLE > 72 AND agent = $agent AND ts >= _ago($hours / 24))
ORDER BY ts;

-- name: gpu_curve(gpu, hours=24)
FROM (
    SELECT * FROM gpu_minutes
    WHERE $hours::DOUBLE <= 72 AND gpu = $gpu AND ts >= _ago($hours / 24)
    UNION ALL
    SELECT * FROM gpu_hours
    WHERE $hours::DOUBLE > 72 AND gpu = $gpu AND ts >= _ago($hours / 24))
ORDER BY ts;

-- name: task_curve(task, attempt=null)
SELECT * FROM task_minutes
WHERE task = $task AND attempt = coalesce($attempt::INTEGER,
    (SELECT max(attempt) FROM _attempts WHERE task = $task))
ORDER BY ts;
