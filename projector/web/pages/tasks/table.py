"""The table of tasks: a page of it at a time, sorted and counted by the projector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from .rows import SPARK_HEIGHT, SPARK_WIDTH, columns, sort_of
from .wanted import PAGE, Wanted

_STATE = """<q-td :props="props"><q-badge :color="props.row.color">
{{ props.value.replaceAll("_", " ") }}</q-badge></q-td>"""
_LINK = """<q-td :props="props"><a :href="props.row.href" class="evq-task-link">
{{ props.value }}</a></q-td>"""
_MORE = """<q-td :props="props"><svg v-if="props.row.s%d" width="%d" height="%d"
style="display:inline-block;vertical-align:middle;margin-right:6px"><polyline
:points="props.row.s%d" fill="none" stroke="#42a5f5" stroke-width="1.2"/></svg>
{{ props.value }}</q-td>"""

SHEET = """<style>
.evq-tasks td, .evq-tasks th { padding: 2px 8px !important; font-size: 12px; height: 26px; }
.evq-tasks td { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
.evq-task-link { color: #1e88e5; text-decoration: none; }
.evq-task-link:hover { text-decoration: underline; }
</style>"""


class TaskTable:
    """Shows rows; `turn` is called with the sort and the page that the user wants."""

    def __init__(self, wanted: Wanted, turn: Callable[[str, int], None]) -> None:
        self._turn = turn
        self._chosen_columns: Sequence[str] = wanted.columns
        self._table = (
            ui.table(
                rows=[],
                columns=columns(wanted.columns),
                row_key="task",
                selection="multiple",
                pagination={"rowsPerPage": PAGE, "page": wanted.page, "rowsNumber": 0},
            )
            .props("dense flat bordered binary-state-sort :rows-per-page-options=[50]")
            .classes("w-full evq-tasks")
            .classes("evq-tasks")
        )
        self._table.add_slot("body-cell-state", _STATE)
        self._table.add_slot("body-cell-task", _LINK)
        self._table.add_slot("body-cell-name", _LINK)
        for number in range(len(wanted.columns)):
            size = (SPARK_WIDTH, SPARK_HEIGHT)
            self._table.add_slot(f"body-cell-x{number}", _MORE % (number, *size, number))
        self._table.on("request", self._request)

    @property
    def chosen(self) -> list[str]:
        """The tasks whose rows are selected."""
        return [row["task"] for row in self._table.selected]

    @property
    def chosen_tags(self) -> list[str]:
        """The tags that these have."""
        return sorted({tag for row in self._table.selected for tag in row["all_tags"]})

    @property
    def tasks(self) -> list[str]:
        """The tasks that are shown, in their order."""
        return [row["task"] for row in self._table.rows]

    def show(self, rows: list[dict[str, Any]], total: int, wanted: Wanted) -> None:
        """These rows of so many."""
        self._table.rows = rows
        self._table.pagination = {
            "rowsPerPage": PAGE,
            "page": wanted.page,
            "rowsNumber": total,
            "sortBy": None,
            "descending": wanted.sort.startswith("-"),
        }

    def change(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Change the rows that are shown."""
        self._table.rows = [change(row) for row in self._table.rows]

    def _request(self, event: GenericEventArguments) -> None:
        asked = event.args["pagination"]
        name = asked.get("sortBy")
        sort = ""
        if name:
            sort = ("-" if asked.get("descending") else "") + sort_of(
                str(name), self._chosen_columns
            )
        self._turn(sort, int(asked.get("page") or 1))
