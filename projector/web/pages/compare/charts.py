"""Curves of several tasks over each other, and their numbers as lines across axes.

What users call things is only ever text here: tooltips are drawn, and no name is a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .....core.differences import Row
from ...points import Point

COLORS = (
    "#42a5f5", "#ef5350", "#66bb6a", "#ffa726", "#ab47bc", "#26a69a", "#8d6e63", "#ec407a",
    "#7e57c2", "#9ccc65", "#29b6f6", "#ff7043",
)  # fmt: skip
HEIGHT = 190
_TEXT, _FAINT = "#888", "rgba(128,128,128,.25)"
MOST_AXES = 16


def color(number: int) -> str:
    """The colour of a task, by its number."""
    return COLORS[number % len(COLORS)]


def height(count: int) -> int:
    """Pixels for so many metrics."""
    return count * HEIGHT + 30


def curves(
    names: Sequence[str], tasks: Sequence[str], known: Mapping[tuple[str, str], Sequence[Point]]
) -> dict[str, Any]:
    """A grid for each metric, a line in it for each task; by step, under one cursor."""
    places = range(len(names))
    series = []
    for place, name in enumerate(names):
        for number, task in enumerate(tasks):
            points = known.get((task, name), ())
            data = [(point.step, point.value) for point in points if point.step is not None]
            if data:
                series.append(
                    {
                        "type": "line",
                        "name": task,
                        "xAxisIndex": place,
                        "yAxisIndex": place,
                        "showSymbol": len(data) == 1,
                        "color": color(number),
                        "lineStyle": {"width": 1.3},
                        "data": data,
                    }
                )
    return {
        "animation": False,
        "textStyle": {"fontSize": 11},
        "title": [
            {
                "text": name,
                "left": 60,
                "top": place * HEIGHT,
                "textStyle": {"fontSize": 12, "fontWeight": "normal", "color": _TEXT},
            }
            for place, name in enumerate(names)
        ],
        "tooltip": {"trigger": "axis", "renderMode": "richText", "confine": True},
        "axisPointer": {"link": [{"xAxisIndex": "all"}], "label": {"show": False}},
        "dataZoom": [{"type": "inside", "xAxisIndex": "all", "zoomOnMouseWheel": "ctrl"}],
        "grid": [
            {"left": 64, "right": 16, "top": place * HEIGHT + 22, "height": HEIGHT - 58}
            for place in places
        ],
        "xAxis": [
            {
                "type": "value",
                "gridIndex": place,
                "min": "dataMin",
                "max": "dataMax",
                "axisLabel": {"color": _TEXT, "hideOverlap": True},
                "axisLine": {"lineStyle": {"color": _FAINT}},
                "splitLine": {"show": False},
            }
            for place in places
        ],
        "yAxis": [
            {
                "type": "value",
                "gridIndex": place,
                "scale": True,
                "splitNumber": 4,
                "axisLabel": {"color": _TEXT},
                "splitLine": {"lineStyle": {"color": _FAINT}},
            }
            for place in places
        ],
        "series": series,
    }


def parallel(rows: Sequence[Row], tasks: Sequence[str]) -> dict[str, Any] | None:
    """A line for each task across parameters and metrics that differ; null for fewer than 2."""
    axes = [
        row
        for row in rows
        if row.part in ("parameter", "metric") and any(value is not None for value in row.values)
    ][:MOST_AXES]
    if len(axes) < 2:
        return None
    columns = [_on_axis(row) for row in axes]
    return {
        "animation": False,
        "tooltip": {"renderMode": "richText", "confine": True},
        "parallel": {"left": 50, "right": 90, "top": 36, "bottom": 20},
        "parallelAxis": [_axis(number, row) for number, row in enumerate(axes)],
        "series": [
            {
                "type": "parallel",
                "name": task,
                "lineStyle": {"width": 1.5, "opacity": 0.75, "color": color(number)},
                "data": [[column[number] for column in columns]],
            }
            for number, task in enumerate(tasks)
        ],
    }


def _axis(number: int, row: Row) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "dim": number,
        "name": row.name,
        "nameTextStyle": {"color": _TEXT, "fontSize": 11},
        "axisLabel": {"color": _TEXT, "fontSize": 10},
    }
    if _numbers(row):
        return axis | {"type": "value", "scale": True}
    words = list(dict.fromkeys(str(value) for value in row.values if value is not None))
    return axis | {"type": "category", "data": words}


def _numbers(row: Row) -> bool:
    return all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value in row.values
    )


def _on_axis(row: Row) -> Sequence[Any]:
    if _numbers(row):
        return row.values
    return [None if value is None else str(value) for value in row.values]
