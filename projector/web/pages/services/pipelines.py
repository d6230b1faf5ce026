"""Pipelines on the page of services: all runs there are, and one with its graph and its tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from ...address import Address
from ...grid import Grid
from ...source import Source
from .pipeline_graph import fold, in_order, picture

_RUNS: Sequence[dict[str, Any]] = (
    {"field": "name", "headerName": "pipeline run", "width": 200},
    {"field": "state", "width": 100},
    {"field": "words", "headerName": "what it decided last", "flex": 1, "tooltipField": "words"},
    {"field": "by", "width": 140},
)
_PARTS: Sequence[dict[str, Any]] = (
    {"field": "name", "headerName": "step", "width": 200},
    {"field": "state", "width": 110},
    {"field": "cached", "width": 90},
    {"field": "evidence", "headerName": "why", "flex": 1, "tooltipField": "evidence"},
    {"field": "task", "width": 140},
)


class Pipelines:
    """A part of the page; `ask` brings it up to now. The address has the run that is open."""

    def __init__(self, source: Source, address: Address) -> None:
        self._source = source
        self._address = address
        ui.label("Pipelines").classes("evq-head")
        self._runs = Grid(
            _RUNS,
            "name",
            [],
            most=8,
            empty="no pipeline was run yet: evq pipeline run FILE",
            narrow=("name", "state", "words"),
        )
        self._title = ui.label().classes("evq-head evq-pipeline")
        self._graph = ui.echart({}).classes("w-full evq-pipeline-graph").style("height: 340px")
        self._parts = Grid(_PARTS, "name", [], narrow=("name", "state", "task"))
        self._runs.element.classes("evq-pipelines")
        self._runs.element.on("rowClicked", self._choose, ["data"])
        self._parts.element.on("rowClicked", self._open_task, ["data"])
        self._show_one(False)

    async def ask(self) -> None:
        """Show what is so now. Raises `EvqError`."""
        runs = await self._source.known("pipelines")
        fields = [str(column["field"]) for column in _RUNS]
        self._runs.show([{name: row[name] for name in fields} for row in runs.rows])
        await self._ask_one()

    async def _ask_one(self) -> None:
        run = self._address["run"]
        if not run:
            return
        rows = (await self._source.known("pipeline_facts", run=run)).rows
        edges, parts = fold([_read(row) for row in rows])
        self._title.text = f"Run {run}" if edges else f"there is no run {run}"
        self._show_one(bool(edges))
        self._graph.options.clear()
        self._graph.options.update(picture(edges, parts))
        self._graph.update()
        self._parts.show(
            [
                {
                    "name": one.name,
                    "state": one.state,
                    "cached": "cached" if one.reused else "",
                    "evidence": one.evidence,
                    "task": one.task,
                }
                for one in in_order(edges, parts)
            ]
        )

    def _show_one(self, shown: bool) -> None:
        for part in (self._graph, self._parts.place):
            part.set_visibility(shown)

    async def _choose(self, event: GenericEventArguments) -> None:
        self._address.set(run=str(event.args["data"]["name"]))
        await self._ask_one()

    @staticmethod
    def _open_task(event: GenericEventArguments) -> None:
        if task := event.args["data"]["task"]:
            ui.navigate.to(f"/tasks/{task}")


def _read(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its JSON read, which comes from the database as text."""

    def value(found: Any) -> Any:
        if isinstance(found, list):
            return [value(one) for one in found]
        return json.loads(found) if isinstance(found, str) else found

    return {name: row[name] if name in ("ts", "kind") else value(row[name]) for name in row}
