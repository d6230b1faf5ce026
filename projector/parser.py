"""Conditions as DuckDB's own parser understands them; nothing is carried out.

The parser has a database of its own, in memory and empty.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb
import msgspec

LONGEST = 2000
"""Characters of a condition."""

DEEPEST = 60
"""Expressions in each other."""

Node = dict[str, Any]
"""An expression, as `json_serialize_sql` writes it."""

_PROBE = "SELECT 1 FROM tasks WHERE (\n{}\n)"


class Unparsed(Exception):
    """The text is not one condition; the words say why."""


def parse(text: str) -> Node:
    """The condition that a text is. Raises `Unparsed`."""
    if len(text) > LONGEST:
        raise Unparsed(f"it has {len(text)} characters, and may have {LONGEST}")
    cursor = _parser().cursor()
    try:
        ((told,),) = cursor.execute(
            "SELECT json_serialize_sql($1)", [_PROBE.format(text)]
        ).fetchall()
        found = msgspec.json.decode(told)
    except (duckdb.Error, msgspec.DecodeError, UnicodeError) as error:
        raise Unparsed(str(error).splitlines()[0]) from error
    finally:
        cursor.close()
    if found["error"]:
        raise Unparsed(str(found["error_message"]).splitlines()[0])
    # What a clause may not change is the query around it: it must be the one we have written.
    expression = _taken(found)
    if expression is None or found != _frame():
        raise Unparsed("it is more than one condition")
    return expression


def _taken(found: Node) -> Node | None:
    """Take the condition, and all places in the text, out of a parsed query."""
    statements = found.get("statements") or [{}]
    node = statements[0].get("node") or {}
    expression: Node | None = node.get("where_clause")
    node["where_clause"] = None
    return expression


@cache
def _frame() -> Node:
    text = _PROBE.format("true")
    ((told,),) = _parser().cursor().execute("SELECT json_serialize_sql($1)", [text]).fetchall()
    found: Node = msgspec.json.decode(told)
    _taken(found)
    return found


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    parser = duckdb.connect(":memory:", config={"threads": "1"})
    parser.execute(f"SET max_expression_depth TO {DEEPEST}")
    return parser
