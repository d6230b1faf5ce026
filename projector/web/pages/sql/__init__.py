"""SQL: any question of the whole history, with the schema beside it."""

from __future__ import annotations

from nicegui import ui

from ...frame import frame
from ...opening import opened
from ...source import Source
from .page import SqlPage

TITLE = "SQL"
FIRST = "SELECT state, count(*) AS tasks\nFROM tasks\nGROUP BY state\nORDER BY tasks DESC"


def add(source: Source) -> None:
    """Put the page under `/sql`; `query` and `name` in the address are what it begins with."""

    @ui.page("/sql")
    async def page(query: str = "", name: str = "", run: bool = False) -> None:
        with frame(TITLE, source.fleet):
            place = ui.element("div").classes("w-full")
        if not await opened():
            return
        with place:
            shown = SqlPage(source, query or FIRST)
            await shown.open(name)
            if run or query or name:
                await shown.run()
