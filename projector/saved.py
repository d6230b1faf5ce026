"""The queries that users saved, in the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..core.queries import Query

READ = "SELECT document FROM _saved_queries ORDER BY query"


def read(rows: Iterable[Any]) -> list[Query]:
    """The queries in the rows of `READ`, by name."""
    return [msgspec.json.decode(document, type=Query) for (document,) in rows]
