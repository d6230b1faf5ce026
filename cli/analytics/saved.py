"""Queries by name on the command line: which there are, what one is, and those that users save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core.errors import UsageError
from ...core.queries import Query, Value, query_name
from .. import output
from ..calling import call
from ..output import Column
from ..tasks.render import clock

if TYPE_CHECKING:
    from ...core.sdk.client import Client


def say_all(as_json: bool) -> None:
    """Print the queries that can be asked by name."""
    from ...core.sdk.saved import all_queries

    found = [query for query in call(all_queries) if query.is_listed]
    if as_json:
        output.say_json([_document(query) for query in found])
        return
    output.say_table(
        [Column("query"), Column("by"), Column("answers", soft=True)],
        [(f"@{query.name}", query.by or "evq", query.meaning) for query in found],
    )
    output.note("evq sql @NAME --help     what it takes")


def describe(name: str, as_json: bool) -> None:
    """Print what a query answers, what it takes, and its text."""
    from ...core.sdk.saved import find_query

    if not name.startswith("@"):
        raise UsageError(
            "only a query that has a name can be described", fix="evq sql @NAME --describe"
        )

    async def find(client: Client) -> Query:
        return await find_query(client, name)

    query = call(find)
    if as_json:
        output.say_json(_document(query))
        return
    head = f"{output.bold('@' + query.name)}  {query.meaning}".rstrip()
    output.say(click.wrap_text(head, output.terminal_width()) if output.on_terminal() else head)
    if query.by:
        output.say(f"saved by {query.by}, {clock(query.at)}")
    output.say()
    if query.parameters:
        output.say_table(
            [Column("parameter"), Column("kind"), Column("default"), Column("meaning", soft=True)],
            [
                (one.name, one.kind, "must be given" if one.required else one.default, one.meaning)
                for one in query.parameters
            ],
        )
        output.say()
    if query.chart:
        output.say(f"--plot draws {query.chart}")
        output.say()
    output.say(output.dim(query.text))


def save(
    name: str,
    text: str,
    params: Mapping[str, str],
    *,
    about: str,
    chart: str,
    replace: bool,
) -> None:
    """Save a query for all who use the server, and say how it is asked."""
    from ...core.sdk.saved import save_query

    if text.startswith("@"):
        raise UsageError("a query is saved by its text", fix='evq sql --save NAME "SELECT …"')
    defaults = {key: _value(value) for key, value in params.items()}

    async def saving(client: Client) -> tuple[Query, Query | None]:
        hint = "" if chart == "auto" else chart
        return await save_query(
            client, name, text, defaults, meaning=about, chart=hint, replace=replace
        )

    query, before = call(saving)
    output.say(f"saved: evq sql {query.usage}")
    if before:
        output.note(f"it takes the place of what {before.by} saved; {_undo(query.name)}")


def delete(name: str) -> None:
    """Delete a saved query, and say how to have it back."""
    from ...core.sdk.saved import delete_query

    async def deleting(client: Client) -> Query:
        return await delete_query(client, name)

    query = call(deleting)
    output.say(f"deleted: @{query.name}, which {query.by} had saved")
    output.note(_undo(query.name))


def undo(name: str) -> None:
    """Take back the last change of a saved query."""
    from ...core.sdk.saved import restore_query

    async def restoring(client: Client) -> Query | None:
        return await restore_query(client, name)

    query = call(restoring)
    if query:
        output.say(f"as it was: evq sql {query.usage}")
    else:
        output.say(f"as it was: there is no query @{query_name(name)}")


def _undo(name: str) -> str:
    return f"evq sql --undo {name}     takes that back"


def _value(text: str) -> Value:
    """A default as it was typed: a number if it looks like one."""
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        return text


def _document(query: Query) -> dict[str, Any]:
    """A query as JSON."""
    parameters = [
        {
            "name": one.name,
            "kind": one.kind,
            "default": one.default,
            "meaning": one.meaning,
            "required": one.required,
        }
        for one in query.parameters
    ]
    return {
        "query": query.name,
        "by": query.by or "evq",
        "meaning": query.meaning,
        "parameters": parameters,
        "chart": query.chart,
        "text": query.text,
    }
