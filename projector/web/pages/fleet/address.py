"""What a page shows, as its address says it: who opens the same address sees the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

import msgspec
from nicegui import ui

from .style import TOGGLE

RANGES = {3: "3 h", 24: "24 h", 168: "7 d", 720: "30 d"}
"""Hours that curves go back, and their names."""

DAY = 24


class Address(msgspec.Struct, kw_only=True):
    """The choices of whoever looks at a page.

    `show` is a tile's filter, `words` what is searched for, `queue` the one whose line is open,
    `hours` how far curves go back, `at` the moment looked back at, in microseconds since 1970.
    """

    path: str
    show: str = ""
    words: str = ""
    queue: str = ""
    heat: str = ""
    hours: int = DAY
    at: int | None = None

    def write(self) -> None:
        """Let the browser's address say it, without going anywhere."""
        ui.navigate.history.replace(self.url)

    @property
    def url(self) -> str:
        """The path, and whatever is not as it is by itself."""
        chosen = {
            "show": self.show,
            "q": self.words,
            "queue": self.queue,
            "heat": self.heat,
            "hours": "" if self.hours == DAY else str(self.hours),
            "at": "" if self.at is None else str(self.at),
        }
        query = urlencode({name: value for name, value in chosen.items() if value})
        return f"{self.path}?{query}" if query else self.path


def read_address(path: str, query: Mapping[str, str]) -> Address:
    """The choices in a query string; what makes no sense counts as not said."""
    hours, at = query.get("hours", ""), query.get("at", "")
    return Address(
        path=path,
        show=query.get("show", ""),
        words=query.get("q", ""),
        queue=query.get("queue", ""),
        heat=query.get("heat", ""),
        hours=int(hours) if hours in map(str, RANGES) else DAY,
        at=int(at) if at.isascii() and at.isdigit() and len(at) < 18 else None,
    )


def add_ranges(address: Address, load: Callable[[], Awaitable[None]]) -> None:
    """Buttons that choose how far curves go back, and `load` them anew."""

    async def choose(hours: int) -> None:
        address.hours = hours
        address.write()
        await load()

    toggle = ui.toggle(RANGES, value=address.hours).props(TOGGLE).classes("evq-range")
    toggle.on_value_change(lambda event: choose(event.value))
