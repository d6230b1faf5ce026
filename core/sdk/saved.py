"""Queries by name: the list of them, and those that users save, delete and take back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from .. import subjects, wire
from ..charts import parse_chart
from ..errors import Conflict, NotFound, UsageError
from ..events import Envelope
from ..ports import BusAway, Entry, Stored, WrongSequence
from ..queries import Query, Value, query_name
from ..questions import CATALOGUE, Named, Sql
from ..saved_queries import QueryDeleted, QueryEvent, QuerySaved, saved_query

if TYPE_CHECKING:
    from .client import Client

LONGEST = 100_000
"""Characters of a query that is saved, and of what is said of it."""


async def all_queries(client: Client, *, fresh: bool = True) -> list[Query]:
    """Every query that can be asked by name: evq's own by subject, then those that users saved.

    Lists for people leave out those that are not `is_listed`. Those that were saved a moment ago
    may be missing unless it is to be `fresh`.
    """
    rows = client.rows(Named(CATALOGUE, fresh=fresh))
    return [msgspec.json.decode(row["query"], type=Query) async for row in rows]


async def find_query(client: Client, name: str) -> Query:
    """The query of this name; evq's own come first. Raises `NotFound`."""
    wanted = query_name(name)
    for query in await all_queries(client):
        if query.name == wanted:
            return query
    raise NotFound(f"there is no query @{wanted}", fix="evq sql --list")


async def save_query(
    client: Client,
    name: str,
    text: str,
    defaults: Mapping[str, Value] | None = None,
    *,
    meaning: str = "",
    chart: str = "",
    replace: bool = False,
) -> tuple[Query, Query | None]:
    """Save a query for all who use the server; it and the one that it replaces, if any.

    `defaults` are what its parameters (`$NAME` in the text) are by themselves; those without one
    must be given. Raises `UsageError` if evq has a query of this name or if it cannot be read,
    and `Conflict` if somebody saved one of this name, unless it is to be replaced.
    """
    wanted = query_name(name)
    if chart:
        parse_chart(chart)
    if len(text) + len(meaning) > LONGEST:
        raise UsageError(
            f"the query is too long to be saved ({len(text) + len(meaning)} characters)",
            why=f"it may have {LONGEST}",
        )
    if any(query.name == wanted and not query.by for query in await all_queries(client)):
        raise UsageError(
            f"@{wanted} is one of evq's own queries",
            why="a saved query cannot take its place",
            fix="choose another name; evq sql --list shows those there are",
        )
    names = await _parameters(client, text)
    defaults = dict(defaults or {})
    if unknown := [one for one in defaults if one not in names]:
        raise UsageError(
            f"the query has no parameter {unknown[0]}",
            why=f"its parameters are {', '.join(names)}" if names else "it has none",
            fix=f"write ${unknown[0]} where its value is to stand",
        )
    required = tuple(one for one in names if one not in defaults)
    event = QuerySaved(wanted, text.strip(), meaning, required, defaults, chart)
    return await _append(client, event, replace=replace)


async def _parameters(client: Client, text: str) -> list[str]:
    """The parameters of a query. Raises `QueryFailed` if it is none."""
    return [row["name"] async for row in client.rows(Sql(text, only_names=True))]


async def _append(
    client: Client, event: QuerySaved, *, replace: bool
) -> tuple[Query, Query | None]:
    while True:
        stored = await _history(client, event.query)
        before = _last(stored)
        if before and not replace:
            raise Conflict(
                f"there is a query @{event.query} already",
                why=f"{before.by} saved it: {before.meaning or before.text[:60]}",
                fix=f"evq sql --save {event.query} --replace …, or choose another name",
            )
        if saved := await _write(client, event, stored):
            return saved_query(event, saved.by, saved.at), before


async def delete_query(client: Client, name: str, reason: str = "") -> Query:
    """Delete a saved query; the query as it was. Raises `NotFound`."""
    wanted = query_name(name)
    while True:
        stored = await _history(client, wanted)
        before = _last(stored)
        if before is None:
            raise NotFound(
                f"nobody saved a query @{wanted}",
                why="evq's own cannot be deleted",
                fix="evq sql --list",
            )
        if await _write(client, QueryDeleted(wanted, reason), stored):
            return before


async def restore_query(client: Client, name: str) -> Query | None:
    """Take back the last change of a saved query: what it is then, null if it is no more.

    To take that back, too, do it again. Raises `NotFound` if there is nothing to take back.
    """
    wanted = query_name(name)
    while True:
        stored = await _history(client, wanted)
        events = _events(stored)
        if not events:
            raise NotFound(f"nobody saved a query @{wanted}", fix="evq sql --list")
        before = events[-2].event if len(events) > 1 else None
        if isinstance(before, QuerySaved):
            if saved := await _write(client, before, stored):
                return saved_query(before, saved.by, saved.at)
        elif await _write(client, QueryDeleted(wanted, "taken back"), stored):
            return None


async def _history(client: Client, name: str) -> list[Stored]:
    subject = subjects.query_events(name)
    try:
        return list(await client.bus.log.history(subject))
    except BusAway:
        # A server that evq has not used before has no streams yet, and answers nothing.
        await client.bus.prepare()
        return list(await client.bus.log.history(subject))


def _events(stored: list[Stored]) -> list[Envelope]:
    messages = [wire.decode(one.data) for one in stored]
    return [
        message
        for message in messages
        if isinstance(message, Envelope) and isinstance(message.event, QueryEvent)
    ]


def _last(stored: list[Stored]) -> Query | None:
    """The query as it is; null if there is none, or none any more."""
    if events := _events(stored):
        last = events[-1]
        if isinstance(last.event, QuerySaved):
            return saved_query(last.event, last.by, last.at)
    return None


async def _write(client: Client, event: QueryEvent, stored: list[Stored]) -> Envelope | None:
    """Append the event, unless something happened to the query since `stored` was read."""
    envelope = client.author.envelope(event)
    expect = stored[-1].seq if stored else 0
    subject = subjects.query_events(event.query)
    try:
        await client.bus.log.append(Entry(subject, wire.encode(envelope), envelope.id, expect))
    except WrongSequence:
        return None
    return envelope
