"""What there is, asked of a projector that has read the log to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from ...core.cleaning.cleaned import What
from ...core.events import Cleaned
from ...core.ids import is_task_id
from ...core.notebooks import PHASE
from ...core.questions import Head, Sql
from ...core.sdk.cleaning import CODE
from ...core.sdk.client import Client
from .plan import Content, Left, Look

PATIENCE = 600.0
"""Seconds that a question may take."""

MOST_ROWS = 100_000_000

BEHIND = 0.2
"""Seconds between two looks whether the projector has come as far as the log was."""

_ENDED = "('completed', 'failed', 'aborted', 'timed_out')"

# A line and a point take more room than their text: what their time and their names need.
_GONE = f"""
WITH gone AS (SELECT task, what, max(seq) AS seq FROM removals GROUP BY ALL),
again AS (
    SELECT task, arg_max(seq, seq) FILTER (kind = 'requeued') AS seq FROM events
    WHERE kind IN ('requeued', 'dequeued') GROUP BY task HAVING arg_max(kind, seq) = 'requeued'),
saved AS (
    SELECT a.task, a.name, a.depot, a.digest, a.size, g.seq IS NULL OR a.seq > g.seq AS there
    FROM artifacts a LEFT JOIN gone g ON g.task = a.task AND g.what = 'artifacts'),
coded AS (
    SELECT e.task, unnest((e.data -> '$.spec.code.blobs')::VARCHAR[]) AS blob
    FROM events e LEFT JOIN gone g ON g.task = e.task AND g.what = 'code'
        LEFT JOIN again r ON r.task = e.task
    WHERE e.kind = 'enqueued' AND (e.data -> '$.spec.code.blobs') IS NOT NULL
        AND (g.seq IS NULL OR r.seq > g.seq)),
ran AS (
    SELECT p.task, p.detail AS notebook
    FROM phases p JOIN attempts a USING (task, attempt)
        LEFT JOIN gone g ON g.task = p.task AND g.what = 'notebooks'
    WHERE p.name = '{PHASE}' AND p.detail <> '' AND (g.seq IS NULL OR a.claim > g.seq))"""

_LEFT = f"""{_GONE},
last AS (SELECT task, max(claim) AS claim FROM attempts GROUP BY task),
lines AS (SELECT task, sum(strlen(text) + 40)::BIGINT AS bytes FROM logs GROUP BY task),
points AS (SELECT task, count(*)::BIGINT * 40 AS bytes FROM metrics GROUP BY task),
contents AS (
    SELECT task, to_json(list(DISTINCT [depot, digest, size::VARCHAR]))::VARCHAR AS those
    FROM saved WHERE there GROUP BY task),
code AS (SELECT task, to_json(list(DISTINCT blob))::VARCHAR AS blobs FROM coded GROUP BY task),
notebooks AS (
    SELECT task, to_json(list(DISTINCT notebook))::VARCHAR AS those FROM ran GROUP BY task)
SELECT t.task, t.project, t.queue, t."user", t.state, t.tags, t.gang,
    t.archived IS NOT NULL AS archived, epoch_us(t.ended) AS ended,
    CASE WHEN gl.seq IS NULL OR last.claim > gl.seq THEN l.bytes END AS logs,
    CASE WHEN gm.seq IS NULL OR last.claim > gm.seq THEN p.bytes END AS metrics,
    contents.those AS contents, code.blobs AS blobs, notebooks.those AS notebooks
FROM tasks t LEFT JOIN last USING (task) LEFT JOIN lines l USING (task)
    LEFT JOIN points p USING (task) LEFT JOIN contents USING (task) LEFT JOIN code USING (task)
    LEFT JOIN notebooks USING (task)
    LEFT JOIN gone gl ON gl.task = t.task AND gl.what = 'logs'
    LEFT JOIN gone gm ON gm.task = t.task AND gm.what = 'metrics'
