"""The views of the database, over the files of an export."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..store import schema

_VIEW = re.compile(r"^(?:--.*\n|\s)*CREATE (?:OR REPLACE )?(VIEW|MACRO|TYPE)\b")
_NOW = re.compile(r"MACRO _now\(\) AS [^;]+")

_HEAD = """\
-- The views of docs/views.md over the files beside this one. In their folder:
--   duckdb -init views.sql
-- or in Python: duckdb.connect().execute(open("views.sql").read())
-- For these views it is always the moment of the export.
"""


def views(tables: Mapping[str, Mapping[str, str]], filled: Iterable[str], at: int) -> str:
    """A script that makes them; `tables` are columns and types, `filled` the tables that have
    files, `at` is the moment (microseconds since 1970) that the views take for now."""
    there = set(filled)
    made = [
        _NOW.sub(f"MACRO _now() AS make_timestamp({at})", text.strip().rstrip(";"))
        for text in schema()
        if _VIEW.match(text)
    ]
    types = [text for text in made if "CREATE TYPE" in text]
    sources = [_source(table, columns, table in there) for table, columns in tables.items()]
    others = [text for text in made if text not in types]
    return _HEAD + "".join(f"\n{text};\n" for text in (*types, *sources, *others))


def _source(table: str, columns: Mapping[str, str], filled: bool) -> str:
    """A table of the database as a view over its files."""
    if not filled:
        chosen = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
        return f"CREATE VIEW {table} AS SELECT {chosen} WHERE false"
    files = f"read_parquet('{folder(table)}/**/*.parquet', hive_partitioning = false)"
    return f"CREATE VIEW {table} AS FROM {files}"


def folder(table: str) -> str:
    """Where a table's files are in an export."""
    return table.removeprefix("_")
