-- What pages ask of pipelines, from what stands in the journals of their runs; see queries.sql.

-- name: pipelines(limit=100)
WITH facts AS (
    SELECT seq, ts, name, "by", words, fact, fact ->> '$.kind' AS kind
    FROM decisions WHERE service = 'pipeline' AND fact IS NOT NULL)
SELECT name, min(ts) AS began, max(ts) AS latest, arg_max(words, seq) AS words,
    arg_min("by", seq) AS "by",
    coalesce(arg_max(CASE kind WHEN 'ended' THEN fact ->> '$.outcome' WHEN 'stop_wished' THEN 'stopping'
        ELSE 'running' END, seq) FILTER (kind IN ('created', 'stop_wished', 'resumed', 'ended')), 'running')
        AS state
FROM facts GROUP BY name ORDER BY latest DESC LIMIT $limit::BIGINT;

-- The facts of a run in their order. What the page has no need of is left out: a step's outputs.
-- name: pipeline_facts(run)
SELECT seq, ts, fact ->> '$.kind' AS kind, fact -> '$.edges' AS edges, fact -> '$.plans' AS plans,
    list_transform((fact -> '$.results')::JSON[], lambda one: json_object(
        'part', one ->> '$.part', 'outcome', one ->> '$.outcome', 'task', one ->> '$.task',
        'reused', coalesce((one ->> '$.reused')::BOOLEAN, false),
        'evidence', one ->> '$.evidence')) AS results,
    fact -> '$.parts' AS parts
FROM decisions WHERE service = 'pipeline' AND name = $run AND fact IS NOT NULL ORDER BY seq;
