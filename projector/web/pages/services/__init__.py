"""Services: what runs beside the tasks and makes tasks of its own, and what came of it."""

from __future__ import annotations

from nicegui import ui

from ...address import Address
from ...frame import frame
from ...opening import opened
from ...source import Source
from ...style import HEAD
from .page import ServicesPage

TITLE = "Services"


def add(source: Source) -> None:
    """Put the page under `/services`; `task` is the one whose family is drawn, `sweep` and `run`
    the sweep and the run of a pipeline that are open."""

    @ui.page("/services")
    async def page(task: str = "", sweep: str = "", run: str = "") -> None:
        version = (await source.fleet.changed(0, rest=0)).version
        ui.add_head_html(HEAD)
        with frame(TITLE, source.fleet):
            place = ui.column().classes("w-full gap-3")
        if not await opened():
            return
        with place:
            address = Address("/services", task=task, sweep=sweep, run=run)
            await ServicesPage(source, address).open(version)
