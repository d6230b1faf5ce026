"""Sweeps on the page of services: all there are, and one with its trials and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from ...address import Address
from ...grid import Grid
from ...source import Source
from . import sweep_charts

_SWEEPS: Sequence[dict[str, Any]] = (
    {"field": "name", "headerName": "sweep", "width": 200},
    {"field": "state", "width": 100},
    {"field": "trials", "width": 90},
    {"field": "complete", "width": 100},
    {"field": "pruned", "width": 90},
    {"field": "failed", "width": 80},
    {"field": "words", "headerName": "what it decided last", "flex": 1, "tooltipField": "words"},
)
_TRIALS: Sequence[dict[str, Any]] = (
    {"field": "number", "headerName": "trial", "width": 80},
    {"field": "state", "width": 100},
    {"field": "value", "width": 130},
    {"field": "params", "flex": 1, "tooltipField": "params"},
    {"field": "words", "headerName": "what became of it", "flex": 1, "tooltipField": "words"},
    {"field": "task", "width": 130},
)


class Sweeps:
    """A part of the page; `ask` brings it up to now. The address has the sweep that is open."""

    def __init__(self, source: Source, address: Address) -> None:
        self._source = source
        self._address = address
        ui.label("Sweeps").classes("evq-head")
        self._sweeps = Grid(
            _SWEEPS,
            "name",
            [],
            most=8,
            empty="no sweep yet: evq sweep run FILE begins one",
            narrow=("name", "state", "words"),
        )
        self._title = ui.label().classes("evq-head evq-sweep")
        with ui.row().classes("w-full no-wrap") as self._pictures:
            self._progress = ui.echart({}).classes("evq-sweep-progress").style("height: 300px")
            self._shares = ui.echart({}).classes("evq-sweep-shares").style("height: 300px")
        self._progress.classes("w-2/3")
        self._shares.classes("w-1/3")
        self._axes = ui.echart({}).classes("w-full").style("height: 300px")
        self._trials = Grid(_TRIALS, "task", [], narrow=("number", "state", "value"))
        self._sweeps.element.classes("evq-sweeps")
        self._sweeps.element.on("rowClicked", self._choose, ["data"])
        self._trials.element.on("rowClicked", self._open_task, ["data"])
        self._show_one(False)

    async def ask(self) -> None:
        """Show what is so now. Raises `EvqError`."""
        sweeps = await self._source.known("sweeps")
        self._sweeps.show([{name: row[name] for name in _fields(_SWEEPS)} for row in sweeps.rows])
        await self._ask_one()

    async def _ask_one(self) -> None:
        name = self._address["sweep"]
        if not name:
            return
        (facts,) = (await self._source.known("sweep_facts", sweep=name)).rows
        if facts["definition"] is None:
            self._title.text = f"there is no sweep {name}"
            return
        definition = _read(facts["definition"])
        rows = (await self._source.known("sweep_trials", sweep=name)).rows
        trials = [{**row, "params": _read(row["params"])} for row in rows]
        objective = definition["objective"][0]
        metric, goal = str(objective["metric"]), str(objective.get("goal", "minimize"))
        self._title.text = f"{name}: {goal} {metric}"
        _draw(self._progress, sweep_charts.progress(trials, metric, goal))
        _draw(self._shares, sweep_charts.importances(_read(facts["importances"]) or {}))
        _draw(self._axes, sweep_charts.axes(trials, list(definition["space"]), metric))
        self._trials.show([_trial(one) for one in trials])
        self._show_one(True)

    def _show_one(self, shown: bool) -> None:
        for part in (self._pictures, self._axes, self._trials.place):
            part.set_visibility(shown)

    async def _choose(self, event: GenericEventArguments) -> None:
        self._address.set(sweep=str(event.args["data"]["name"]))
        await self._ask_one()

    @staticmethod
    def _open_task(event: GenericEventArguments) -> None:
        ui.navigate.to(f"/tasks/{event.args['data']['task']}")


def _fields(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(column["field"]) for column in columns]


def _read(value: Any) -> Any:
    """JSON of the database, which comes as its text."""
    return json.loads(value) if isinstance(value, str) else value


def _draw(chart: ui.echart, options: dict[str, Any]) -> None:
    chart.options.clear()
    chart.options.update(options)
    chart.update()


def _trial(row: Mapping[str, Any]) -> dict[str, Any]:
    values = ", ".join(f"{value:.6g}" for value in row["values"])
    params = " ".join(f"{name}={_short(value)}" for name, value in row["params"].items())
    return {
        "number": row["number"],
        "state": row["state"],
        "value": values,
        "params": params,
        "words": row["words"],
        "task": row["task"],
    }


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
