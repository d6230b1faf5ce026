"""What came out: rows, a chart of them, and a file to take away. Or why there is nothing."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

from nicegui import ui

from .....core.charts import Chart, chart_for, is_time
from .....core.errors import EvqError, UsageError
from ...source import Answer

MOST_BARS = 200

_GREY = {"color": "#888"}
_AXIS = {"axisLabel": _GREY, "splitLine": {"lineStyle": {"color": "rgba(128,128,128,.25)"}}}
"""To be read on light and on dark ground."""


class Result:
    """The place below the editor."""

    def __init__(self) -> None:
        self._place = ui.column().classes("w-full gap-2")

    def refuse(self, error: EvqError) -> None:
        """Say why there is no answer."""
        self._place.clear()
        with self._place, ui.card().classes("w-full border-l-4 border-red-600").mark("refused"):
            ui.label(error.what).classes("font-bold")
            for text in filter(None, (error.why, error.fix)):
                ui.label(text).classes("whitespace-pre-line font-mono text-sm")

    def show(self, answer: Answer, hint: str, parquet: Callable[[], AsyncIterator[bytes]]) -> None:
        """Show the rows, and the chart that suits them or that `hint` names.

        `parquet` asks again, for a file.
        """
        self._place.clear()
        with self._place:
            with ui.row().classes("items-center gap-2"):
                many = f"{len(answer.rows):,} row" + "s" * (len(answer.rows) != 1)
                late = f" · {answer.behind:,} events behind the log" if answer.behind else ""
                ui.label(many + late).classes("text-sm")
                ui.button("CSV", icon="download", on_click=lambda: _download(answer)).props(
                    "dense flat"
                )
                ui.button("Parquet", icon="download", on_click=lambda: self._save(parquet())).props(
                    "dense flat"
                ).tooltip("of all rows, as the database has them: up to 256 MiB")
            if answer.rows:
                _draw(answer, hint)
            _table(answer)

    async def _save(self, pieces: AsyncIterator[bytes]) -> None:
        """Let the browser have the file."""
        # It goes with the page, or when the next one takes its place.
        file = tempfile.NamedTemporaryFile(suffix=".parquet")  # noqa: SIM115
        try:
            async for piece in pieces:
                file.write(piece)
        except EvqError as error:
            return self.refuse(error)
        file.flush()
        self._file = file
        ui.download.file(file.name, "evq.parquet", "application/vnd.apache.parquet")


def _draw(answer: Answer, hint: str) -> None:
    try:
        chart = chart_for(answer.columns, hint)
    except UsageError:
        return
    ui.echart(_options(chart, answer)).classes("w-full").style("height: 260px").mark("chart")


def _options(chart: Chart, answer: Answer) -> dict[str, Any]:
    timed = next(is_time(column) for column in answer.columns if column.name == chart.x)
    rows = answer.rows[:MOST_BARS] if chart.kind == "bar" else answer.rows
    names = dict.fromkeys(str(row[chart.series]) for row in rows) if chart.series else {"": None}
    series = [
        {
            "name": f"{name} {y}".strip() if len(chart.y) > 1 else name or y,
            "type": chart.kind,
            "showSymbol": len(rows) < 100,
            "data": [
                [row[chart.x] if timed else _plain(row[chart.x]), row[y]]
                for row in rows
                if chart.series is None or str(row[chart.series]) == name
            ],
        }
        for name in names
        for y in chart.y
    ]
    numbers = chart.kind == "scatter"
    return {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "legend": {"show": len(series) > 1, "type": "scroll", "top": 0, "textStyle": _GREY},
        "grid": {"left": 60, "right": 20, "top": 34, "bottom": 30},
        "xAxis": {"type": "time" if timed else "value" if numbers else "category"} | _AXIS,
        "yAxis": {"type": "value"} | _AXIS,
        "series": series,
    }


def _table(answer: Answer) -> None:
    columns = [
        {"headerName": column.name, "field": f"c{place}", "headerTooltip": column.type}
        for place, column in enumerate(answer.columns)
    ]
    rows = [
        {f"c{place}": _plain(row[column.name]) for place, column in enumerate(answer.columns)}
        for row in answer.rows
    ]
    options = {
        "columnDefs": columns,
        "rowData": rows,
        "defaultColDef": {"sortable": True, "filter": True, "resizable": True},
        "pagination": True,
        "paginationPageSize": 100,
        "enableCellTextSelection": True,
        "suppressFieldDotNotation": True,
    }
    ui.aggrid(options).classes("w-full").style("height: 460px").mark("rows")


def _plain(value: Any) -> Any:
    """A value as a cell shows it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _download(answer: Answer) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.name for column in answer.columns])
    writer.writerows([_plain(value) for value in row.values()] for row in answer.rows)
    ui.download.content(text.getvalue(), "evq.csv", "text/csv")
