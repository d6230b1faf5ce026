"""`evq top` on the terminal: tabs over one live fleet, pages below them, actions that ask first."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

import msgspec
from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from ...core.bus.requests import ApiError
from ...core.errors import EvqError, report
from ...core.ports import BusAway
from ...core.sdk.live import LiveAgent, LiveFleet, LiveQueue, LiveTask
from . import acting
from .acting import Action
from .dialogs import Confirm, Reading
from .help import HELP
from .log import LogPage
from .pages import Page, QueuePage, TaskPage, WorkerPage, why_lines
from .summary import summary
from .table import FleetTable
from .tabs import TABS, Gpu
from .text import colored_lines

if TYPE_CHECKING:
    from ...core.sdk.client import Client

REST = 0.25
"""Seconds between two drawings at least: nobody reads faster, and ssh is slow."""

SHARE = 8
"""A drawing that took long is followed by a rest of so many times that."""


FITTING = {
    "log": ("tasks", "events"),
    "why": ("tasks", "events"),
    "abort": ("tasks",),
    "retry": ("tasks",),
    "move": ("tasks",),
    "drain": ("workers", "gpus"),
    "resume": ("workers", "gpus"),
    "pause": ("queues",),
}
"""The tables in which an action makes sense."""


class Tables(Page):
    """The first page: the five tables."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *[
            Binding(str(number), f"tab('{tab.name}')", tab.title, show=False)
            for number, tab in enumerate(TABS, 1)
        ],
        Binding("escape", "unfilter", "All rows", show=False),
        ("slash", "filter", "Filter"),
        ("s", "sort", "Sort"),
        Binding("S", "reverse", "Reverse", show=False),
        ("l", "app.log", "Log"),
        ("w", "app.why", "Why"),
        ("a", "app.abort", "Abort"),
        ("r", "app.retry", "Retry"),
        ("m", "app.move", "Move"),
        ("d", "app.drain", "Drain"),
        ("u", "app.resume", "Resume"),
        ("p", "app.pause", "Pause"),
    ]

    def compose(self) -> ComposeResult:
        yield Static(classes="summary", id="summary")
        with TabbedContent(initial="workers"):
            for tab in TABS:
                with TabPane(tab.title, id=tab.name):
                    yield FleetTable(tab)
        yield Input(
            placeholder="filter: words that a row must have", compact=True, classes="filter"
        )
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self.table.focus()
        super().on_mount()

    @property
    def table(self) -> FleetTable:
        """The table that is seen."""
        return self.query_one(f"#table-{self.query_one(TabbedContent).active}", FleetTable)

    def show(self) -> None:
        self.table.show(self.fleet)

    @on(TabbedContent.TabActivated)
    def _turned(self) -> None:
        self.table.focus()
        self.show()
        self.app.refresh_bindings()

    @on(DataTable.RowSelected)
    def _open(self) -> None:
        match self.table.selected:
            case LiveAgent(name=name):
                self.top.push_screen(WorkerPage(name))
            case Gpu(agent=agent):
                self.top.push_screen(WorkerPage(agent.name))
            case LiveQueue(name=name):
                self.top.push_screen(QueuePage(name))
            case LiveTask(id=id):
                self.top.open_task(id)
            case other:
                if task := getattr(other, "task", None):
                    self.top.open_task(task)

    def action_tab(self, name: str) -> None:
        """Show another table."""
        self.query_one(TabbedContent).active = name
        self._turned()

    def action_filter(self) -> None:
        """Type the words that a row must have."""
        field = self.query_one(Input)
        field.value = self.table.choice.filter
        field.display = True
        field.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._choose(filter=event.value)

    @on(Input.Submitted)
    def _done(self) -> None:
        self.query_one(Input).display = False
        self.table.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self._choose(filter="")
        self._done()

    def _choose(self, filter: str) -> None:
        self.table.set_choice(msgspec.structs.replace(self.table.choice, filter=filter))
        self.show()

    def action_sort(self) -> None:
        """Sort by the next column."""
        table = self.table
        table.set_choice(table.choice.sorted_by_next(table.tab))
        self.show()

    def action_reverse(self) -> None:
        """The other way round."""
        choice = self.table.choice
        self.table.set_choice(msgspec.structs.replace(choice, reverse=not choice.reverse))
        self.show()


