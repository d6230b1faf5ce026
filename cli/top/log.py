"""A task's log as it is written: the end of it, or where one scrolls to."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, Input, RichLog, Static

from ...core.errors import EvqError
from ...core.events import Log
from ...core.ports import BusAway
from ...core.sdk.following import Happened, follow, newborn
from ...core.sdk.lines import Line, lines_of
from .pages import BACK, Page
from .text import colored_line

KEPT = 5_000
"""Lines that can be scrolled back to."""

STYLES = {"e": "red", "s": "dim", "a": "dim italic"}
"""By the stream that a line was written to."""


class LogPage(Page):
    """The lines of a task's last attempt, and of those that follow."""

    BINDINGS: ClassVar[list[BindingType]] = [
        BACK,
        ("f", "follow", "Follow"),
        ("slash", "search", "Search"),
        ("t", "setup", "Set-up"),
        ("g", "top", "Top"),
        ("G", "bottom", "End"),
    ]

    def __init__(self, id: str, name: str) -> None:
        super().__init__()
        self.task_id = id
        self._name_of_task = name
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self._fresh: list[Line] = []
        self._words = ""
        self._setup = True
        self._state = ""
        self._pane = RichLog(max_lines=KEPT, wrap=True, auto_scroll=True, highlight=False)
        self._search = Input(placeholder="only lines with …", compact=True, classes="filter")

    def compose(self) -> ComposeResult:
        yield Static(classes="summary", id="summary")
        yield Static(id="title")
        yield self._pane
        yield self._search
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self._search.display = False
        self._pane.focus()
        super().on_mount()
        self.set_interval(0.1, self._flush)
        self.run_worker(self._follow(), exclusive=True)

    def show(self) -> None:
        row = self.fleet.tasks.get(self.task_id)
        state = row.state if row else self._state
        mode = "" if self._pane.auto_scroll else "  (not following: f)"
        setup = "" if self._setup else "  (without set-up: t)"
        words = f"  (only {self._words!r})" if self._words else ""
        title = f"log of {self.task_id} {self._name_of_task}: {state}{mode}{setup}{words}"
        self.query_one("#title", Static).update(colored_line(title))

    async def _follow(self) -> None:
        try:
            bus = self.top.client.bus
            task = await self.top.client.get(self.task_id)
            self._state = task.name_of_state
            first = task.attempts[-1].number if task.attempts else 1
            async with aclosing(follow(bus, await newborn(bus, task.origin))) as items:
                async for item in items:
                    if isinstance(item, Happened):
                        self._state = item.task.name_of_state
                    elif isinstance(item.record, Log) and item.attempt.number >= first:
                        self._fresh += lines_of(item.record)
        except (EvqError, BusAway) as error:
            self.notify(str(error), severity="error", markup=False)

    def _flush(self) -> None:
        fresh, self._fresh = self._fresh[-KEPT:], []
        self._lines.extend(fresh)
        for line in fresh:
            self._write(line)

    def _write(self, line: Line) -> None:
        if line.stream == "s" and not self._setup:
            return
        if self._words and self._words.lower() not in line.text.lower():
            return
        # A carriage return is how programs draw over a line: what was drawn last is left.
        text = colored_line(line.text.rstrip("\r").rpartition("\r")[2])
        text.style = STYLES.get(line.stream, "")
        self._pane.write(text, scroll_end=self._pane.auto_scroll)

    def _rewrite(self) -> None:
        self._pane.clear()
        for line in self._lines:
            self._write(line)
        if not self._pane.lines:
            self._pane.write(Text("nothing is there yet", style="dim"))
        self.show()

    def action_follow(self) -> None:
        """Stay at the end, or stay where it is."""
        self._pane.auto_scroll = not self._pane.auto_scroll
        if self._pane.auto_scroll:
            self._pane.scroll_end(animate=False)
        self.show()

    def action_setup(self) -> None:
        """With or without what set-up wrote."""
        self._setup = not self._setup
        self._rewrite()

    def action_search(self) -> None:
        """Type what lines must have."""
        self._search.display = True
        self._search.focus()

    @on(Input.Submitted)
    def _found(self, event: Input.Submitted) -> None:
        self._words = event.value.strip()
        self._search.display = False
        self._pane.focus()
        self._rewrite()

    def action_top(self) -> None:
        """The first line that is kept."""
        self._pane.auto_scroll = False
        self._pane.scroll_home(animate=False)
        self.show()

    def action_bottom(self) -> None:
        """The last line, and on from there."""
        self._pane.auto_scroll = True
        self._pane.scroll_end(animate=False)
        self.show()
