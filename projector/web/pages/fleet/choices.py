"""What a page shows, as its address says it: who opens the same address sees the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from nicegui import ui

from ...address import Address
from ...style import TOGGLE

RANGES = {3: "3 h", 24: "24 h", 168: "7 d", 720: "30 d"}
"""Hours that curves go back, and their names."""

DAY = 24


class Choices(msgspec.Struct, kw_only=True):
    """The choices of whoever looks at a page.

    `show` is a tile's filter, `words` what is searched for, `group` how workers are put together,
    `queue` the one whose line is open, `hours` how far curves go back, `at` the moment looked back
    at, in microseconds since 1970.
    """

    path: str
    show: str = ""
    words: str = ""
    group: str = ""
    queue: str = ""
    heat: str = ""
    hours: int = DAY
    at: int | None = None

    def write(self) -> None:
        """Let the browser's address say it, without going anywhere."""
        Address(self.path, **self.values).write()

    @property
    def values(self) -> dict[str, str]:
        """What the address says; empty is what is as it is by itself."""
        return {
            "show": self.show,
            "q": self.words,
            "group": self.group,
            "queue": self.queue,
            "heat": self.heat,
            "hours": "" if self.hours == DAY else str(self.hours),
            "at": "" if self.at is None else str(self.at),
        }


def read_choices(path: str, query: Mapping[str, str]) -> Choices:
    """The choices in a query string; what makes no sense counts as not said."""
    hours, at = query.get("hours", ""), query.get("at", "")
    return Choices(
        path=path,
        show=query.get("show", ""),
        words=query.get("q", ""),
        group=query.get("group", ""),
        queue=query.get("queue", ""),
        heat=query.get("heat", ""),
        hours=int(hours) if hours in map(str, RANGES) else DAY,
        at=int(at) if at.isascii() and at.isdigit() and len(at) < 18 else None,
    )


def add_ranges(chosen: Choices, load: Callable[[], Awaitable[None]]) -> None:
    """Buttons that choose how far curves go back, and `load` them anew."""

    async def choose(hours: int) -> None:
        chosen.hours = hours
        chosen.write()
        await load()

    toggle = ui.toggle(RANGES, value=chosen.hours).props(TOGGLE).classes("evq-range")
    toggle.on_value_change(lambda event: choose(event.value))