WHERE t.state IN {_ENDED}
    AND (l.bytes IS NOT NULL OR p.bytes IS NOT NULL OR contents.those IS NOT NULL
        OR code.blobs IS NOT NULL OR notebooks.those IS NOT NULL)"""

_NAMED = f"""{_GONE}
SELECT '{CODE}' AS place, blob AS name, count(DISTINCT task) AS tasks FROM coded GROUP BY ALL
UNION ALL
SELECT '{CODE}', notebook, count(DISTINCT task) FROM ran GROUP BY ALL
UNION ALL
SELECT depot, digest, count(DISTINCT task) FROM saved WHERE there GROUP BY ALL"""

# An input may be of any attempt, and of one whose content is removed but still there.
_INPUTS = f"""
WITH wanted AS (
    SELECT unnest((e.data -> '$.spec.inputs')::JSON[]) AS one
    FROM events e JOIN tasks t USING (task)
    WHERE e.kind = 'enqueued' AND t.state NOT IN {_ENDED}
        AND (e.data -> '$.spec.inputs') IS NOT NULL)
SELECT DISTINCT i.one ->> '$.task' AS task, a.depot, a.digest
FROM wanted i LEFT JOIN artifacts a
    ON a.task = (i.one ->> '$.task') AND a.name = (i.one ->> '$.name')"""

# The last fact of each kind counts, unless the service was removed since.
_FACTS = """
WITH facts AS (
    SELECT service, name, seq, fact,
        coalesce(fact ->> '$.type', fact ->> '$.kind', fact ->> '$.what') AS kind
    FROM decisions WHERE fact IS NOT NULL),
removed AS (
    SELECT service, name, max(seq) AS seq FROM facts WHERE kind = 'removed' GROUP BY ALL),
ends AS (
    SELECT name, arg_max(kind, seq) = 'ended' AS ended FROM facts
    WHERE service = 'pipeline' GROUP BY name)
SELECT f.service, f.fact::VARCHAR AS fact, f.service = 'pipeline' AND NOT e.ended AS goes
FROM facts f LEFT JOIN removed r USING (service, name)
    LEFT JOIN ends e ON f.service = 'pipeline' AND e.name = f.name
WHERE (r.seq IS NULL OR f.seq > r.seq)
    AND (f.service = 'pipeline-cache' OR contains(f.fact::VARCHAR, '"blobs"')
        OR contains(f.fact::VARCHAR, '"inputs"') OR (f.service = 'pipeline' AND NOT e.ended))
QUALIFY (f.service = 'pipeline' AND NOT e.ended)
    OR row_number() OVER (PARTITION BY f.service, f.name, f.kind ORDER BY f.seq DESC) = 1"""

_REMOVALS = """
SELECT task, data::VARCHAR AS data FROM events
WHERE kind = 'cleaned' AND seq >= $since AND starts_with(data ->> '$.reason', $name)
ORDER BY seq"""

_GANGS = f"SELECT DISTINCT gang FROM tasks WHERE gang IS NOT NULL AND state NOT IN {_ENDED}"


async def look(client: Client, sizes: dict[Content, int]) -> Look:
    """All that a plan asks about; `sizes` are those of what is there.

    Raises `ProjectorAway`.
    """
    asked = await Asking.from_now_on(client)
    kept, held = await _wanted_by_services(asked)
    for row in await asked(_INPUTS):
        held[row["task"], "artifacts"] = "is an input of a task that has not ended"
    return Look(
        left=tuple([_left(row, sizes) for row in await asked(_LEFT)]),
        named={(row["place"], row["name"]): row["tasks"] for row in await asked(_NAMED)},
        held=held,
        kept=frozenset(kept),
        live_gangs=frozenset([row["gang"] for row in await asked(_GANGS)]),
    )


async def named(client: Client) -> dict[str, set[str]]:
    """The contents that a task or a service names, by where they are, as of now."""
    asked = await Asking.from_now_on(client)
    kept, _ = await _wanted_by_services(asked)
    found = {(row["place"], row["name"]) for row in await asked(_NAMED)} | kept
    found |= {(row["depot"], row["digest"]) for row in await asked(_INPUTS) if row["digest"]}
    places: dict[str, set[str]] = {}
    for place, name in found:
        places.setdefault(place, set()).add(name)
    return places


async def depots(client: Client) -> set[str]:
    """Where artifacts were ever saved."""
    asked = await Asking.from_now_on(client)
    return {row["depot"] for row in await asked("SELECT DISTINCT depot FROM artifacts")}


async def removals(client: Client, since: int, name: str) -> dict[str, list[Cleaned]]:
    """The events from the sequence `since` on whose reasons begin with `name`, by their tasks."""
    asked = await Asking.from_now_on(client)
    found: dict[str, list[Cleaned]] = {}
    for row in await asked(_REMOVALS, since=since, name=f"{name}, "):
        event = msgspec.json.decode(row["data"], type=Cleaned)
        found.setdefault(row["task"], []).append(event)
    return found


class Asking:
    """Questions in SQL whose answers know of all that is in the log up to a sequence."""

    def __init__(self, client: Client, least: int) -> None:
        self._client = client
        self._least = least

    @classmethod
    async def from_now_on(cls, client: Client) -> Asking:
        """Questions whose answers know of all that has happened."""
        return cls(client, await client.bus.log.last_seq())

    async def __call__(self, query: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of the answer. Raises `ProjectorAway` and `QueryFailed`."""
        question = Sql(query, PATIENCE, rows=MOST_ROWS, params=params)
        while True:
            async with aclosing(self._client.answer(question)) as answer:
                names: list[str] | None = None
                rows: list[dict[str, Any]] = []
                async for part in answer:
                    if not isinstance(part, Head):
                        rows += [dict(zip(names or (), row, strict=True)) for row in part]
                    elif part.seq < self._least:
                        break
                    else:
                        names = [column.name for column in part.columns]
            if names is not None:
                return rows
            await asyncio.sleep(BEHIND)


