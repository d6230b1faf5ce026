"""What can be read: every view with its columns."""

from __future__ import annotations

from itertools import groupby

from nicegui import ui

from ...source import Source


async def show_schema(source: Source) -> None:
    """The views as a list that opens. Raises `EvqError`."""
    answer = await source.known("view_columns")
    for table, columns in groupby(answer.rows, key=lambda row: str(row["table"])):
        with ui.expansion(table).classes("w-full text-sm").props("dense dense-toggle"):
            for row in columns:
                with ui.row().classes("w-full justify-between no-wrap gap-2"):
                    ui.label(row["column"])
                    ui.label(str(row["type"]).lower()).classes("opacity-60 truncate")
