"""What each service decided last: schedules with their next due time, triggers, alerts …"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from ...grid import Grid
from ...source import Source

_COLUMNS: Sequence[dict[str, Any]] = (
    {"field": "service", "width": 110},
    {"field": "name", "width": 170},
    {"field": "words", "headerName": "what it decided last", "flex": 1, "tooltipField": "words"},
    {"field": "decisions", "width": 100},
    {"field": "by", "width": 150},
    {"field": "ts", "headerName": "when", "width": 170},
)


class Decisions:
    """A row for each service that decided something lately."""

    def __init__(self, source: Source) -> None:
        self._source = source
        ui.label("Decisions").classes("evq-head")
        self._grid = Grid(
            _COLUMNS,
            "id",
            [],
            empty="no service has decided anything: evq schedule, evq trigger, evq sweep …",
            narrow=("name", "words"),
        )

    async def ask(self) -> None:
        """Show what is known now."""
        found = await self._source.named("decisions_now")
        self._grid.show([_told(row) for row in found.rows])


def _told(row: dict[str, Any]) -> dict[str, Any]:
    key = f"{row['service']}/{row['name']}"
    return row | {"id": key, "ts": str(row["ts"])[:19].replace("T", " ")}
