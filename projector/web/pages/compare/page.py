"""Several tasks beside each other: what differs, their curves, their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from .....core.differences import PARTS, Row, facts, rows
from .....core.errors import EvqError
from .....core.state import Task
from .....core.words.values import value_text
from ...address import Address
from ...curves import curves_of
from ...points import finite
from ...source import Source
from ...states import state_chip
from . import charts

POINTS = 300
MOST_METRICS = 12
NAME = 32
"""Letters of a task's name above the table."""


class ComparePage:
    """Made with the tasks; `open` asks for what they said and shows all of it."""

    def __init__(self, source: Source, tasks: Sequence[Task], address: Address) -> None:
        self._source = source
        self._tasks = tasks
        self._ids = [task.id for task in tasks]
        self._address = address
        self._rows: list[Row] = []

    async def open(self) -> None:
        """Show what is known, then the curves."""
        self._heads()
        metrics = await self._metrics()
        self._rows = rows([facts(task, metrics.get(task.id, {})) for task in self._tasks])
        with ui.row().classes("w-full items-center gap-2"):
            ui.label("What differs").classes("font-bold")
            self._all = (
                ui.switch("all", value=self._address["all"] == "yes")
                .props("dense")
                .classes("evq-all")
            )
            self._all.on_value_change(self._turn)
        self._table = ui.column().classes("w-full gap-0")
        self._parallel = ui.column().classes("w-full gap-0")
        self._curves = ui.column().classes("w-full gap-0")
        self._show_rows()
        differing = [row for row in self._rows if row.differs]
        if drawn := charts.parallel(differing, self._ids):
            with self._parallel:
                ui.echart(drawn).classes("w-full h-72 evq-parallel")
        told = Counter(name for known in metrics.values() for name in known)
        names = [name for name, _ in told.most_common()]
        await self._show_curves(names[:MOST_METRICS])

    def _heads(self) -> None:
        # Two elements for each task: of all that a page is made of they cost most, by far.
        with ui.row().classes("w-full gap-2 evq-compared"):
            for number, task in enumerate(self._tasks):
                head = ui.link(f"{task.id} {task.spec.name[:NAME]} ", f"/tasks/{task.id}")
                head.classes("font-mono text-xs pl-1").style(
                    f"border-left: 12px solid {charts.color(number)}"
                )
                with head:
                    state_chip(task.name_of_state)

    async def _metrics(self) -> dict[str, dict[str, Any]]:
        try:
            answer = await self._source.known("task_metrics", tasks=self._ids)
        except EvqError as error:
            ui.notify(f"The metrics cannot be had: {error}", type="warning")
            return {}
        found: dict[str, dict[str, Any]] = {}
        for one in answer.rows:
            found.setdefault(one["task"], {})[one["name"]] = finite(one["value"])
        return found

    def _turn(self) -> None:
        self._address.set(all="yes" if self._all.value else "")
        self._show_rows()

    def _show_rows(self) -> None:
        wanted = [row for row in self._rows if self._all.value or row.differs]
        self._table.clear()
        with self._table:
            if not wanted:
                ui.label("Nothing differs.").classes("text-sm opacity-70 evq-same")
                return
            columns = [
                {"name": name, "label": title, "field": name, "align": "left"}
                for name, title in (
                    ("part", "part"),
                    ("name", "name"),
                    *((f"v{number}", task) for number, task in enumerate(self._ids)),
                )
            ]
            table = [
                {"key": number, "part": PARTS[row.part], "name": row.name}
                | {f"v{place}": text for place, text in enumerate(_shown(row))}
                for number, row in enumerate(wanted)
            ]
            ui.table(rows=table, columns=columns, row_key="key").props(
                "dense flat bordered"
            ).classes("w-full evq-tasks evq-differences")

    async def _show_curves(self, names: Sequence[str]) -> None:
        if not names:
            return
        try:
            known = await curves_of(
                self._source.known, self._ids, names, axis="step", pixels=POINTS, last_only=True
            )
        except EvqError as error:
            ui.notify(f"The curves cannot be had: {error}", type="warning")
            return
        with self._curves:
            ui.echart(charts.curves(names, self._ids, known)).classes("w-full").style(
                f"height: {charts.height(len(names))}px"
            ).classes("evq-curves")


def _shown(row: Row) -> list[str]:
    """The values as people read them."""
    return [value_text(row.name, value) for value in row.values]
