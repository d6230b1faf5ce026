"""Tasks: all there are, by state, queue, user, words or any condition."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from ...frame import frame
from ...opening import opened
from ...source import Source
from ...style import HEAD
from .page import TasksPage
from .table import SHEET
from .wanted import FACETS, Wanted

TITLE = "Tasks"


def add(source: Source) -> None:
    """Put the page under `/tasks`."""

    @ui.page("/tasks")
    async def page(request: Request) -> None:
        query = request.query_params
        facets = {name: _words(query.get(name, "")) for name in FACETS}
        number = query.get("page", "")
        wanted = Wanted(
            query=query.get("q", ""),
            facets={name: values for name, values in facets.items() if values},
            sort=query.get("sort", "") or "-enqueued",
            page=int(number) if number.isdecimal() and 0 < len(number) < 8 else 1,
            columns=_words(query.get("cols", "")),
            archived=query.get("archived") == "1",
        )
        version = (await source.fleet.changed(0, rest=0)).version
        ui.add_head_html(HEAD + SHEET)
        with frame(TITLE, source.fleet):
            shown = TasksPage(source, wanted)
        if await opened():
            await shown.open(version)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)
