"""What stands around every page: where one is, how fresh it is, light or dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from nicegui import app, ui

from ...core.sdk.live import LiveFleet
from .freshness import show_freshness
from .keys import add_keys


class Place(msgspec.Struct, frozen=True):
    """A page that the navigation leads to."""

    path: str
    title: str
    icon: str
    key: str
    """Pressed after `g`, it goes there."""


PLACES = (
    Place("/", "Workers & Queues", "dns", "w"),
    Place("/tasks", "Tasks", "list", "t"),
    Place("/compare", "Compare", "compare", "c"),
    Place("/services", "Services", "smart_toy", "v"),
    Place("/sql", "SQL", "query_stats", "s"),
)


@contextmanager
def frame(title: str, fleet: LiveFleet) -> Iterator[None]:
    """The header with its links, and the page's own content below it."""
    ui.page_title(f"{title} · evq")
    dark = ui.dark_mode(app.storage.user.get("dark"))
    with ui.header().classes("items-center gap-2 px-3 py-1"):
        ui.link("evq", "/").classes("text-white text-lg font-bold no-underline")
        for place in PLACES:
            link = ui.link(place.title, place.path).classes("text-white no-underline px-2 py-1")
            if place.title == title:
                link.classes("bg-white/20 rounded").props("aria-current=page")
        ui.space()
        show_freshness(fleet)
        _dark_switch(dark)
    add_keys({place.key: place.path for place in PLACES})
    with ui.column().classes("w-full gap-3 p-2"):
        yield


def _dark_switch(dark: ui.dark_mode) -> None:
    def turn() -> None:
        # No choice of the user's means: as the browser has it.
        dark.value = {None: True, True: False, False: None}[dark.value]
        app.storage.user["dark"] = dark.value

    ui.button(icon="contrast", on_click=turn).props("flat round dense color=white").tooltip(
        "dark, light, or as the browser has it"
    )
