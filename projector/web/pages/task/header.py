"""What a task is and does, in one look."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from nicegui import ui

from .....core.events import Progress
from .....core.fleet.quiet import quiet_words
from .....core.sdk.client import Client
from .....core.state import Ended, Task
from .....core.words.sentence import sentence
from ...acting import actor_client, may
from ...asking import ask_reason, attempt
from ...source import Source
from ...states import state_chip
from ..tasks.tagging import Tags, ask_tags
from . import timeline


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Header:
    """State, name, sentence, progress, what one can do, and the timeline."""

    def __init__(self, source: Source, task: Task) -> None:
        self._source = source
        self._task = task
        self._progress: Progress | None = None
        self._head = ui.column().classes("w-full gap-1")
        self._bar = ui.row().classes("w-full items-center gap-2 no-wrap evq-progress")
        self._time = ui.column().classes("w-full gap-1")
        self.show(task)
        ui.timer(2.0, self._tick)

    def show(self, task: Task) -> None:
        """The task as it is now."""
        self._task = task
        self._head.clear()
        with self._head:
            self._title()
        self._show_progress()
        self._show_time()

    def hear(self, progress: Progress) -> None:
        """How far it is."""
        self._progress = progress
        self._show_progress()

    def _tick(self) -> None:
        if not isinstance(self._task.state, Ended):
            self._sentence.text = self._words()
            self._show_time()

    def _words(self) -> str:
        quiet = quiet_words(self._source.fleet.quiet.get(self._task.id), now())
        return "; ".join(filter(None, (sentence(self._task, now()), quiet)))

    def _title(self) -> None:
        task, spec = self._task, self._task.spec
        with ui.row().classes("w-full items-center gap-2"):
            state_chip(task.name_of_state).classes("evq-state")
            ui.label(spec.name).classes("text-lg font-bold break-all")
            ui.label(task.id).classes("font-mono text-sm opacity-70")
            ui.space()
            self._actions()
        self._sentence = ui.label(self._words()).classes("text-sm break-all evq-sentence")
        where = [
            f"queue {task.place.queue}",
            f"by {spec.user}@{spec.host}",
            f"project {spec.project}" if spec.project else "",
            ", ".join(task.tags),
            "in the archive" if task.archived else "",
        ]
        with ui.row().classes("w-full gap-2 text-xs"):
            ui.label(" · ".join(filter(None, where))).classes("opacity-70 break-all")
            if array := spec.array:
                text = f"member {array.index} of array {array.id}"
                ui.link(text, f"/tasks?array={array.id}").classes("evq-link evq-array")

    def _actions(self) -> None:
        if not may(self._source):
            return
        ui.button("tag", icon="sell", on_click=self._tag).props("outline dense no-caps size=sm")
        ended = isinstance(self._task.state, Ended)
        if self._task.archived:
            self._button("unarchive", "unarchive", lambda c, why: c.unarchive(self._task.id, why))
        elif ended:
            self._button("archive", "archive", lambda c, why: c.archive(self._task.id, why))
        if ended:
            self._button("retry", "replay", lambda client, why: client.retry(self._task.id, why))
        else:
            self._button("abort", "stop", lambda client, why: client.abort(self._task.id, why))

    def _tag(self) -> None:
        async def done(add: Tags, remove: Tags) -> None:
            async def do() -> None:
                await actor_client(self._source).tag(self._task.id, add, remove)

            await attempt(do)

        ask_tags(f"Tag {self._task.spec.name}", self._task.tags, done)

    def _button(
        self, verb: str, icon: str, act: Callable[[Client, str], Awaitable[object]]
    ) -> None:
        async def done(reason: str) -> None:
            async def do() -> None:
                await act(actor_client(self._source), reason or "from the dashboard")

            await attempt(do)

        def ask() -> None:
            ask_reason(f"{verb.capitalize()} {self._task.spec.name}?", verb.capitalize(), done)

        ui.button(verb, icon=icon, on_click=ask).props("outline dense no-caps size=sm")

    def _show_progress(self) -> None:
        self._bar.clear()
        said = self._progress
        self._bar.set_visibility(said is not None and self._task.live is not None)
        if said is None:
            return
        with self._bar:
            if said.total:
                share = min(1.0, max(0.0, said.done / said.total))
                ui.linear_progress(share, show_value=False, size="8px").classes("grow")
                ui.label(f"{said.done:g} of {said.total:g} {said.text}").classes("text-xs")
            else:
                ui.label(f"{said.done:g} {said.text}").classes("text-xs")

    def _show_time(self) -> None:
        self._time.clear()
        with self._time:
            timeline.show(self._task, now())
