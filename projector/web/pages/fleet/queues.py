"""The queues, a row each: how deep they are, who is next, why it waits and when it starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from nicegui.events import GenericEventArguments

from ...grid import Grid
from . import cells
from .picture import Queue
from .words import WaitingWords

COLUMNS: tuple[dict[str, Any], ...] = (
    {
        "field": "queue",
        "headerName": "Queue",
        "pinned": "left",
        "width": 130,
        ":comparator": cells.NATURAL,
        ":cellRenderer": cells.link("/queues/"),
    },
    {
        "field": "state",
        "headerName": "State",
        "width": 90,
        ":cellRenderer": cells.STATE,
        "tooltipField": "why",
    },
    {"field": "queued", "headerName": "Waiting", "width": 76, "type": "rightAligned"},
    {"field": "busy", "headerName": "Running", "width": 76, "type": "rightAligned"},
    {
        "field": "oldest",
        "headerName": "Oldest",
        "width": 78,
        "type": "rightAligned",
        ":valueFormatter": cells.SINCE,
    },
    {
        "field": "wait",
        "headerName": "Wait",
        "width": 78,
        "type": "rightAligned",
        ":valueFormatter": cells.SPAN,
        "headerTooltip": "how long its last hundred tasks waited, at the median",
    },
    {"field": "workers", "headerName": "Workers", "width": 76, "type": "rightAligned"},
    {
        "field": "next",
        "headerName": "Next",
        "minWidth": 150,
        "flex": 2,
        "tooltipField": "next",
    },
    {
        "field": "reason",
        "headerName": "It waits because",
        "minWidth": 170,
        "flex": 3,
        "tooltipField": "reason",
    },
    {"field": "start", "headerName": "Starts in", "width": 165, "tooltipField": "start"},
    {
        "field": "limit",
        "headerName": "Limit",
        "minWidth": 90,
        "flex": 1,
        "tooltipField": "limit",
    },
)

NARROW = ("queue", "state", "queued", "busy", "next")


class Queues:
    """The grid of queues; `choose` is called with the one that is clicked."""

    def __init__(
        self, queues: Iterable[Queue], words: WaitingWords, choose: Callable[[str], Awaitable[None]]
    ) -> None:
        self._words = words
        self._choose = choose
        rows = [self._row(queue) for queue in queues]
        self.grid = Grid(
            COLUMNS,
            "queue",
            rows,
            most=12,
            empty="no queue is here; the first task makes one",
            narrow=NARROW,
        )
        self.grid.element.classes("evq-queues").on("cellClicked", self._clicked)

    def show(self, queues: Iterable[Queue], *, then: bool = False) -> None:
        """Let these be all. Of what was `then`, nobody knows why it waited."""
        self.grid.show([self._row(queue, then) for queue in queues])

    async def _clicked(self, event: GenericEventArguments) -> None:
        if event.args.get("colId") != "queue":  # which is a link
            await self._choose(event.args["data"]["queue"])

    def _row(self, queue: Queue, then: bool = False) -> dict[str, Any]:
        words = self._words.known("" if then else queue.next_task.partition(" ")[0])
        return {
            "queue": queue.name,
            "state": queue.state,
            "why": queue.why,
            "queued": queue.queued,
            "busy": queue.busy,
            "oldest": None if queue.oldest is None else queue.oldest // 1000,
            "wait": None if queue.wait_median is None else round(queue.wait_median, 1),
            "workers": queue.workers,
            "next": queue.next_task,
            "reason": words.reason,
            "start": words.start,
            "limit": queue.limit,
        }
