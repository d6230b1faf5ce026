-- What must hold of every log. A query returns what offends; an empty answer means that it holds.
-- ev(seq, at, id, by, task, kind, attempt, agent, instance, hint, outcome, cause, origin, retries,
--    losses): one row per message; acked(task, seq): every enqueue that the server acknowledged.
-- Those under "at rest" hold when every task has ended; the others hold at any time.

-- name: log_is_dense
SELECT seq FROM (SELECT seq, lag(seq, 1, 0) OVER (ORDER BY seq) AS before FROM ev)
WHERE seq <> before + 1;

-- name: vocabulary_is_closed
SELECT seq, kind FROM ev WHERE kind IN ('unknown', 'broken');

-- name: ids_are_unique
SELECT id FROM ev GROUP BY id HAVING count(*) > 1;

-- name: enqueued_first_and_once
SELECT task FROM ev WHERE task IS NOT NULL GROUP BY task
HAVING count(*) FILTER (kind = 'enqueued') <> 1 OR arg_min(kind, seq) <> 'enqueued';

-- name: acknowledged_enqueue_is_there
SELECT acked.task FROM acked
LEFT JOIN ev ON ev.seq = acked.seq AND ev.task = acked.task AND ev.kind = 'enqueued'
WHERE ev.seq IS NULL;

-- name: attempts_are_consecutive
SELECT task, seq FROM (
    SELECT task, seq, attempt, row_number() OVER (PARTITION BY task ORDER BY seq) AS n
    FROM ev WHERE kind = 'claimed')
WHERE attempt <> n;

-- name: one_live_attempt
SELECT task, seq FROM (
    SELECT task, seq, kind, lag(kind) OVER (PARTITION BY task ORDER BY seq) AS before
    FROM ev WHERE kind IN ('claimed', 'finished', 'retry', 'lost'))
WHERE kind = 'claimed' AND before = 'claimed';

-- name: attempt_ends_at_most_once
SELECT task, attempt FROM ev WHERE kind IN ('finished', 'retry', 'lost')
GROUP BY task, attempt HAVING count(*) > 1;

-- name: attempt_starts_at_most_once
SELECT task, attempt FROM ev WHERE kind = 'started'
GROUP BY task, attempt HAVING count(*) > 1;

-- name: attempt_speaks_between_claim_and_end
SELECT e.task, e.seq FROM ev e
WHERE e.kind IN ('phase', 'environment', 'started', 'finished', 'retry', 'lost')
AND e.attempt IS DISTINCT FROM (
    SELECT CASE WHEN arg_max(b.kind, b.seq) = 'claimed' THEN arg_max(b.attempt, b.seq) END
    FROM ev b WHERE b.task = e.task AND b.seq < e.seq
    AND b.kind IN ('claimed', 'finished', 'retry', 'lost', 'aborted', 'dequeued'));

-- name: only_the_holder_speaks
SELECT e.task, e.seq FROM ev e
JOIN ev c ON c.task = e.task AND c.kind = 'claimed' AND c.attempt = e.attempt
WHERE e.by <> c.agent AND (
    e.kind IN ('claimed', 'phase', 'environment', 'started', 'retry')
    OR (e.kind = 'lost' AND e.cause <> 'lost_agent')
    OR (e.kind = 'finished' AND e.outcome <> 'aborted' AND e.cause IS DISTINCT FROM 'lost_agent'));

-- name: claims_follow_an_announcement
SELECT c.seq FROM ev c WHERE c.kind = 'claimed' AND NOT EXISTS (
    SELECT 1 FROM ev a
    WHERE a.kind = 'agent_up' AND a.seq < c.seq
    AND a.agent = c.agent AND a.instance = c.instance);

-- name: who_said_goodbye_claims_nothing
SELECT c.seq FROM ev c JOIN ev a ON a.agent = c.agent AND a.instance = c.instance
WHERE c.kind = 'claimed' AND a.kind = 'agent_down' AND a.seq < c.seq;

-- name: claims_come_from_a_hint
SELECT c.task, c.seq FROM ev c WHERE c.kind = 'claimed' AND NOT EXISTS (
    SELECT 1 FROM ev h
    WHERE h.seq = c.hint AND h.seq < c.seq AND h.task = c.task AND h.kind IN ('enqueued', 'again'));

