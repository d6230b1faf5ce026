"""What happened lately, in words: the last events, with who caused them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nicegui import ui

from .....core.sdk.live import LiveEvent

SHOWN = 12


class Lately:
    """The last events, the latest first; drawn anew only if there are others."""

    def __init__(self, events: Sequence[LiveEvent]) -> None:
        self._seqs: list[int] = []
        self.card = ui.element("div").classes("evq-card")
        with self.card:
            ui.label("Lately").classes("evq-head")
            self._place = ui.element("div").classes("w-full evq-lately")
        self.show(events)

    def show(self, events: Sequence[LiveEvent]) -> None:
        """Let these be the last."""
        seqs = [event.seq for event in events]
        if seqs == self._seqs:
            return
        self._seqs = seqs
        self._place.clear()
        with self._place:
            for event in events:
                self._add(event)

    def _add(self, event: LiveEvent) -> None:
        clock = datetime.fromtimestamp(event.at / 1e6).strftime("%H:%M:%S")
        with ui.row().classes("w-full no-wrap gap-2 items-baseline text-xs"):
            ui.label(clock).classes("evq-dim tabular-nums")
            if event.task:
                ui.link(event.task, f"/tasks/{event.task}").classes("evq-link")
            ui.label(event.text).classes("grow ellipsis")
            ui.label(event.by).classes("evq-dim ellipsis")
