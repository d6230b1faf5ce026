"""The fleet over time: machines, and what became of their GPUs."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from .....core.errors import EvqError
from ...source import Source
from ...style import COLOURS
from .chart import Line, TimeChart, points


class FleetCurves:
    """Total and busy machines, and GPUs by state; asked when it is opened or its range changes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        with ui.element("div").classes("evq-charts"):
            self._machines = TimeChart("Machines")
            self._gpus = TimeChart("GPUs")

    def mark(self, at: int | None) -> None:
        """Draw a mark at a moment, in microseconds since 1970, or none."""
        self._machines.mark(at)
        self._gpus.mark(at)

    async def load(self, hours: int) -> None:
        """Ask for so many hours up to now. Says so if nobody answers."""
        try:
            answer = await self._source.known("fleet_curve", hours=hours)
        except EvqError as error:
            ui.notify(str(error), type="warning")
            return
        self._show(answer.rows)

    def _show(self, rows: list[dict[str, Any]]) -> None:
        self._machines.show(
            [
                Line(
                    name="there", points=points(rows, "workers"), colour=COLOURS["idle"], steps=True
                ),
                Line(
                    name="busy",
                    points=points(rows, "busy_workers"),
                    colour=COLOURS["busy"],
                    steps=True,
                ),
                Line(name="tasks", points=points(rows, "tasks"), colour="#009e73", steps=True),
            ]
        )
        parts = {name: _parts(rows, name) for name in ("busy", "outside", "offline", "idle")}
        self._gpus.show(
            [
                Line(name=name, points=found, colour=COLOURS[name], stacked=True, steps=True)
                for name, found in parts.items()
            ]
        )


def _parts(rows: list[dict[str, Any]], state: str) -> list[tuple[float, float | None]]:
    if state in ("outside", "offline"):
        return points(rows, state)
    if state == "busy":
        return points(rows, "busy_gpus")
    return [
        (row["ms"], max(0, row["gpus"] - row["busy_gpus"] - row["outside"] - row["offline"]))
        for row in rows
    ]