def _left(row: dict[str, Any], sizes: dict[Content, int]) -> Left:
    contents = msgspec.json.decode(row["contents"] or "[]", type=list[tuple[str, str, str]])
    blobs, notebooks = _names(row["blobs"]), _names(row["notebooks"])
    return Left(
        task=row["task"],
        ended=row["ended"],
        project=row["project"] or "",
        queue=row["queue"],
        user=row["user"] or "",
        state=row["state"],
        tags=tuple(row["tags"] or ()),
        archived=row["archived"],
        gang=row["gang"] or "",
        logs=row["logs"] or 0,
        metrics=row["metrics"] or 0,
        artifacts={(depot, digest): int(size) for depot, digest, size in contents},
        code={(CODE, blob): sizes.get((CODE, blob), 0) for blob in blobs},
        notebooks={(CODE, name): sizes.get((CODE, name), 0) for name in notebooks},
    )


def _names(written: str | None) -> list[str]:
    return msgspec.json.decode(written or "[]", type=list[str])


async def _wanted_by_services(
    asked: Asking,
) -> tuple[set[Content], dict[tuple[str, What], str]]:
    """The code that services name, and the tasks whose artifacts they need."""
    kept: set[Content] = set()
    held: dict[tuple[str, What], str] = {}
    for row in await asked(_FACTS):
        fact = msgspec.json.decode(row["fact"])
        for name, value in _pairs(fact):
            if name == "blobs" and isinstance(value, list):
                kept |= {(CODE, str(blob)) for blob in value}
            elif name == "inputs" and isinstance(value, list):
                found = [one.get("task") for one in value if isinstance(one, dict)]
                held |= {(str(task), "artifacts"): _why(row["service"]) for task in found}
        if row["goes"] or row["service"] == "pipeline-cache":
            held |= {(task, "artifacts"): _why(row["service"]) for task in _tasks(fact)}
    return kept, held


def _why(service: str) -> str:
    return f"is needed by a {service}".replace("pipeline-cache", "pipeline's cache")


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Each name in a fact, with its value, however deep."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield name, one
            yield from _pairs(one)
    elif isinstance(value, list):
        for one in value:
            yield from _pairs(one)


def _tasks(value: Any) -> Iterator[str]:
    """Each task that a fact names."""
    if isinstance(value, str):
        if is_task_id(value):
            yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tasks(one)
