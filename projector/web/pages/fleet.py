"""Workers & Queues: what every machine does, and what waits."""

from __future__ import annotations

from nicegui import ui

from ..frame import frame
from ..source import Source

TITLE = "Workers & Queues"


def add(source: Source) -> None:
    """Put the page under `/`."""

    @ui.page("/")
    async def page() -> None:
        with frame(TITLE):
            queues = await source.named("queues")
            ui.table(rows=queues.rows, row_key="queue").classes("w-full").mark("queues")
