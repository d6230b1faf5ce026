"""The page of all workers and queues: its blocks, and what keeps them up to date."""

from __future__ import annotations

from itertools import islice

from nicegui import background_tasks, ui

from .....core.errors import EvqError
from .....core.sdk.live import Changes, LiveEvent
from ...following import follow
from ...keys import FIND
from ...source import Source
from .address import Address, add_ranges
from .curves import FleetCurves
from .heat_map import DEFAULT, MEASURES, HeatMap
from .lately import SHOWN as EVENTS
from .lately import Lately
from .line import SHOWN, Line
from .picture import Totals, Worker, shown, totals
from .present import Present
from .queues import Queues
from .style import TOGGLE
from .tiles import FILTERS, Tiles
from .words import WaitingWords
from .workers import Workers

HEAT_SECONDS = 5.0


class Overview:
    """The blocks of one open page. `address` says what its user has chosen."""

    def __init__(
        self, source: Source, present: Present, words: WaitingWords, address: Address
    ) -> None:
        self._source = source
        self._present = present
        self._words = words
        self._address = address
        self._line: Line | None = None
        self._asking = False
        if address.show not in FILTERS:
            address.show = ""
        workers = present.workers()
        self._tiles = Tiles(self._totals(workers), address.show, self._filter)
        add_ranges(address, lambda: self._curves.load(address.hours))
        self._curves = FleetCurves(source)
        self._add_heat_map(workers)
        self._add_workers(workers)
        self._add_queues()
        self._lately = Lately(self._events())
        self._open_line(address.queue)

    async def begin(self, version: int) -> None:
        """Ask for what is past, and follow what happens from now on."""
        follow(self._source.fleet, version, self._show)
        ui.timer(HEAT_SECONDS, self._heat_up)
        await self._curves.load(self._address.hours)
        await self._load_day()
        await self._find_words()

    async def _load_day(self) -> None:
        try:
            answer = await self._source.named("fleet_ends")
        except EvqError:
            return  # the curves have said that nobody answers
        self._tiles.say_day(answer.rows[0])

    # --- its blocks ---------------------------------------------------------------------------

    def _add_heat_map(self, workers: list[Worker]) -> None:
        with ui.element("div").classes("evq-card") as card:
            with ui.row().classes("w-full items-center gap-3"):
                ui.label("GPUs by worker").classes("evq-head")
                ui.label("◆ outside use  ◌ drained  ✕ offline").classes("evq-dim")
                ui.space()
                names = {key: measure[0] for key, measure in MEASURES.items()}
                chosen = self._address.heat if self._address.heat in names else DEFAULT
                toggle = ui.toggle(names, value=chosen, on_change=lambda e: self._measure(e.value))
                toggle.props(TOGGLE)
            self._heat = HeatMap(workers, chosen)
        self._heat_card = card
        self._show_heat(workers)

    def _add_workers(self, workers: list[Worker]) -> None:
        with ui.row().classes("w-full items-center gap-2"):
            ui.label("Workers").classes("evq-head")
            ui.space()
            self._search = ui.input(placeholder="filter  ( / )", value=self._address.words)
            self._search.props("dense clearable outlined debounce=200").classes(
                f"w-64 max-w-full {FIND}"
            )
            self._search.classes("evq-filter").on_value_change(
                lambda event: self._look_for(event.value)
            )
        self._workers = Workers(workers, self._address.show)
        if self._address.words:
            self._workers.grid.search(self._address.words)

    def _add_queues(self) -> None:
        ui.label("Queues").classes("evq-head")
        self._queues = Queues(self._present.queues(), self._words, self._choose_queue)
        self._place_of_line = ui.element("div").classes("w-full")

    def _open_line(self, queue: str) -> None:
        known = self._present.queue(queue) if queue else None
        self._place_of_line.clear()
        self._line = None
        if known is None:
            return
        with self._place_of_line, ui.element("div").classes("evq-card"):
            with ui.row().classes("w-full items-center gap-2"):
                ui.label(f"Waiting in {queue}").classes("evq-head")
                ui.link("all about it", f"/queues/{queue}").classes("evq-link text-xs")
            waiting = self._present.line(queue, SHOWN)
            self._line = Line(self._source, self._words, queue, waiting, self._show_queues)

    # --- what its user chooses ----------------------------------------------------------------

    def _filter(self, key: str) -> None:
        self._address.show = key
        self._address.write()
        self._workers.show(self._present.workers(), key)

    def _look_for(self, words: str | None) -> None:
        self._address.words = words or ""
        self._address.write()
        self._workers.grid.search(self._address.words)

    def _choose_queue(self, queue: str) -> None:
        self._address.queue = "" if queue == self._address.queue else queue
        self._address.write()
        self._open_line(self._address.queue)

    def _measure(self, measure: str) -> None:
        self._address.heat = "" if measure == DEFAULT else measure
        self._address.write()
        self._heat.measure(measure, self._present.workers())

    # --- what happens -------------------------------------------------------------------------

    def _show(self, changes: Changes) -> None:
        if changes.everything or changes.agents or changes.queues or changes.tasks:
            workers = self._present.workers()
            self._tiles.show(self._totals(workers))
            self._show_workers(workers, changes)
        if changes.everything or changes.queues or changes.tasks:
            self._show_queues()
            self._show_line(changes)
            self._ask_words()
        self._lately.show(self._events())

    def _show_workers(self, workers: list[Worker], changes: Changes) -> None:
        if changes.everything:
            self._workers.show(workers, self._address.show)
        else:
            # What waits in a queue is part of what its workers will do.
            self._workers.patch(
                [
                    one
                    for one in workers
                    if one.name in changes.agents or not changes.queues.isdisjoint(one.queues)
                ]
            )

    def _show_line(self, changes: Changes) -> None:
        if self._line and (changes.everything or self._line.queue in changes.queues):
            self._line.show(self._present.line(self._line.queue, SHOWN))

    def _show_queues(self) -> None:
        self._queues.show(self._present.queues())

    def _heat_up(self) -> None:
        workers = self._present.workers()
        self._show_heat(workers)
        self._heat.show(workers)

    def _show_heat(self, workers: list[Worker]) -> None:
        self._heat_card.set_visibility(any(one.gpus for one in workers))

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

    def _totals(self, workers: list[Worker]) -> Totals:
        return totals((one for one in workers if shown(one)), self._present.queues())

    def _events(self) -> list[LiveEvent]:
        return list(islice(self._source.fleet.recent_events, EVENTS))
