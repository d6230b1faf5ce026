"""The curves of a task's metrics and of what it took of its machine, live."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from nicegui import background_tasks, ui

from .....core.cleaning.cleaned import Removal, removal_of, removal_text
from .....core.errors import EvqError
from .....core.events import Metric, Telemetry
from .....core.state import Attempt, Task
from ...address import Address
from ...curves import curves_of
from ...points import Curve, finite
from ...source import Source
from .chart import Across, height, number_text, options, series, title
from .machine import MachineCurves
from .story import Story

POINTS = 500
AT_ONCE = 24
"""Metrics that are shown unless some are chosen."""

REST_SECONDS = 0.4
"""The chart is drawn anew at most so often; a point that comes after a longer rest is drawn at
once."""


class CurvesPanel:
    """One chart with a curve for each metric, and below them those of the machine."""

    def __init__(self, source: Source, story: Story, address: Address) -> None:
        self._source = source
        self._story = story
        self._address = address
        self._metrics: dict[str, Curve] = {}
        self._figures: dict[str, str] = {}
        self._machine = MachineCurves(source, self._move)
        self._chart: ui.echart | None = None
        self._drawn: list[Curve] = []
        self._touched: set[Curve] = set()
        self._asked = self._loaded = False
        self._early: list[tuple[int, int | None, str, float]] = []
        """While curves are asked for, points that are said meanwhile."""
        with ui.row().classes("w-full items-center gap-2"):
            self._chosen = (
                ui.select([], multiple=True, label="metrics")
                .props("dense outlined options-dense use-chips clearable")
                .classes("grow max-w-2xl")
                .classes("evq-curves-chosen")
            )
            self._across = ui.toggle(
                {"time": "by time", "step": "by step"}, value=address["x"] or "time"
            ).props("dense no-caps")
            self._log = ui.switch("log scale", value=address["scale"] == "log").props("dense")
        self._gone = ui.label().classes("text-sm opacity-70 whitespace-pre-line evq-curves-gone")
        self._place = ui.column().classes("w-full gap-0 evq-curves")
        for control in (self._chosen, self._across, self._log):
            control.on_value_change(self._choose)
        story.heard.append(self._hear)
        story.changed.append(self._change)
        self._client = ui.context.client
        self._timer: asyncio.TimerHandle | None = None
        self._rested_at = 0.0

    def _choose(self) -> None:
        if not self._loaded:
            return
        self._address.set(
            metrics=",".join(self._chosen.value or ()),
            x="" if self._across.value == "time" else self._across.value,
            scale="log" if self._log.value else "",
        )
        self._draw()

    async def load(self, *, fresh: bool = True) -> None:
        """Ask for all curves and draw them. What was heard before has to be in them, so they are
        `fresh`, unless nothing is heard yet."""
        ask = self._source.named if fresh else self._source.known
        self._asked, self._loaded = True, False
        task = self._story.task
        try:
            found = await ask("metrics", task=task.id)
            curves = await curves_of(self._source.known, [task.id], axis="time", pixels=POINTS)
            self._metrics = {
                str(row["name"]): Curve(row["name"], curves.get((task.id, row["name"]), ()))
                for row in found.rows
            }
            self._figures = {str(row["name"]): _figures(row) for row in found.rows}
            await self._machine.load(task)
        except EvqError as error:
            ui.notify(f"The curves cannot be had: {error}", type="warning")
        self._loaded = True
        early, self._early = self._early, []
        for one in early:
            self._add(*one)
        wanted = [one for one in self._address["metrics"].split(",") if one in self._metrics]
        self._chosen.set_options(list(self._metrics), value=wanted)
        self._draw()

    # --- drawing --------------------------------------------------------------------------------

    def _wanted(self) -> list[Curve]:
        chosen = self._chosen.value or list(self._metrics)[:AT_ONCE]
        return [self._metrics[name] for name in chosen if name in self._metrics]

    def _shown(self) -> list[Curve]:
        metrics = [curve for curve in self._wanted() if curve.points or not self._removal]
        # Samples of the machine have no step.
        return metrics + (self._machine.curves if self._across.value == "time" else [])

    def _draw(self) -> None:
        self._drawn = self._shown()
        self._touched.clear()
        self._place.clear()
        self._chart = None
        self._say_gone()
        with self._place:
            if not self._drawn:
                if not self._removal:
                    ui.label("It has told no metrics.").classes("text-sm opacity-70")
                return
            self._chart = (
                ui.echart(options(self._drawn, self._by, log=self._log.value))
                .classes("w-full")
                .style(f"height: {height(len(self._drawn))}px")
                .classes("evq-curves-chart")
            )

    @property
    def _removal(self) -> Removal | None:
        """How points went, of the first attempt at least; null if none did."""
        return removal_of(self._story.task, "metrics", 1)

    def _say_gone(self) -> None:
        """Say what went in place of curves, and the figures that stay."""
        empty = [curve.name for curve in self._wanted() if not curve.points]
        figures = [self._figures[name] for name in empty if name in self._figures]
        removal = self._removal
        self._gone.text = "\n".join([removal_text(removal), *figures]) if removal else ""

    @property
    def _by(self) -> Across:
        return "step" if self._across.value == "step" else "time"

    def _redraw(self) -> None:
        """Only what has changed."""
        self._timer = None
        touched, self._touched = self._touched, set()
        if self._chart is None or touched - set(self._drawn):
            self._chosen.set_options(list(self._metrics), value=self._chosen.value)
            if self._chart is None or len(self._shown()) != len(self._drawn):
                self._draw()
                return
        changed: dict[str, list[Any]] = {"series": [], "title": []}
        for number, curve in enumerate(self._drawn):
            if curve in touched:
                changed["series"] += series(number, curve, self._by, log=self._log.value)
                changed["title"].append(title(number, curve))
        if changed["series"]:
            self._chart.run_chart_method("setOption", changed)

    # --- live -----------------------------------------------------------------------------------

    def _hear(self, attempt: Attempt, record: Telemetry) -> None:
        if not isinstance(record, Metric) or not self._asked:
            return
        for at, step, name, value in zip(
            record.at, record.step, record.name, record.value, strict=True
        ):
            if self._loaded:
                self._add(at, step, name, float(value))
            else:
                self._early.append((at, step, name, float(value)))

    def _change(self, task: Task) -> None:
        if self._loaded:
            self._say_gone()
            background_tasks.create(self._load_machine(task))

    async def _load_machine(self, task: Task) -> None:
        """Another attempt may have begun."""
        with self._client, suppress(EvqError):
            # A chart that is drawn twice at once fails in the browser.
            if await self._machine.load(task) and self._shown() != self._drawn:
                self._draw()

    def _move(self, curve: Curve) -> None:
        """Draw a curve anew, in a moment."""
        self._touched.add(curve)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._rested_at)
            self._timer = loop.call_at(due, self._redraw_there)
            self._rested_at = due + REST_SECONDS

    def _redraw_there(self) -> None:
        with self._client:
            self._redraw()

    def _add(self, at: int, step: int | None, name: str, value: float) -> None:
        curve = self._metrics.setdefault(name, Curve(name))
        if curve.add(at, step, value):
            self._move(curve)


def _figures(row: dict[str, Any]) -> str:
    """What stays of a metric whose points went."""
    last, least, most = (
        number_text(finite(row[one])) or str(row[one]) for one in ("last", "min", "max")
    )
    return f"{row['name']}: last {last}, smallest {least}, largest {most}"
