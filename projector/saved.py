"""The queries that users saved: in the database, and in the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..core import wire
from ..core.events import Envelope
from ..core.ports import Stored
from ..core.queries import Query
from ..core.saved_queries import QueryDeleted, QuerySaved, saved_query
from ..core.subjects import parse_query_events

READ = "SELECT document FROM _saved_queries ORDER BY query"


def read(rows: Iterable[Any]) -> list[Query]:
    """The queries in the rows of `READ`, by name."""
    return [msgspec.json.decode(document, type=Query) for (document,) in rows]


def fold(messages: Iterable[Stored]) -> dict[str, Query]:
    """The queries that are left after these messages of the log, by name."""
    left: dict[str, Query] = {}
    for stored in messages:
        name = parse_query_events(stored.subject)
        message = wire.decode(stored.data)
        if name and isinstance(message, Envelope):
            match message.event:
                case QuerySaved() as event:
                    left[name] = saved_query(event, message.by, message.at)
                case QueryDeleted():
                    left.pop(name, None)
    return left
