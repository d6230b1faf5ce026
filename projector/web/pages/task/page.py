"""The task's page: all of its blocks, kept up to date."""

from __future__ import annotations

from nicegui import background_tasks, ui

from .....core.errors import EvqError
from .....core.events import Progress, Telemetry
from .....core.state import Attempt, Ended, Task
from .....core.words.remedy import failed
from ...address import Address
from ...opening import opened, while_open
from ...source import Source
from . import artifacts, code, command, facts, failure, family
from .curves import CurvesPanel
from .header import Header
from .log import LogPanel
from .story import Story

TABS = (
    *("log", "curves", "parameters", "artifacts", "code", "packages", "attempts", "events"),
    "commands",
)
LAST_LINES = 8


class TaskPage:
    """Made when the page is opened; `open` fills it and keeps it up to date."""

    def __init__(self, source: Source, story: Story, address: Address) -> None:
        self._source = source
        self._story = story
        self._address = address
        self._client = ui.context.client
        self._filled: set[str] = set()
        self._follows = False

    async def open(self) -> None:
        """Show the task, then follow it for as long as somebody looks at it."""
        story = self._story
        self._header = Header(self._source, story.task)
        self._failure = ui.column().classes("w-full")
        first = self._address["tab"] or TABS[0]
        with ui.tabs(on_change=self._turn).props("dense no-caps align=left") as tabs:
            for name in TABS:
                ui.tab(name).classes(f"evq-tab-{name}")
        tabs.classes("w-full")
        with ui.tab_panels(tabs, value=first, animated=False, keep_alive=True).classes(
            "w-full bg-transparent"
        ) as self._panels:
            self._places = {}
            for name in TABS:
                with ui.tab_panel(name).classes("p-0 gap-2") as place:
                    self._places[name] = place
                    if name == "log":
                        self._log = LogPanel(self._source, story, self._address)
                    elif name == "curves":
                        self._curves = CurvesPanel(self._source, story, self._address)
        if not await opened():
            return
        story.changed.append(self._change)
        story.heard.append(self._hear)
        while_open(self._follow(), f"follow {story.task.id}")
        await self._fill(first)
        await self._explain(story.task)

    async def _follow(self) -> None:
        self._follows = True
        with self._client:
            await self._story.follow()

    # --- tabs -----------------------------------------------------------------------------------

    async def _turn(self) -> None:
        name = str(self._panels.value)
        self._address.set(tab="" if name == TABS[0] else name)
        await self._fill(name)

    async def _fill(self, name: str) -> None:
        """Fill a tab when it is looked at for the first time."""
        if name in self._filled:
            return
        self._filled.add(name)
        task, place = self._story.task, self._places[name]
        if name == "log":
            await self._log.load(fresh=self._follows)
        elif name == "curves":
            await self._curves.load(fresh=self._follows)
        else:
            place.clear()
            with place:
                await self._show(name, task)

    async def _show(self, name: str, task: Task) -> None:
        try:
            match name:
                case "parameters":
                    facts.show_parameters(task)
                    await family.show(self._source, task)
                case "artifacts":
                    artifacts.show(task)
                case "code":
                    await code.show(self._source, task)
                case "packages":
                    facts.show_packages(task)
                case "attempts":
                    facts.show_attempts(task)
                case "events":
                    await facts.show_events(self._source, task)
                case "commands":
                    command.show(task)
        except EvqError as error:
            ui.label(str(error)).classes("text-sm")

    # --- live -----------------------------------------------------------------------------------

    def _change(self, task: Task) -> None:
        self._header.show(task)
        # What the others show has changed, too: each is filled again when it is looked at.
        self._filled &= {"log", "curves", "code"}
        shown = str(self._panels.value)
        background_tasks.create(self._again(shown, task))

    async def _again(self, shown: str, task: Task) -> None:
        with self._client:
            await self._fill(shown)
            await self._explain(task)

    def _hear(self, attempt: Attempt, record: Telemetry) -> None:
        if isinstance(record, Progress):
            self._header.hear(record)

    async def _explain(self, task: Task) -> None:
        self._failure.clear()
        if not failed(task) or not isinstance(task.state, Ended):
            return
        lines: list[str] = []
        if task.attempts:
            try:
                answer = await self._source.named(
                    "log_window",
                    task=task.id,
                    claim=task.attempts[-1].claim,
                    streams=["stdout", "stderr"],
                    limit=LAST_LINES,
                )
                lines = [row["text"] for row in reversed(answer.rows)]
            except EvqError:
                pass  # without them it is explained, too
        self._failure.clear()
        with self._failure:
            failure.show(task, lines)
