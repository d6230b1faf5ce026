"""Who waits in a queue, in their order, which is changed by dragging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import background_tasks, ui
from nicegui.events import GenericEventArguments

from .....core.sdk.bulk import end_each, raise_first
from .....core.sdk.moving import Back, Before, End, Front, Step, Where
from ...acting import actor_client, may
from ...asking import Snack, ask_reason, attempt
from ...grid import Grid
from ...source import Source
from . import cells
from .moves import move
from .picture import Waiting
from .words import WaitingWords

SHOWN = 50
EXPLAINED = 10
"""Tasks in front whose reasons and starts are found out."""

COLUMNS: tuple[dict[str, Any], ...] = (
    {
        "field": "place",
        "headerName": "#",
        "width": 74,
        "pinned": "left",
        "rowDrag": True,
        ":rowDragText": "(p) => p.rowNode.data.task + ' ' + p.rowNode.data.name",
    },
    {
        "field": "task",
        "headerName": "Task",
        "width": 128,
        ":cellRenderer": cells.link("/tasks/"),
    },
    {"field": "name", "headerName": "Name", "minWidth": 110, "flex": 2, "tooltipField": "name"},
    {"field": "user", "headerName": "User", "width": 90, "tooltipField": "user"},
    {"field": "priority", "headerName": "Prio", "width": 58, "type": "rightAligned"},
    {"field": "asks", "headerName": "Asks for", "width": 130, "tooltipField": "asks"},
    {
        "field": "since",
        "headerName": "Waiting",
        "width": 86,
        "type": "rightAligned",
        ":valueFormatter": cells.SINCE,
    },
    {
        "field": "reason",
        "headerName": "Because",
        "minWidth": 160,
        "flex": 3,
        "tooltipField": "reason",
    },
    {"field": "start", "headerName": "Starts in", "width": 165, "tooltipField": "start"},
)

NARROW = ("place", "task", "name", "since")

_DROPPED = """(e) => {
    const next = e.api.getDisplayedRowAtIndex(e.node.rowIndex + 1);
    emitEvent('line_dropped', {task: e.node.data.task, before: next ? next.data.task : null});
}"""

_HELD = "(e) => emitEvent('line_held', true)"
_LEFT = "(e) => emitEvent('line_held', false)"


class Line:
    """The first tasks of a queue. While one is dragged, what others do is not shown."""

    def __init__(
        self,
        source: Source,
        words: WaitingWords,
        queue: str,
        waiting: Sequence[Waiting],
        found: Callable[[], None] | None = None,
    ) -> None:
        """`found` is called when there are other words about those who wait."""
        self.queue = queue
        self._source = source
        self._words = words
        self._found = found
        self._waiting = list(waiting)
        self._held = False
        self._then = False
        self._asking = False
        self._tools = ui.row().classes("items-center gap-1")
        self._may = may(source)
        with self._tools:
            self._add_tools()
        self._tools.set_visibility(self._may)
        self.grid = Grid(
            COLUMNS,
            "task",
            self._rows(),
            most=14,
            empty="nothing waits here",
            narrow=NARROW,
            options={
                "rowDragManaged": True,
                "suppressRowDrag": not self._may,
                "rowDragMultiRow": True,
                "rowSelection": {
                    "mode": "multiRow",
                    "enableClickSelection": True,
                    "checkboxes": False,
                    "headerCheckbox": False,
                },
                ":onRowDragEnd": _DROPPED,
                ":onRowDragEnter": _HELD,
                ":onRowDragCancel": _LEFT,
                "defaultColDef": {"sortable": False, "resizable": True, "suppressMovable": True},
            },
        )
        self.grid.element.classes("evq-line")
        self._snack = Snack()
        ui.on("line_dropped", self._dropped)
        ui.on("line_held", self._hold)
        self._explain()

    def show(self, waiting: Sequence[Waiting], *, then: bool = False) -> None:
        """Let these be the first who wait. Of what was `then`, nobody knows why it waited."""
        self._waiting = list(waiting)
        self._then = then
        if not self._held:
            self.grid.order(self._rows())
        if not then:
            self._explain()

    def lock(self, locked: bool) -> None:
        """Let nobody change it, as one cannot change the past."""
        locked = locked or not self._may
        self._tools.set_visibility(not locked)
        self.grid.element.run_grid_method("setGridOption", "suppressRowDrag", locked)

    def _rows(self) -> list[dict[str, Any]]:
        return [self._row(one) for one in self._waiting]

    def _row(self, one: Waiting) -> dict[str, Any]:
        words = self._words.known("" if self._then else one.task)
        return {
            "place": one.place,
            "task": one.task,
            "name": one.name,
            "user": one.user,
            "priority": one.priority,
            "asks": one.asks,
            "since": None if one.since is None else one.since // 1000,
            "reason": words.reason,
            "start": words.start,
        }

    # --- why they wait ------------------------------------------------------------------------

    def _explain(self) -> None:
        if not self._asking and self._waiting:
            self._asking = True
            background_tasks.create(self._find_words(), name="why tasks wait")

    async def _find_words(self) -> None:
        try:
            front = [(one.task, one.place) for one in self._waiting[:EXPLAINED]]
            changed = await self._words.find(front)
        finally:
            self._asking = False
        if not changed or self._closed:
            return
        if not self._held:
            self.grid.order(self._rows())
        if self._found:
            self._found()

    # --- moving -------------------------------------------------------------------------------

    def _add_tools(self) -> None:
        for icon, tip, where in (
            ("vertical_align_top", "to the front", Front()),
            ("arrow_upward", "one up", Step(-1)),
            ("arrow_downward", "one down", Step(1)),
            ("vertical_align_bottom", "to the back", Back()),
        ):
            self._tool(icon, tip, where)
        with ui.button(icon="drive_file_move").props("flat dense round size=sm") as button:
            button.props("aria-label='to another queue'")
            ui.tooltip("to another queue")
            with ui.menu() as menu:
                self._menu = menu
            menu.on("before-show", self._fill_menu)
        dequeue = ui.button(icon="playlist_remove", on_click=self._ask_dequeue)
        dequeue.props("flat dense round size=sm aria-label='out of the queue'")
        dequeue.tooltip("out of the queue")
        ui.label("drag ⠿, or select rows").classes("evq-dim")

    def _tool(self, icon: str, tip: str, where: Where) -> None:
        async def act() -> None:
            await self._move_selected(where)

        button = ui.button(icon=icon, on_click=act)
        button.props(f"flat dense round size=sm aria-label='{tip}'").tooltip(tip)

    def _fill_menu(self) -> None:
        self._menu.clear()
        with self._menu:
            for name in sorted(self._source.fleet.queues):
                if name != self.queue:
                    self._add_goal(name)

    def _add_goal(self, name: str) -> None:
        async def act() -> None:
            await self._move_selected(End(), name)

        ui.menu_item(name, act)

    async def _move_selected(self, where: Where, queue: str | None = None) -> None:
        tasks = [row["task"] for row in await self.grid.selected()]
        if not tasks:
            ui.notify("select the tasks first: click on their rows", type="info")
            return
        order = [one.task for one in self._waiting]
        await self._move([task for task in order if task in tasks], where, queue)

    async def _move(self, tasks: Sequence[str], where: Where, queue: str | None = None) -> None:
        async def act() -> None:
            moved = await move(actor_client(self._source), tasks, where, queue)
            self._snack.say(moved.text, moved.undo)

        if not await attempt(act):
            self.grid.order(self._rows())

    @property
    def _closed(self) -> bool:
        """Whether another line has taken its place, which hears of what is dropped now."""
        return bool(self.grid.element.is_deleted)

    def _hold(self, event: GenericEventArguments) -> None:
        if self._closed:
            return
        self._held = bool(event.args)
        if not self._held:
            self.grid.order(self._rows())

    async def _dropped(self, event: GenericEventArguments) -> None:
        task, before = str(event.args["task"]), event.args["before"]
        self._held = False
        known = [one.task for one in self._waiting]
        if self._closed or task not in known:
            return
        self.grid.forget_order()
        if before is None and (rest := self._source.fleet.line(self.queue, 1, len(known))):
            before = rest[0].id
        await self._move([task], Before(before) if before else Back())

    def _ask_dequeue(self) -> None:
        async def selected() -> None:
            rows = await self.grid.selected()
            if not rows:
                ui.notify("select the tasks first: click on their rows", type="info")
                return
            tasks = [row["task"] for row in rows]
            title = f"Take {', '.join(tasks[:3])}{' …' if len(tasks) > 3 else ''} out of the queue?"
            ask_reason(title, "Dequeue", lambda reason: self._dequeue(tasks, reason))

        background_tasks.create(selected(), name="which tasks to dequeue")

    async def _dequeue(self, tasks: Sequence[str], reason: str) -> None:
        async def act() -> None:
            client = actor_client(self._source)
            why = reason or "the dashboard"
            raise_first(await end_each(client, tasks, lambda task: client.dequeue(task, why)))
            self._snack.say(f"out of the queue: {', '.join(tasks[:3])}")

        await attempt(act)
