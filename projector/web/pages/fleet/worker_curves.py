"""A worker's machine and GPUs over time, thinned by the projector to what a screen can show."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from nicegui import ui

from .....core.errors import EvqError
from ...source import Source
from .chart import Line, TimeChart, points

Rows = Sequence[dict[str, Any]]

GPU_CHARTS = (
    ("use", "GPU use", "%", 100.0),
    ("memory", "GPU memory", "%", 100.0),
    ("temperature", "GPU temperature", "°C", None),
    ("power", "GPU power", "W", None),
)
"""A column, its title, unit, and where its axis ends."""


class WorkerCurves:
    """The charts of a worker's page; those of GPUs only if it has any."""

    def __init__(self, source: Source, name: str, gpus: bool) -> None:
        self._source = source
        self._name = name
        self._gpus: dict[str, TimeChart] = {}
        with ui.element("div").classes("evq-charts"):
            if gpus:
                for column, title, unit, most in GPU_CHARTS:
                    self._gpus[column] = TimeChart(title, unit=unit, most=most)
            self._cpu = TimeChart("Processors", unit="%", most=100)
            self._memory = TimeChart("Memory and disk", unit="%", most=100)
            self._network = TimeChart("Network, bytes a second", unit="bytes")
            self._disk = TimeChart("Disk, bytes a second", unit="bytes")
            self._heat = TimeChart("Temperature", unit="°C")

    async def load(self, hours: int) -> None:
        """Ask for so many hours up to now. Says so if nobody answers."""
        try:
            await asyncio.gather(self._load_machine(hours), self._load_gpus(hours))
        except EvqError as error:
            ui.notify(str(error), type="warning")

    def mark(self, at: int | None) -> None:
        """Draw a mark at a moment, in microseconds since 1970, or none."""
        machine = (self._cpu, self._memory, self._network, self._disk, self._heat)
        for chart in (*machine, *self._gpus.values()):
            chart.mark(at)

    async def _load_machine(self, hours: int) -> None:
        answer = await self._source.known("worker_curve", agent=self._name, hours=hours)
        self._show_machine(answer.rows)

    async def _load_gpus(self, hours: int) -> None:
        if self._gpus:
            answer = await self._source.known("worker_gpu_curve", agent=self._name, hours=hours)
            self._show_gpus(answer.rows)

    def _show_machine(self, rows: Rows) -> None:
        self._cpu.show([_line(rows, "cpu", "mean"), _line(rows, "cpu_peak", "largest")])
        self._memory.show([_line(rows, "memory"), _line(rows, "disk")])
        self._network.show([_line(rows, "net_in", "in"), _line(rows, "net_out", "out")])
        self._disk.show([_line(rows, "disk_read", "read"), _line(rows, "disk_write", "written")])
        self._heat.show([_line(rows, "temperature", "machine")])
        self._heat.card.set_visibility(any(row["temperature"] is not None for row in rows))

    def _show_gpus(self, rows: Rows) -> None:
        each = {index: list(some) for index, some in groupby(rows, lambda row: row["index"])}
        for column, chart in self._gpus.items():
            lines = [_line(some, column, f"{index}") for index, some in each.items()]
            if len(lines) > 1:
                lines.append(Line(name="mean", points=_mean(rows, column), colour="#7d8590"))
            chart.show(lines)


def _line(rows: Rows, column: str, name: str = "") -> Line:
    return Line(name=name or column, points=points(rows, column))


def _mean(rows: Rows, column: str) -> list[tuple[float, float | None]]:
    found: dict[float, list[float]] = {}
    for row in rows:
        if row[column] is not None:
            found.setdefault(row["ms"], []).append(row[column])
    return [(ms, round(sum(values) / len(values), 1)) for ms, values in sorted(found.items())]