-- name: nothing_after_the_end_but_requeued
SELECT task, seq FROM (
    SELECT task, seq, kind, lag(kind) OVER (PARTITION BY task ORDER BY seq) AS before
    FROM ev WHERE task IS NOT NULL AND kind NOT IN ('again', 'tagged', 'archived', 'unarchived'))
WHERE before IN ('finished', 'aborted', 'dequeued') AND kind <> 'requeued';

-- name: requeued_only_after_the_end
SELECT task, seq FROM (
    SELECT task, seq, kind, lag(kind) OVER (PARTITION BY task ORDER BY seq) AS before
    FROM ev WHERE task IS NOT NULL AND kind NOT IN ('again', 'tagged', 'archived', 'unarchived'))
WHERE kind = 'requeued' AND before NOT IN ('finished', 'aborted', 'dequeued');

-- name: only_what_waits_is_moved_or_dequeued
SELECT task, seq FROM (
    SELECT task, seq, kind, lag(kind) OVER (PARTITION BY task ORDER BY seq) AS before
    FROM ev WHERE task IS NOT NULL AND kind NOT IN ('again', 'tagged', 'archived', 'unarchived'))
WHERE kind IN ('moved', 'dequeued')
AND before NOT IN ('enqueued', 'moved', 'requeued', 'retry', 'lost');

-- name: only_what_has_ended_is_archived
SELECT task, seq FROM (
    SELECT task, seq, kind, lag(kind) OVER (PARTITION BY task ORDER BY seq) AS before
    FROM ev WHERE task IS NOT NULL AND kind NOT IN ('again', 'tagged', 'unarchived'))
WHERE kind = 'archived' AND before NOT IN ('finished', 'aborted', 'dequeued');

-- name: a_new_place_has_a_new_hint
SELECT e.task, e.seq FROM ev e WHERE e.kind IN ('moved', 'requeued') AND NOT EXISTS (
    SELECT 1 FROM ev h WHERE h.seq = e.seq + 1 AND h.task = e.task AND h.kind = 'again');

-- name: claims_follow_from_no_stale_hint
SELECT c.task, c.seq FROM ev c JOIN ev m ON m.task = c.task AND m.seq < c.seq
WHERE c.kind = 'claimed' AND m.kind IN ('moved', 'requeued') AND c.hint < m.seq;

-- name: no_claim_after_an_abort
SELECT c.task, c.seq FROM ev c JOIN ev a ON a.task = c.task AND a.seq < c.seq
WHERE c.kind = 'claimed' AND a.kind IN ('aborted', 'abort_requested') AND NOT EXISTS (
    SELECT 1 FROM ev r
    WHERE r.task = c.task AND r.kind = 'requeued' AND r.seq > a.seq AND r.seq < c.seq);

-- name: budgets_are_kept
WITH life AS (
    SELECT *, count(*) FILTER (kind = 'requeued') OVER (PARTITION BY task ORDER BY seq) AS number
    FROM ev WHERE task IS NOT NULL)
SELECT task, number FROM life GROUP BY task, number
HAVING count(*) FILTER (kind = 'retry')
    > (SELECT max(retries) FROM ev e WHERE e.task = life.task AND e.kind = 'enqueued')
OR count(*) FILTER (kind = 'lost' AND cause <> 'drained')
    > (SELECT max(losses) FROM ev e WHERE e.task = life.task AND e.kind = 'enqueued');

-- at rest

-- name: every_claim_has_ended
SELECT c.task, c.attempt FROM ev c WHERE c.kind = 'claimed' AND NOT EXISTS (
    SELECT 1 FROM ev e WHERE e.task = c.task AND e.attempt = c.attempt
    AND e.kind IN ('finished', 'retry', 'lost'));

-- name: one_terminal_event
SELECT task FROM ev WHERE task IS NOT NULL GROUP BY task
HAVING count(*) FILTER (kind IN ('finished', 'aborted', 'dequeued'))
    <> 1 + count(*) FILTER (kind = 'requeued');
