"""Workers & Queues: what every machine does, and what waits."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from ...frame import frame
from ...source import Source
from .address import read_address
from .overview import Overview
from .present import Present
from .style import SHEET
from .words import WaitingWords

TITLE = "Workers & Queues"


def add(source: Source) -> None:
    """Put the pages under `/`, `/workers/NAME` and `/queues/NAME`."""
    present = Present(source.fleet)
    words = WaitingWords(source.client)

    @ui.page("/")
    async def overview(request: Request) -> None:
        version = (await source.fleet.changed(0, rest=0)).version
        ui.add_css(SHEET)
        with frame(TITLE):
            page = Overview(source, present, words, read_address("/", request.query_params))
        await ui.context.client.connected()
        await page.begin(version)
