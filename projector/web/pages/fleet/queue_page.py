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
from ...style import COLOURS
from .chart import Line as ChartLine
from .chart import TimeChart, points
from .choices import Choices, add_ranges
from .head import Head
from .line import SHOWN, Line
from .orders import QueueOrders
from .picture import Picture, Queue, Worker
from .present import Present
from .slider import TimeSlider
from .travel import travel
from .words import WaitingWords
from .workers import Workers


class QueuePage:
    """The blocks of a queue's page."""

    def __init__(
        self,
        source: Source,
        present: Present,
        words: WaitingWords,
        chosen: Choices,
        queue: Queue,
    ) -> None:
        self._source = source
        self._present = present
        self._chosen = chosen
        self._name = queue.name
        self._head = Head(queue.name, lambda snack: QueueOrders(source, queue, snack))
        add_ranges(chosen, self._load_range)
        self._slider = TimeSlider(chosen.hours, chosen.at, self._travel)
        with ui.element("div").classes("evq-charts"):
            self._depth = TimeChart("Tasks")
            self._wait = TimeChart("Longest wait", unit="seconds")
        with ui.element("div").classes("evq-card"):
            ui.label("Waiting").classes("evq-head")
            self._line = Line(source, words, queue.name, present.line(queue.name, SHOWN))
        ui.label("Workers that serve it").classes("evq-head")
        self._workers = Workers(self._serving(present.workers()), "")
        self._say(queue)

    async def begin(self, version: int) -> None:
        """Ask for what is past, and follow what happens from now on."""
        follow(self._source.fleet, version, self._show)
        if self._chosen.at is not None:
            await self._travel(self._chosen.at)
        await self._load()

    async def _load_range(self) -> None:
        self._slider.stretch(self._chosen.hours, self._chosen.at)
        await self._load()

    async def _load(self) -> None:
        try:
            answer = await self._source.known(
                "queue_curve", queue=self._name, hours=self._chosen.hours
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

    async def _travel(self, at: int | None) -> None:
        """Show it as it was at a moment, in microseconds since 1970, or as it is now."""
        client, chosen = self._source.client, self._chosen
        then = await travel(client, chosen, self._slider, at, self._name, SHOWN)
        at = chosen.at
        for chart in (self._depth, self._wait):
            chart.mark(at)
        self._line.grid.clock(at)
        self._line.lock(at is not None)
        self._draw(then or self._present.picture(self._name, SHOWN))

    def _show(self, changes: Changes) -> None:
        """Draw what has changed; while its user looks back, nothing has."""
        if self._chosen.at is not None:
            return
        if changes.everything or self._name in changes.queues:
            self._draw(self._present.picture(self._name, SHOWN))
        else:
            self._workers.show(self._serving(self._present.workers()), "")

    def _draw(self, picture: Picture) -> None:
        at = self._chosen.at
        queue = next((one for one in picture.queues if one.name == self._name), None)
        queue = queue or Queue(name=self._name, state="deleted")
        self._say(queue)
        self._head.orders.show(queue, locked=at is not None)
        self._line.show(picture.line, then=at is not None)
        self._workers.show(self._serving(picture.workers), "")

    def _serving(self, workers: list[Worker]) -> list[Worker]:
        return [one for one in workers if self._name in one.queues]

    def _say(self, queue: Queue) -> None:
        self._head.say(queue.state, queue.why, facts(queue, self._chosen.at or now()))


def facts(queue: Queue, at: int) -> list[str]:
    """What there is to say about a queue in one line, as of `at` (microseconds)."""
    said = [queue.description] if queue.description else []
    said += [f"{queue.queued} waiting", f"{queue.busy} running"]
    if queue.oldest is not None:
        said.append(f"the oldest for {ago(queue.oldest, at)}")
    said.append(f"{count_of(queue.workers, 'worker')} with {count_of(queue.slots, 'slot')}")
    if queue.wait_median is not None:
        said.append(f"tasks waited {span(queue.wait_median)} lately")
    if queue.hold_median is not None:
        said.append(f"and took {span(queue.hold_median)}")
    return [*said, queue.limit] if queue.limit else said