class Top(App[None]):
    """The app: one connection, one live fleet, and whatever page is open."""

    CSS_PATH = "top.tcss"
    TITLE = "evq top"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: Client, fleet: LiveFleet, *, read_only: bool) -> None:
        super().__init__()
        self.client = client
        self.fleet = fleet
        self.read_only = read_only
        self.failed: BaseException | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what makes sense for the rows that are seen."""
        page = self._page
        if not isinstance(page, Tables) or action not in FITTING:
            return True
        return page.table.tab.name in FITTING[action]

    def on_mount(self) -> None:
        """Open the tables, and follow."""
        self.push_screen(Tables())
        self.run_worker(self._follow(), exclusive=True, group="fleet")
        self.set_interval(1.0, self.draw)

    def _handle_exception(self, error: Exception) -> None:
        """Leave the terminal as it was, and let the verb say what went wrong."""
        self.failed = self.failed or error
        self.exit()

    async def _follow(self) -> None:
        seen = 0
        while True:
            seen = (await self.fleet.changed(seen, rest=0.0)).version
            began = time.monotonic()
            self.draw()
            await asyncio.sleep(max(REST, SHARE * (time.monotonic() - began)))

    def draw(self) -> None:
        """Draw what has changed on the page that is seen."""
        page = self._page
        if page is None or not page.is_mounted:
            return
        for head in page.query("#summary"):
            if isinstance(head, Static):
                head.update(summary(self.fleet, self.size.width, read_only=self.read_only))
        page.show()

    @property
    def _page(self) -> Page | None:
        """The page that is seen, also from behind a question."""
        return next((one for one in reversed(self.screen_stack) if isinstance(one, Page)), None)

    # --- pages --------------------------------------------------------------------------------

    def open_task(self, id: str) -> None:
        """Open a task's page."""
        self.push_screen(TaskPage(id))

    def action_help(self) -> None:
        """What the keys do."""
        self.push_screen(Reading("evq top", Text(HELP)))

    def action_log(self) -> None:
        """Follow the log of the task that is meant."""
        if task := self._meant():
            self.push_screen(LogPage(task.id, task.name))

    def action_why(self) -> None:
        """Say why the task that is meant is in its state."""
        if task := self._meant():
            self.run_worker(self._why(task), exclusive=True, group="why")

    async def _why(self, task: LiveTask) -> None:
        try:
            text = colored_lines(await why_lines(self, task.id))
        except (EvqError, BusAway) as error:
            self._say_error(error)
            return
        self.push_screen(Reading(f"why task {task.id} is {task.state}", text))

    def _selected(self) -> object | None:
        page = self._page
        if isinstance(page, Tables):
            return page.table.selected
        return None

    def _meant(self) -> LiveTask | None:
        page = self._page
        found = getattr(page, "meant", None) or self._selected()
        if not isinstance(found, LiveTask) and (name := getattr(found, "task", None)):
            found = self.fleet.tasks.get(name)
        return found if isinstance(found, LiveTask) else None

    def _agent(self) -> LiveAgent | None:
        page = self._page
        found = page.agent if isinstance(page, WorkerPage) else self._selected()
        found = found.agent if isinstance(found, Gpu) else found
        return found if isinstance(found, LiveAgent) else None

    def _queue(self) -> LiveQueue | None:
        page = self._page
        found = page.queue if isinstance(page, QueuePage) else self._selected()
        return found if isinstance(found, LiveQueue) else None

    # --- actions ------------------------------------------------------------------------------

    def action_abort(self) -> None:
        """End a task."""
        if task := self._meant():
            self.ask(acting.abort(task))

    def action_retry(self) -> None:
        """Run a task again."""
        if task := self._meant():
            self.ask(acting.retry(task))

    def action_move(self) -> None:
        """Let a task stand elsewhere."""
        if task := self._meant():
            self.ask(acting.move(task))

    def action_drain(self) -> None:
        """Let a worker take nothing more."""
        if agent := self._agent():
            self.ask(acting.drain(agent))

    def action_resume(self) -> None:
        """Let a worker take tasks again."""
        if agent := self._agent():
            self.ask(acting.resume(agent))

    def action_pause(self) -> None:
        """Pause a queue, or let it go on."""
        if queue := self._queue():
            self.ask(acting.pause_or_resume(queue))

    def ask(self, action: Action) -> None:
        """Do something once it is confirmed."""
        if self.read_only:
            text = f"{action.title}: not done, evq top runs with --read-only"
            self.notify(text, severity="warning", markup=False)
            return

        def answered(answer: tuple[str, str] | None) -> None:
            if answer:
                self.run_worker(self._do(action, *answer))

        self.push_screen(Confirm(action), answered)

    async def _do(self, action: Action, reason: str, asked: str) -> None:
        try:
            self.notify(await action.do(self.client, reason, asked), markup=False)
        except (EvqError, BusAway, ApiError) as error:
            self._say_error(error)

    def _say_error(self, error: Exception) -> None:
        text = report(error) if isinstance(error, EvqError) else str(error)
        self.notify(text, severity="error", timeout=10, markup=False)


async def run(client: Client, fleet: LiveFleet, *, read_only: bool) -> None:
    """Show the fleet until somebody quits."""
    top = Top(client, fleet, read_only=read_only)
    await top.run_async()
    if top.failed:
        raise top.failed
