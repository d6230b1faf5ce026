"""A grid that is told only of the rows that have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nicegui import ui

from .opening import BROWSER_SECONDS

Row = Mapping[str, Any]
"""Its keys are ours: a key that begins with a colon would be run by the browser."""

_SHOW_IF_WIDE = "(e) => e.api.setColumnsVisible(%s, window.innerWidth > 700)"

ROW_PIXELS, HEADER_PIXELS = 28, 30


class Grid:
    """An AG Grid whose rows are known by their `key`, as high as its rows up to `most`."""

    def __init__(
        self,
        columns: Sequence[dict[str, Any]],
        key: str,
        rows: Sequence[Row],
        *,
        most: int = 16,
        empty: str = "nothing here",
        narrow: Iterable[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """`narrow` are the columns that are left on a phone, `empty` is said if there is no row."""
        self._key = key
        self._most = most
        self._sent = {row[key]: row for row in rows}
        self._ordered = True
        wide = [column["field"] for column in columns if narrow and column["field"] not in narrow]
        # A change of the grid's own element makes the browser build it anew, with the rows that it
        # began with: what changes is changed of the place around it.
        with ui.element("div").classes("w-full") as self.place:
            self.element = (
                ui.aggrid(
                    {
                        "columnDefs": list(columns),
                        "rowData": list(rows),
                        ":getRowId": f"(p) => p.data.{key}",
                        "context": {"now": None},
                        "defaultColDef": {
                            "sortable": True,
                            "resizable": True,
                            "suppressMovable": True,
                        },
                        "rowHeight": ROW_PIXELS,
                        "headerHeight": HEADER_PIXELS,
                        "animateRows": False,
                        "tooltipShowDelay": 300,
                        "suppressCellFocus": False,
                        "overlayNoRowsTemplate": f"<span>{empty}</span>",
                        ":onGridSizeChanged": _SHOW_IF_WIDE % wide,
                        **(options or {}),
                    },
                    theme="balham",
                    auto_size_columns=False,
                )
                .classes("w-full")
                .style("height: 100%")
            )
        self._height = 0
        self._fit()

    def show(self, rows: Sequence[Row]) -> None:
        """Let these be all rows."""
        kept = {row[self._key] for row in rows}
        self.patch(rows, [name for name in self._sent if name not in kept])

    def patch(self, rows: Iterable[Row], gone: Iterable[str] = ()) -> None:
        """Let these rows be so, and those with the keys in `gone` be there no more."""
        added: list[Row] = []
        updated: list[Row] = []
        removed: list[Row] = []
        for row in rows:
            name = row[self._key]
            before = self._sent.get(name)
            if before == row:
                continue
            (added if before is None else updated).append(row)
            self._sent[name] = row
        for name in gone:
            if self._sent.pop(name, None) is not None:
                removed.append({self._key: name})
        if added or updated or removed:
            change = {"add": added, "update": updated, "remove": removed}
            self.element.run_grid_method("applyTransaction", change)
            self._fit()

    def order(self, rows: Sequence[Row]) -> None:
        """Let these be all rows, in this order."""
        if not self._ordered or list(self._sent.values()) != list(rows):
            self._ordered = True
            self._sent = {row[self._key]: row for row in rows}
            self.element.run_grid_method("setGridOption", "rowData", list(rows))
            self._fit()

    async def selected(self) -> list[Row]:
        """The rows that the user has selected."""
        answer = self.element.run_grid_method("getSelectedRows", timeout=BROWSER_SECONDS)
        rows: list[Row] = await answer
        return rows

    def forget_order(self) -> None:
        """Somebody has changed the order in the browser: the next one is sent whatever it is."""
        self._ordered = False

    def search(self, text: str) -> None:
        """Show only rows in which these words stand."""
        self.element.run_grid_method("setGridOption", "quickFilterText", text)

    def clock(self, at: int | None) -> None:
        """Count spans up to `at`, in microseconds since 1970, instead of up to now."""
        context = {"now": None if at is None else at / 1000}
        self.element.run_grid_method("setGridOption", "context", context)
        self.element.run_grid_method("refreshCells", {"force": True})

    def _fit(self) -> None:
        rows = min(max(len(self._sent), 2), self._most)
        height = rows * ROW_PIXELS + HEADER_PIXELS + 4
        if height != self._height:
            self._height = height
            self.place.style(f"height: {height}px")
