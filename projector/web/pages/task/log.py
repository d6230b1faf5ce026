"""The log of a task, live: a window of it, filtered and searched by the projector."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from nicegui import ui
from nicegui.events import GenericEventArguments, ValueChangeEventArguments

from .....core.cleaning.cleaned import removal_of, removal_text
from .....core.errors import EvqError
from .....core.events import Log, Telemetry
from .....core.state import Attempt, Task
from ...address import Address
from ...source import Ask, Source
from .log_view import Line, LogView, line_of
from .story import Story

PAGE = 500
"""Lines that are loaded at a time."""

STREAMS = {"o": "stdout", "e": "stderr", "s": "setup", "a": "agent"}
KINDS = {"set-up": "sa", "stdout": "o", "stderr": "e"}
"""What one may look at alone: by name, the letters of the streams."""


class Filter(msgspec.Struct, frozen=True):
    """Which lines are wanted: of these streams (all if empty), with these words."""

    streams: tuple[str, ...] = ()
    search: str = ""

    def takes(self, line: Line) -> bool:
        """Whether the line is wanted."""
        if self.streams and line.stream not in self.streams:
            return False
        return self.search.lower() in line.text.lower()


class LogPanel:
    """Controls and lines of the log of one attempt: the last one, unless another is chosen."""

    def __init__(self, source: Source, story: Story, address: Address) -> None:
        self._source = source
        self._story = story
        self._address = address
        self._attempt = _number(address["attempt"])
        self._next = 0
        """The number of the first line that is not known yet."""
        self._asked = False
        self._early: list[Line] | None = None
        """While lines are asked for, those that are written meanwhile."""
        with ui.row().classes("w-full items-center gap-2"):
            self._controls()
        self._view = LogView().classes("w-full evq-log")
        self._view.on("older", self._older)
        self._view.on("newer", self._newer)
        self._view.on("pick", self._pick)
        self._view.on("following", self._followed)
        self._empty = ui.label().classes("text-sm opacity-70 evq-log-empty")
        story.heard.append(self._hear)
        story.changed.append(self._change)

    # --- what is asked for --------------------------------------------------------------------

    @property
    def _filter(self) -> Filter:
        letters = "".join(KINDS[name] for name in self._kinds.value or ())
        streams = tuple(STREAMS[letter] for letter in letters)
        return Filter(() if len(letters) == len(STREAMS) else streams, self._search.value or "")

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that is shown, if there is one."""
        attempts = self._story.task.attempts
        if self._attempt is not None:
            return next((one for one in attempts if one.number == self._attempt), None)
        return attempts[-1] if attempts else None

    def _controls(self) -> None:
        address = self._address
        self._search = (
            ui.input(placeholder="search the log", value=address["q"])
            .props("dense outlined clearable debounce=300")
            .classes("grow max-w-md")
            .classes("evq-log-search")
        )
        shown = address["show"].split(",") if address["show"] else list(KINDS)
        self._kinds = (
            ui.select(list(KINDS), multiple=True, value=[one for one in shown if one in KINDS])
            .props("dense outlined options-dense")
            .classes("w-56")
            .classes("evq-log-streams")
        )
        self._attempts = (
            ui.select({}, on_change=self._choose)
            .props("dense outlined options-dense")
            .classes("evq-log-attempt")
        )
        self._name_attempts()
        ui.switch("times", on_change=self._toggle("times")).props("dense")
        ui.switch("wrap", on_change=self._toggle("wrapped")).props("dense")
        self._follow = ui.switch("follow", value=True).props("dense").classes("evq-log-follow")
        self._follow.on("click", self._follow_clicked)
        ui.button(icon="download", on_click=self._download).props("flat round dense").tooltip(
            "the whole log as a file"
        )
        self._search.on_value_change(self._filtered)
        self._kinds.on_value_change(self._filtered)

    def _toggle(self, name: str) -> Any:
        def turn(event: ValueChangeEventArguments[bool]) -> None:
            self._view.classes(add=name) if event.value else self._view.classes(remove=name)

        return turn

    def _name_attempts(self) -> None:
        numbers = [one.number for one in self._story.task.attempts]
        self._attempts.set_options(
            {0: "last attempt"} | {number: f"attempt {number}" for number in numbers},
            value=self._attempt or 0,
        )
        self._attempts.set_visibility(len(numbers) > 1)

    async def _choose(self, event: ValueChangeEventArguments[int]) -> None:
        if (event.value or None) != self._attempt:
            self._attempt = event.value or None
            self._address.set(attempt=str(event.value or ""), line="")
            await self.load()

    async def _filtered(self) -> None:
        kinds = self._kinds.value or []
        self._address.set(
            q=self._search.value or "", show="" if len(kinds) == len(KINDS) else ",".join(kinds)
        )
        await self.load()

    async def _follow_clicked(self) -> None:
        if self._follow.value:
            self._address.set(line="")
            await self.load()

    def _followed(self, event: GenericEventArguments) -> None:
        self._follow.value = bool(event.args["on"])

    def _download(self) -> None:
        attempt = self.attempt
        if attempt:
            ui.navigate.to(f"/tasks/{quote(self._story.task.id)}/log/{attempt.number}")

    # --- lines ----------------------------------------------------------------------------------

    async def load(self, *, fresh: bool = True) -> None:
        """Show the lines that the address names, or the last ones. What was heard before has to be
        among them, so they are `fresh`, unless nothing is heard yet."""
        ask = self._source.named if fresh else self._source.known
        self._asked, self._early, self._next = True, [], 0
        picked = _lines(self._address["line"])
        lines, start, end = [], True, True
        if picked:
            lines = await self._ask(ask, after=picked[0] - PAGE // 2 - 1)
            start, end = picked[0] - PAGE // 2 <= 0, len(lines) < PAGE
        else:
            lines = (await self._ask(ask))[::-1]
            start = len(lines) < PAGE
        if lines and end:
            self._next = lines[-1].number + 1
        self._view.reset(
            lines,
            at_start=start,
            at_end=end,
            search=self._filter.search,
            show=picked[0] if picked else None,
            picked=picked,
        )
        self._follow.value = end and not picked
        early, self._early = self._early, None
        self._add(early or [])
        self._say(bool(lines))

    async def _ask(
        self, ask: Ask, before: int | None = None, after: int | None = None
    ) -> list[Line]:
        attempt, wanted = self.attempt, self._filter
        if attempt is None:
            return []
        try:
            answer = await ask(
                "log_window",
                task=self._story.task.id,
                claim=attempt.claim,
                before=before,
                after=after,
                streams=wanted.streams or None,
                search=wanted.search or None,
                limit=PAGE,
            )
        except EvqError as error:
            self._empty.text = f"What was written before cannot be had: {error}"
            return []
        return [line_of(row) for row in answer.rows]

    async def _older(self, event: GenericEventArguments) -> None:
        lines = await self._ask(self._source.named, before=event.args["number"])
        self._view.older(lines[::-1], len(lines) < PAGE)

    async def _newer(self, event: GenericEventArguments) -> None:
        lines = await self._ask(self._source.named, after=event.args["number"])
        self._view.newer(lines, len(lines) < PAGE)

    async def _pick(self, event: GenericEventArguments) -> None:
        number, picked = event.args["number"], _lines(self._address["line"])
        first, last = number, number
        if event.args["extend"] and picked:
            first, last = min(picked[0], number), max(picked[1], number)
        self._address.set(line=f"{first + 1}-{last + 1}" if last > first else str(first + 1))
        if self._search.value:
            # To see what stands around a line that was found.
            self._search.value = ""
        else:
            self._view.pick((first, last))

    # --- live -----------------------------------------------------------------------------------

    def _hear(self, attempt: Attempt, record: Telemetry) -> None:
        shown = self.attempt
        if not isinstance(record, Log) or shown is None or shown.claim != attempt.claim:
            return
        if not self._asked:
            return  # whoever asks is told of it
        columns = zip(record.at, record.stream, record.text, strict=True)
        self._add(
            [
                Line(number, at, STREAMS.get(stream, stream), text)
                for number, (at, stream, text) in enumerate(columns, record.first)
            ]
        )

    def _add(self, lines: list[Line]) -> None:
        if self._early is not None:
            self._early += lines
            return
        wanted = self._filter
        new = [line for line in lines if line.number >= self._next]
        if new:
            self._next = new[-1].number + 1
        if chosen := [line for line in new if wanted.takes(line)]:
            self._view.append(chosen)
            self._say(True)

    def _change(self, task: Task) -> None:
        if len(task.attempts) >= len(self._attempts.options):
            self._name_attempts()
            if self._attempt is None:
                # Nobody else wrote in its name before its claim: it is told from its first line.
                self._next = 0
                self._view.reset([], at_start=True, at_end=True, search="", show=None, picked=None)
                self._say(False)
        elif not self._next:
            self._say(False)

    def _say(self, any_lines: bool) -> None:
        task = self._story.task
        if any_lines:
            self._empty.text = ""
        elif self._search.value:
            self._empty.text = "No line has these words."
        elif not task.attempts:
            self._empty.text = f"It has not run yet: it is {task.name_of_state}."
        elif removal := removal_of(task, "logs", self._attempt):
            self._empty.text = removal_text(removal)
        else:
            self._empty.text = "Nothing was written."


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) else None


def _lines(text: str) -> tuple[int, int] | None:
    """Line numbers as people count them, from 1: `12` or `12-20`."""
    first, _, last = text.partition("-")
    begin = _number(first[:9])
    end = _number(last[:9]) or begin
    return (begin - 1, max(begin, end) - 1) if begin and end else None
