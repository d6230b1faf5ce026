"""A chart over time, drawn alike wherever there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from nicegui import ui

from ...style import AXIS, COLOURS, GRID_LINE

LINES = ("#2f81d0", "#e69f00", "#009e73", "#b06fb0", "#d55e00", "#56b4e9", "#8a7f1f", "#9aa5b1")
"""In the order in which lines are given colours."""

_SIZES = """(v) => { let unit = 'k'; v /= 1000;
    for (const larger of ['M', 'G', 'T']) if (Math.abs(v) >= 1000) { v /= 1000; unit = larger; }
    return `${v >= 10 || v === 0 ? Math.round(v) : v.toFixed(1)} ${unit}` }"""

_SPANS = """(v) => v >= 86400 ? `${(v / 86400).toFixed(1)} d`
    : v >= 3600 ? `${(v / 3600).toFixed(1)} h`
    : v >= 60 ? `${Math.round(v / 60)} m` : `${Math.round(v)} s`"""

UNITS = {"bytes": _SIZES, "seconds": _SPANS}
"""Units that are written otherwise from size to size, and the function that does so."""

Point = tuple[float, float | None]
"""Milliseconds since 1970, and a value."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line: in steps if its values hold until the next one, filled and piled up if `stacked`."""

    name: str
    points: Sequence[Point]
    colour: str = ""
    stacked: bool = False
    steps: bool = False


class TimeChart:
    """Lines over time under one cursor. `most` is where the axis ends, if it is known before."""

    def __init__(
        self, title: str, *, unit: str = "", most: float | None = None, height: int = 170
    ) -> None:
        self._unit = unit
        self._most = most
        self._lines: list[Line] = []
        self._mark: int | None = None
        self.card = ui.element("div").classes("evq-card")
        with self.card:
            ui.label(title).classes("evq-head")
            self.element = ui.echart(self._options([])).classes("w-full")
            self.element.style(f"height: {height}px")

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines and no others."""
        self._lines = list(lines)
        self._draw()

    def mark(self, at: int | None) -> None:
        """Draw a mark at a moment, in microseconds since 1970, or none."""
        self._mark = at
        self._draw()

    def _draw(self) -> None:
        options = self._options(self._lines)
        if self._mark is not None and options["series"]:
            options["series"][0]["markLine"] = {
                "data": [{"xAxis": self._mark / 1000}],
                "symbol": "none",
                "silent": True,
                "label": {"show": False},
                "lineStyle": {"color": COLOURS["outside"], "width": 2},
            }
        self.element.options.clear()
        self.element.options.update(options)
        self.element.update()

    def _options(self, lines: Sequence[Line]) -> dict[str, Any]:
        label = {"color": AXIS, "fontSize": 10}
        value: dict[str, Any] = dict(label)
        tip: dict[str, Any] = {"trigger": "axis", "renderMode": "richText", "confine": True}
        if self._unit in UNITS:
            value[":formatter"] = tip[":valueFormatter"] = UNITS[self._unit]
        elif self._unit:
            value["formatter"] = "{value} " + self._unit
        axis: dict[str, Any] = {
            "type": "value",
            "min": 0,
            "axisLabel": value,
            "splitLine": {"lineStyle": {"color": GRID_LINE}},
            "splitNumber": 3,
            "minInterval": 0 if self._unit else 1,
        }
        if self._most is not None:
            axis |= {"max": self._most, "interval": self._most / 4}
        return {
            "animation": False,
            "color": list(LINES),
            "grid": {"left": 46, "right": 12, "top": 26, "bottom": 22},
            "legend": {
                "top": 0,
                "right": 0,
                "type": "scroll",
                "itemWidth": 12,
                "itemHeight": 8,
                "textStyle": {"color": AXIS, "fontSize": 11},
            },
            "tooltip": tip,
            "xAxis": {"type": "time", "axisLabel": {**label, "hideOverlap": True}},
            "yAxis": axis,
            "series": [_series(line) for line in lines],
        }


def _series(line: Line) -> dict[str, Any]:
    series: dict[str, Any] = {
        "type": "line",
        "name": line.name,
        "data": list(line.points),
        "showSymbol": False,
        "lineStyle": {"width": 1.5},
        "connectNulls": False,
    }
    if line.colour:
        series["itemStyle"] = {"color": line.colour}
    if line.steps:
        series["step"] = "end"
    if line.stacked:
        series |= {"stack": "all", "areaStyle": {"opacity": 0.45}, "lineStyle": {"width": 0.5}}
    return series


def points(rows: Sequence[dict[str, Any]], column: str) -> list[Point]:
    """A column of an answer over its column `ms`."""
    return [(row["ms"], row[column]) for row in rows]
