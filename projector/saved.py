"""The queries that users saved, in the database."""

from __future__ import annotations

import msgspec

from ..core.queries import Query
from .store import Database


def read(database: Database) -> list[Query]:
    """All of them, by name."""
    rows = database.rows("SELECT document FROM _saved_queries ORDER BY query")
    return [msgspec.json.decode(document, type=Query) for (document,) in rows]
