"""The curves of a task, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..questions import Sql

if TYPE_CHECKING:
    from .client import Client

COLUMNS = ("attempt", "step", "at", "value")
MOST = 10_000_000

POINTS = """
SELECT name, attempt, step, epoch_us(ts) AS at, value FROM metrics
WHERE task = $task AND (len($names) = 0 OR list_contains($names, name))
ORDER BY attempt, ts, step
"""


async def metrics(
    client: Client, task: str, names: Sequence[str]
) -> dict[str, dict[str, list[Any]]]:
    """See `Client.metrics`."""
    found: dict[str, dict[str, list[Any]]] = {}
    question = Sql(POINTS, rows=MOST, params={"task": task, "names": list(names)})
    async for row in client.rows(question):
        curve = found.setdefault(row["name"], {column: [] for column in COLUMNS})
        for column in COLUMNS:
            curve[column].append(row[column])
    return found
