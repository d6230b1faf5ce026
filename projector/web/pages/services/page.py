"""The page: services with their last words, tasks that made others, and one family as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from .....core.errors import EvqError
from .....core.sdk.live import Changes
from ...address import Address
from ...following import follow
from ...grid import Grid
from ...source import Source
from .decisions import Decisions
from .graph import picture
from .pipelines import Pipelines
from .sweeps import Sweeps

SECONDS = 2.0
"""At most so often is the database asked again, and only if a task has changed."""

_TIMES = ("since", "ended", "latest")

_SERVICES: Sequence[dict[str, Any]] = (
    {"field": "name", "headerName": "service", "width": 200},
    {"field": "state", "width": 100},
    {"field": "words", "headerName": "what it said last", "flex": 1, "tooltipField": "words"},
    {"field": "children", "headerName": "tasks", "width": 80},
    {"field": "user", "width": 110},
    {"field": "agent", "width": 140},
    {"field": "since", "width": 170},
)
_FAMILIES: Sequence[dict[str, Any]] = (
    {"field": "name", "headerName": "made by", "flex": 1},
    {"field": "state", "width": 100},
    {"field": "user", "width": 110},
    {"field": "children", "headerName": "tasks", "width": 80},
    {"field": "waiting", "width": 90},
    {"field": "running", "width": 90},
    {"field": "completed", "width": 100},
    {"field": "failed", "width": 80},
)


class ServicesPage:
    """Follows the fleet: what is shown is asked again when tasks have changed."""

    def __init__(self, source: Source, address: Address) -> None:
        self._source = source
        self._address = address
        self._asking = False
        self._missed = False
        """Whether tasks have changed while it was asking."""
        ui.label("Services").classes("evq-head")
        self._services = Grid(
            _SERVICES,
            "task",
            [],
            empty="no service runs: evq enqueue -q services starts one",
            narrow=("name", "state", "words"),
        )
        self._decisions = Decisions(source)
        self._pipelines = Pipelines(source, address)
        self._sweeps = Sweeps(source, address)
        ui.label("Tasks that made tasks").classes("evq-head")
        self._families = Grid(
            _FAMILIES,
            "task",
            [],
            empty="no task has made another yet",
            narrow=("name", "children", "failed"),
        )
        self._title = ui.label().classes("evq-head")
        self._graph = ui.echart({}).classes("w-full evq-family").style("height: 420px")
        self._graph.set_visibility(False)
        self._graph.on_point_click(lambda event: self._open_task(str(event.data["id"])))
        for grid in (self._services, self._families):
            grid.element.on("rowClicked", self._choose, ["data"])

    async def open(self, version: int) -> None:
        """Show what there is, and go on with what changes."""
        await self._ask(fresh=False)
        follow(self._source.fleet, version, self._changed, SECONDS)

    def _changed(self, changes: Changes) -> None:
        if not (changes.tasks or changes.everything):
            return
        if self._asking:
            self._missed = True
        else:
            self._ask_again()

    def _ask_again(self) -> None:
        background_tasks.create(self._ask(), name="services are asked for")

    async def _ask(self, *, fresh: bool = True) -> None:
        """Bring all parts up to now. What is asked after the first answer is as fresh as that."""
        self._asking, self._missed = True, False
        ask = self._source.named if fresh else self._source.known
        try:
            services = await ask("services_now")
            families = await self._source.known("families")
            self._services.show([_told(row) for row in services.rows])
            self._families.show([_told(row) for row in families.rows])
            await self._decisions.ask()
            await self._pipelines.ask()
            await self._sweeps.ask()
            await self._draw()
            if services.behind and not fresh:
                self._missed = True  # the fleet may have told of it before it was followed
        except EvqError as error:
            self._title.text = str(error)
        finally:
            self._asking = False
        if self._missed:
            self._ask_again()

    async def _draw(self) -> None:
        task = self._address["task"]
        self._graph.set_visibility(bool(task))
        if not task:
            self._title.text = ""
            return
        members = (await self._source.known("family", task=task)).rows
        self._title.text = f"{members[0]['name']} and {len(members) - 1} tasks" if members else ""
        self._graph.options.clear()
        self._graph.options.update(picture(members))
        self._graph.update()

    async def _choose(self, event: GenericEventArguments) -> None:
        self._address.set(task=str(event.args["data"]["task"]))
        await self._draw()

    @staticmethod
    def _open_task(task: str) -> None:
        ui.navigate.to(f"/tasks/{task}")


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the grid shows it, with whole seconds."""
    times = {name: str(row[name])[:19].replace("T", " ") for name in _TIMES if row.get(name)}
    return row | times
