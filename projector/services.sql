-- What pages ask of services by name, from what stands in their journals; see queries.sql.

-- name: sweeps(limit=100)
WITH facts AS (
    SELECT seq, ts, name, words, fact, fact ->> '$.kind' AS kind, fact ->> '$.state' AS state
    FROM decisions WHERE service = 'sweep' AND fact IS NOT NULL)
SELECT name, min(ts) AS began, max(ts) AS latest, arg_max(words, seq) AS words,
    CASE arg_max(kind, seq) FILTER (kind IN ('created', 'extended', 'resumed', 'stopped', 'finished'))
        WHEN 'finished' THEN 'finished' WHEN 'stopped' THEN 'stopped' ELSE 'runs' END AS state,
    count(*) FILTER (kind = 'proposed') AS trials,
    count(*) FILTER (kind = 'ended' AND state = 'complete') AS complete,
    count(*) FILTER (kind = 'ended' AND state = 'pruned') AS pruned,
    count(*) FILTER (kind = 'ended' AND state = 'failed') AS failed
FROM facts GROUP BY name ORDER BY latest DESC LIMIT $limit::BIGINT;

-- The definition, and what matters as it was weighed last.
-- name: sweep_facts(sweep)
SELECT arg_max(fact -> '$.definition', seq) FILTER (fact ->> '$.kind' = 'created') AS definition,
    arg_max(fact -> '$.importances', seq) FILTER (fact ->> '$.kind' = 'weighed') AS importances
FROM decisions WHERE service = 'sweep' AND name = $sweep;

-- name: sweep_trials(sweep, limit=2000)
WITH facts AS (
    SELECT seq, ts, words, fact, fact ->> '$.kind' AS kind, (fact ->> '$.number')::BIGINT AS number
    FROM decisions WHERE service = 'sweep' AND name = $sweep),
ends AS (SELECT * FROM facts WHERE kind = 'ended'),
hopeless AS (
    SELECT DISTINCT number FROM facts WHERE kind = 'judged' AND (fact ->> '$.hopeless')::BOOLEAN)
SELECT p.number, p.fact ->> '$.task' AS task, p.fact -> '$.params' AS params,
    coalesce(e.fact ->> '$.state', CASE WHEN h.number IS NULL THEN 'running' ELSE 'hopeless' END)
        AS state,
    coalesce((e.fact -> '$.values')::DOUBLE[], []) AS "values", p.ts AS began, e.ts AS ended,
    coalesce(e.words, p.words) AS words
FROM facts p LEFT JOIN ends e USING (number) LEFT JOIN hopeless h USING (number)
WHERE p.kind = 'proposed' ORDER BY p.number LIMIT $limit::BIGINT;
