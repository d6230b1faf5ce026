"""A table that follows the fleet: only what has changed is drawn again, and the cursor stays."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import DataTable

from ...core.sdk.live import LiveFleet
from ..tasks.render import now
from .choice import Choice, Chosen, choose
from .tabs import Field, Tab
from .text import plain, state_text

LEAST = 6
"""Columns of the screen that a field without a width of its own has at least."""


class FleetTable(DataTable[Text]):
    """One of the five tables."""

    def __init__(self, tab: Tab) -> None:
        super().__init__(cursor_type="row", id=f"table-{tab.name}")
        self.tab = tab
        self.choice = Choice()
        self.chosen = Chosen([], 0)
        self._drawn: list[tuple[str, ...]] = []
        self._keys: list[str] = []
        self._widths: list[int] = []

    @property
    def selected(self) -> object | None:
        """What the cursor is on."""
        if not self.chosen.items or self.cursor_row >= len(self.chosen.items):
            return None
        return self.chosen.items[self.cursor_row]  # type: ignore[no-any-return]

    def _head(self) -> None:
        """Let the fields share the screen's width."""
        widths = _widths(self.tab.fields, self.app.size.width)
        if widths == self._widths:
            return
        self._widths = widths
        self.clear(columns=True)
        self._keys, self._drawn = [], []
        for number, (field, width) in enumerate(zip(self.tab.fields, widths, strict=True)):
            self.add_column(self._title(number, field), width=width, key=str(number))

    def _title(self, number: int, field: Field) -> Text:
        mark = ""
        if number == self.choice.sort:
            mark = "▲" if self.choice.reverse else "▼"
        text = field.title[: max(0, self._widths[number] - len(mark))] + mark
        return Text(text, justify="right" if field.right else "left", style="bold")

    def set_choice(self, choice: Choice) -> None:
        """Filter and sort otherwise."""
        self.choice = choice
        for number, field in enumerate(self.tab.fields if self._widths else ()):
            self.columns[list(self.columns)[number]].label = self._title(number, field)
        self._update_count += 1
        self.refresh()

    def show(self, fleet: LiveFleet) -> None:
        """Draw what has changed."""
        self._head()
        self.chosen = choose(self.tab, self.choice, fleet)
        moment = now()
        keys = [self.tab.key(item) for item in self.chosen.items]
        rows = [
            tuple(plain(field.text(item, moment)) for field in self.tab.fields)
            for item in self.chosen.items
        ]
        if keys == self._keys:
            self._update_cells(rows)
        else:
            self._replace(keys, rows)
        self._keys, self._drawn = keys, rows

    def _update_cells(self, rows: list[tuple[str, ...]]) -> None:
        for key, before, after in zip(self._keys, self._drawn, rows, strict=True):
            if before != after:
                for number, (old, new) in enumerate(zip(before, after, strict=True)):
                    if old != new:
                        self.update_cell(key, str(number), self._cell(number, new))

    def _replace(self, keys: list[str], rows: list[tuple[str, ...]]) -> None:
        place = self.cursor_row
        on = self._keys[place] if place < len(self._keys) else None
        top = self.scroll_y
        self.clear()
        for key, row in zip(keys, rows, strict=True):
            self.add_row(*(self._cell(number, text) for number, text in enumerate(row)), key=key)
        if on in keys and place:
            place = keys.index(on)
        self.move_cursor(row=min(place, max(0, len(keys) - 1)), scroll=False)
        self.scroll_to(y=top, animate=False, force=True)

    def _cell(self, number: int, text: str) -> Text:
        field, width = self.tab.fields[number], self._widths[number]
        if field.state:
            return state_text(text, width)
        cut = text if len(text) <= width else text[: max(0, width - 1)] + "…"
        return Text(cut, justify="right" if field.right else "left", no_wrap=True)


def _widths(fields: tuple[Field, ...], width: int) -> list[int]:
    """How wide each field is: those without a width of their own share what is left."""
    gaps = 2 * len(fields)
    soft = sum(not field.width for field in fields)
    # A bar at the side shows how far down one is.
    rest = width - gaps - sum(field.width for field in fields) - 1
    share, more = divmod(max(rest, LEAST * soft), soft) if soft else (0, 0)
    found = []
    for field in fields:
        extra = 1 if not field.width and more > 0 else 0
        more -= extra
        found.append(field.width or share + extra)
    return found
