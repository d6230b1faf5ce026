"""Compare: 2 to 100 tasks beside each other."""

from __future__ import annotations

import asyncio

from nicegui import ui

from .....core.errors import EvqError
from ...address import Address
from ...frame import frame
from ...opening import BUILD_SECONDS, opened
from ...source import Source
from ..tasks.table import SHEET
from .page import ComparePage

TITLE = "Compare"
MOST = 100


def add(source: Source) -> None:
    """Put the page under `/compare`."""

    @ui.page("/compare", response_timeout=BUILD_SECONDS)
    async def page(tasks: str = "", all: str = "") -> None:
        names = list(dict.fromkeys(name for name in tasks.split(",") if name))
        ui.add_head_html(SHEET)
        if not 2 <= len(names) <= MOST:
            with frame(TITLE, source.fleet):
                ui.label(f"Choose 2 to {MOST} tasks in the list of tasks, then Compare.").classes(
                    "evq-nothing"
                )
                ui.link("to the list of tasks", "/tasks")
            return
        client = source.client
        try:
            ids = await asyncio.gather(*(client.resolve(name) for name in names))
            found = await asyncio.gather(*(client.get(name) for name in ids))
        except EvqError as error:
            with frame(TITLE, source.fleet):
                ui.label(str(error)).classes("evq-nothing")
            return
        with frame(TITLE, source.fleet):
            place = ui.column().classes("w-full gap-3")
        address = Address("/compare", tasks=",".join(ids), all=all)
        if not await opened():
            return
        with place:
            await ComparePage(source, found, address).open()
