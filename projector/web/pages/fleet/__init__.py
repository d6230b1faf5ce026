"""Workers & Queues: what every machine does, and what waits."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from ...frame import frame
from ...opening import opened
from ...source import Source
from ...style import HEAD
from .choices import Choices, read_choices
from .overview import Overview
from .present import Present
from .queue_page import QueuePage
from .words import WaitingWords
from .worker_page import WorkerPage

TITLE = "Workers & Queues"


def add(source: Source) -> None:
    """Put the pages under `/`, `/workers/NAME` and `/queues/NAME`."""
    present = Present(source.fleet)
    words = WaitingWords(source.client)

    @ui.page("/")
    async def overview(request: Request) -> None:
        version = await _version(source)
        ui.add_head_html(HEAD)
        with frame(TITLE, source.fleet):
            page = Overview(source, present, words, _choices(request))
        await _begin(page, version)

    @ui.page("/workers/{name}")
    async def worker(request: Request, name: str) -> None:
        version = await _version(source)
        ui.add_head_html(HEAD)
        known = present.worker(name)
        with frame(name, source.fleet):
            if known is None:
                _say_nothing(f"no worker {name} is known")
                return
            page = WorkerPage(source, present, _choices(request), known)
        await _begin(page, version)

    @ui.page("/queues/{name}")
    async def queue(request: Request, name: str) -> None:
        version = await _version(source)
        ui.add_head_html(HEAD)
        known = present.queue(name)
        with frame(name, source.fleet):
            if known is None:
                _say_nothing(f"there is no queue {name}")
                return
            page = QueuePage(source, present, words, _choices(request), known)
        await _begin(page, version)


async def _version(source: Source) -> int:
    """What of the fleet the page is drawn from; what comes after it will be told."""
    return (await source.fleet.changed(0, rest=0)).version


def _choices(request: Request) -> Choices:
    return read_choices(request.url.path, request.query_params)


async def _begin(page: Overview | WorkerPage | QueuePage, version: int) -> None:
    # What is past is asked when the page is on the screen: it opens without waiting for that.
    if await opened():
        await page.begin(version)


def _say_nothing(text: str) -> None:
    ui.label(text).classes("text-lg")
    ui.link("all workers and queues", "/").classes("evq-link")
