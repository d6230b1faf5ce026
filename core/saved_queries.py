"""Queries that users save, as events: shared by all who use the server, with author and time."""

from __future__ import annotations

import msgspec

from .queries import Parameter, Query, Value


class QuerySaved(
    msgspec.Struct, frozen=True, tag_field="kind", tag="query_saved", omit_defaults=True
):
    """Somebody saved a query. `required` are the parameters that it must be given, `optional`
    those that it may be, with what stands for them. `chart` is as in `charts.parse_chart`."""

    query: str
    text: str
    meaning: str = ""
    required: tuple[str, ...] = ()
    optional: dict[str, Value] = {}
    chart: str = ""


class QueryDeleted(
    msgspec.Struct, frozen=True, tag_field="kind", tag="query_deleted", omit_defaults=True
):
    """Somebody wants a saved query no longer."""

    query: str
    reason: str = ""


QueryEvent = QuerySaved | QueryDeleted
"""Each says all there is to say: nothing before it needs to be known."""


def saved_query(event: QuerySaved, by: str, at: int) -> Query:
    """The query that was saved."""
    required = tuple(Parameter(name, required=True) for name in event.required)
    optional = tuple(
        Parameter(name, _kind(default), default=default) for name, default in event.optional.items()
    )
    return Query(event.query, event.text, event.meaning, required + optional, event.chart, by, at)


def _kind(default: Value) -> str:
    return "number" if isinstance(default, int | float) else "text"
