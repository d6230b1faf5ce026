"""Lists of tasks: a question's SQL with what a user is looking for put in its place.

In the text of a question `{where}` stands for the condition that its parameters `where` and `words`
lead to, `{sort}` for the columns that it is sorted by, `{facet}` for the column that is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import UsageError
from .where import Clause, order, where

MOST_WORDS = 10

FACETS = {
    name: f'tasks."{name}"'
    for name in ("state", "queue", "user", "agent", "project", "cause", "array_id")
} | {"tag": "unnest(tasks.tags)"}
"""What may be counted, and how."""

_TEXT = """lower(concat_ws(' ', tasks.task, tasks.name, tasks.queue, tasks.state, tasks."user",
    tasks.project, tasks.agent, tasks.entry, tasks.branch, tasks.cause, tasks.params::VARCHAR,
    array_to_string(tasks.tags, ' ')))"""
"""What words are searched in."""


def composed(sql: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The SQL and its values. Raises `UsageError` for a condition or a column that is not one."""
    values = dict(parameters)
    if "{where}" in sql:
        sql = _put(sql, values, "where", _condition(values.pop("where"), values.pop("words")))
    if "{sort}" in sql:
        sql = _put(sql, values, "sort", _order(values.pop("sort")))
    if "{facet}" in sql:
        sql = sql.replace("{facet}", _facet(values.pop("facet")))
    return sql, values


def _put(sql: str, values: dict[str, Any], name: str, clause: Clause) -> str:
    values |= clause.values
    return sql.replace(f"{{{name}}}", clause.sql)


def _condition(text: Any, words: Any) -> Clause:
    clause = where(str(text))
    searched = str(words).lower().split()[:MOST_WORDS]
    values = {f"word_{number}": word for number, word in enumerate(searched)}
    parts = [clause.sql, *(f"contains({_TEXT}, ${name})" for name in values)]
    return Clause(" AND ".join(parts), clause.values | values)


def _order(sort: Any) -> Clause:
    """`-enqueued` is the latest first."""
    written = str(sort)
    word = "DESC" if written.startswith("-") else "ASC"
    clause = order(written.removeprefix("-"), word)
    return Clause(f"{clause.sql}, tasks.origin {word}", clause.values)


def _facet(name: Any) -> str:
    if name not in FACETS:
        raise UsageError(
            f"tasks cannot be counted by {name!r}", why="they can by " + ", ".join(FACETS)
        )
    return FACETS[name]
