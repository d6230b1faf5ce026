"""One queue: its depth over time, who waits in it, who serves it."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from .....core.errors import EvqError
from .....core.sdk.author import now
from .....core.sdk.live import Changes
from .....core.words.phrases import ago, count_of, span
from ...following import follow
from ...source import Source
from .address import Address, add_ranges
from .asking import Snack
from .chart import Line as ChartLine
from .chart import TimeChart, points
from .line import SHOWN, Line
from .orders import QueueOrders
from .picture import Queue
from .present import Present
from .style import COLOURS, SYMBOLS
from .words import WaitingWords
from .workers import Workers


class QueuePage:
    """The blocks of a queue's page."""

    def __init__(
        self,
        source: Source,
        present: Present,
        words: WaitingWords,
        address: Address,
        queue: Queue,
    ) -> None:
        self._source = source
        self._present = present
        self._address = address
        self._name = queue.name
        with ui.row().classes("w-full items-center gap-3"):
            ui.label(queue.name).classes("text-lg font-bold")
            self._state = ui.label().classes("evq-state")
            ui.space()
            self._snack = Snack()
            self._orders = QueueOrders(source, queue, self._snack)
        self._facts = ui.label().classes("evq-dim")
        add_ranges(address, self._load)
        with ui.element("div").classes("evq-charts"):
            self._depth = TimeChart("Tasks")
            self._wait = TimeChart("Longest wait", unit="seconds")
        with ui.element("div").classes("evq-card"):
            ui.label("Waiting").classes("evq-head")
            self._line = Line(source, words, queue.name, present.line(queue.name, SHOWN))
        ui.label("Workers that serve it").classes("evq-head")
        self._workers = Workers(self._serving(), "")
        self._say(queue)

    async def begin(self, version: int) -> None:
        """Ask for what is past, and follow what happens from now on."""
        follow(self._source.fleet, version, self._show)
        await self._load()

    async def _load(self) -> None:
        try:
            answer = await self._source.known(
                "queue_curve", queue=self._name, hours=self._address.hours
            )
        except EvqError as error:
            ui.notify(str(error), type="warning")
            return
        self._show_curves(answer.rows)

    def _show_curves(self, rows: list[dict[str, Any]]) -> None:
        self._depth.show(
            [
                ChartLine(
                    name="waiting",
                    points=points(rows, "queued"),
                    colour=COLOURS["outside"],
                    steps=True,
                ),
                ChartLine(
                    name="running",
                    points=points(rows, "running"),
                    colour=COLOURS["busy"],
                    steps=True,
                ),
            ]
        )
        self._wait.show([ChartLine(name="longest wait", points=points(rows, "longest"))])

    def _show(self, changes: Changes) -> None:
        queue = self._present.queue(self._name)
        if queue is None:
            return
        if changes.everything or self._name in changes.queues:
            self._say(queue)
            self._orders.show(queue)
            self._line.show(self._present.line(self._name, SHOWN))
        self._workers.show(self._serving(), "")

    def _serving(self) -> list[Any]:
        return [one for one in self._present.workers() if self._name in one.queues]

    def _say(self, queue: Queue) -> None:
        self._state.set_text(f"{SYMBOLS.get(queue.state, '·')} {queue.state}  {queue.why}")
        self._state.classes(replace=f"evq-state {queue.state}")
        self._facts.set_text("  ·  ".join(facts(queue)))


def facts(queue: Queue) -> list[str]:
    """What there is to say about a queue in one line."""
    said = [queue.description] if queue.description else []
    said += [f"{queue.queued} waiting", f"{queue.busy} running"]
    if queue.oldest is not None:
        said.append(f"the oldest for {ago(queue.oldest, now())}")
    said.append(f"{count_of(queue.workers, 'worker')} with {count_of(queue.slots, 'slot')}")
    if queue.wait_median is not None:
        said.append(f"tasks waited {span(queue.wait_median)} lately")
    if queue.hold_median is not None:
        said.append(f"and took {span(queue.hold_median)}")
    return [*said, queue.limit] if queue.limit else said
