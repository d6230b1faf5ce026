"""The page of all workers and queues: its blocks, and what keeps them up to date."""

from __future__ import annotations

from itertools import islice

from nicegui import background_tasks, ui

from .....core.errors import EvqError
from .....core.sdk.live import Changes, LiveEvent
from ...following import follow
from ...keys import FIND
from ...source import Source
from .choices import Choices, add_ranges
from .curves import FleetCurves
from .groups import kinds
from .heat_map import HeatCard
from .lately import SHOWN as EVENTS
from .lately import Lately
from .line import SHOWN, Line
from .picture import Picture, Totals, shown, totals
from .present import Present
from .queues import Queues
from .slider import TimeSlider
from .tiles import FILTERS, Tiles
from .travel import travel
from .words import WaitingWords
from .workers import Workers

HEAT_SECONDS = 5.0


class Overview:
    """The blocks of one open page, drawn of one picture: of now, or of the moment looked back at.

    `chosen` says what its user has chosen.
    """

    def __init__(
        self, source: Source, present: Present, words: WaitingWords, chosen: Choices
    ) -> None:
        self._source = source
        self._present = present
        self._words = words
        self._chosen = chosen
        self._line: Line | None = None
        self._asking = False
        if chosen.show not in FILTERS:
            chosen.show = ""
        self._picture = present.picture(chosen.queue, SHOWN)
        self._tiles = Tiles(_totals(self._picture), chosen.show, self._filter)
        add_ranges(chosen, self._load_curves)
        self._curves = FleetCurves(source)
        self._slider = TimeSlider(chosen.hours, chosen.at, self._travel)
        self._heat = HeatCard(self._picture.workers, chosen.heat, self._measure)
        self._add_workers()
        ui.label("Queues").classes("evq-head")
        self._queues = Queues(self._picture.queues, words, self._choose_queue)
        self._place_of_line = ui.element("div").classes("w-full")
        self._lately = Lately(self._events())
        self._open_line()
        self._lately.card.set_visibility(chosen.at is None)

    async def begin(self, version: int) -> None:
        """Ask for what is past, and follow what happens from now on."""
        follow(self._source.fleet, version, self._show)
        ui.timer(HEAT_SECONDS, self._heat_up)
        if self._chosen.at is not None:
            await self._travel(self._chosen.at)
        await self._curves.load(self._chosen.hours)
        await self._load_day()
        await self._find_words()

    # --- its blocks ---------------------------------------------------------------------------

    def _add_workers(self) -> None:
        with ui.row().classes("w-full items-center gap-2"):
            ui.label("Workers").classes("evq-head")
            ui.space()
            known = kinds(self._picture.workers)
            if self._chosen.group not in known:
                self._chosen.group = ""
            group = ui.select(known, value=self._chosen.group).props(
                "dense outlined options-dense aria-label='group workers'"
            )
            group.on_value_change(lambda event: self._group(event.value)).classes("evq-grouping")
            search = ui.input(placeholder="filter  ( / )", value=self._chosen.words)
            search.props("dense clearable outlined debounce=200 aria-label=filter")
            search.classes(f"w-64 max-w-full {FIND}")
            search.on_value_change(lambda event: self._look_for(event.value))
        chosen = self._chosen
        self._workers = Workers(
            self._picture.workers, chosen.show, words=chosen.words, group=chosen.group
        )

    def _open_line(self) -> None:
        queue = self._chosen.queue
        self._place_of_line.clear()
        self._line = None
        if queue not in (one.name for one in self._picture.queues):
            return
        with self._place_of_line, ui.element("div").classes("evq-card"):
            with ui.row().classes("w-full items-center gap-2"):
                ui.label(f"Waiting in {queue}").classes("evq-head")
                ui.link("all about it", f"/queues/{queue}").classes("evq-link text-xs")
            waiting = self._present.line(queue, SHOWN)
            self._line = Line(self._source, self._words, queue, waiting, self._show_queues)

    # --- what its user chooses ----------------------------------------------------------------

    def _filter(self, key: str) -> None:
        self._chosen.show = key
        self._chosen.write()
        self._workers.show(self._picture.workers, key)

    def _look_for(self, words: str | None) -> None:
        self._chosen.words = words or ""
        self._chosen.write()
        self._workers.search(self._chosen.words)

    def _group(self, by: str) -> None:
        self._chosen.group = by
        self._chosen.write()
        self._workers.group(by)

    async def _choose_queue(self, queue: str) -> None:
        self._chosen.queue = "" if queue == self._chosen.queue else queue
        self._open_line()
        await self._travel(self._chosen.at)

    def _measure(self, measure: str) -> None:
        self._chosen.heat = measure
        self._chosen.write()

    async def _travel(self, at: int | None) -> None:
        """Show all as it was at a moment, in microseconds since 1970, or as it is now."""
        client, chosen = self._source.client, self._chosen
        then = await travel(client, chosen, self._slider, at, chosen.queue, SHOWN)
        self._picture = then or self._present.picture(chosen.queue, SHOWN)
        at = chosen.at
        self._curves.mark(at)
        self._lately.card.set_visibility(at is None)
        self._draw()

    # --- what is to be seen -------------------------------------------------------------------

    async def _load_curves(self) -> None:
        self._slider.stretch(self._chosen.hours, self._chosen.at)
        await self._curves.load(self._chosen.hours)

    async def _load_day(self) -> None:
        try:
            answer = await self._source.known("fleet_ends")
        except EvqError:
            return  # the curves have said that nobody answers
        self._tiles.say_day(answer.rows[0])

    def _draw(self) -> None:
        """Draw all blocks of the picture."""
        at, picture = self._chosen.at, self._picture
        self._tiles.show(_totals(picture))
        self._workers.show(picture.workers, self._chosen.show)
        self._heat.show(picture.workers)
        self._show_queues()
        self._queues.grid.clock(at)
        if self._line:
            self._line.show(picture.line, then=at is not None)
            self._line.grid.clock(at)
            self._line.lock(at is not None)

    def _show_queues(self) -> None:
        self._queues.show(self._picture.queues, then=self._chosen.at is not None)

    def _show(self, changes: Changes) -> None:
        """Draw what has changed; while its user looks back, nothing has."""
        self._lately.show(self._events())
        if self._chosen.at is not None:
            return
        self._picture = picture = self._present.picture(self._chosen.queue, SHOWN)
        self._tiles.show(_totals(picture))
        self._show_workers(changes)
        if changes.everything or changes.queues or changes.tasks:
            self._show_queues()
            self._ask_words()
        if self._line and (changes.everything or self._line.queue in changes.queues):
            self._line.show(picture.line)

    def _show_workers(self, changes: Changes) -> None:
        if changes.everything:
            self._workers.show(self._picture.workers, self._chosen.show)
            return
        # What waits in a queue is part of what its workers will do.
        self._workers.patch(
            [
                one
                for one in self._picture.workers
                if one.name in changes.agents or not changes.queues.isdisjoint(one.queues)
            ]
        )

    def _heat_up(self) -> None:
        if self._chosen.at is None:
            self._heat.show(self._picture.workers)

    # --- why queues wait ----------------------------------------------------------------------

    def _ask_words(self) -> None:
        if not self._asking:
            self._asking = True
            background_tasks.create(self._find_words(), name="why queues wait")

    async def _find_words(self) -> None:
        """Find out why the first of each queue waits."""
        try:
            heads = [queue.next_task.partition(" ")[0] for queue in self._present.queues()]
            changed = await self._words.find((task, 1) for task in heads if task)
        finally:
            self._asking = False
        if changed and not self._queues.grid.element.is_deleted:
            self._show_queues()

    def _events(self) -> list[LiveEvent]:
        return list(islice(self._source.fleet.recent_events, EVENTS))


def _totals(picture: Picture) -> Totals:
    return totals((one for one in picture.workers if shown(one)), picture.queues)
