"""Curves below each other under one cursor, as one chart of ECharts.

Names that users gave are put in as text only: tooltips are drawn, not made of HTML, and no name is
a key, because keys have a meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ...points import Curve, Point

Across = Literal["time", "step"]

HEIGHT = 118
"""Pixels for each curve."""

_TOP, _BOTTOM, _LEFT, _RIGHT = 24, 40, 64, 16
_PLOT = HEIGHT - 34
_COLORS = ("#42a5f5", "#ef5350", "#66bb6a", "#ffa726", "#ab47bc", "#26a69a", "#8d6e63", "#78909c")
_FAINT = "rgba(128,128,128,.25)"
_TEXT = "#888"


def height(count: int) -> int:
    """Pixels for so many curves."""
    return _TOP + count * HEIGHT + _BOTTOM


def options(curves: Sequence[Curve], across: Across, *, log: bool) -> dict[str, Any]:
    """The whole chart."""
    places = range(len(curves))
    last = len(curves) - 1
    return {
        "animation": False,
        "textStyle": {"fontSize": 11},
        "title": [title(number, curve) for number, curve in enumerate(curves)],
        "tooltip": {
            "trigger": "axis",
            "renderMode": "richText",
            "confine": True,
            "textStyle": {"fontSize": 11},
        },
        "axisPointer": {"link": [{"xAxisIndex": "all"}], "label": {"show": False}},
        "dataZoom": [
            {"type": "inside", "xAxisIndex": "all", "zoomOnMouseWheel": "ctrl"},
            {
                "type": "slider",
                "xAxisIndex": "all",
                "height": 16,
                "bottom": 4,
                "textStyle": {"color": _TEXT},
            },
        ],
        "grid": [
            {"left": _LEFT, "right": _RIGHT, "top": _TOP + place * HEIGHT + 16, "height": _PLOT}
            for place in places
        ],
        "xAxis": [
            {
                "type": "time" if across == "time" else "value",
                "gridIndex": place,
                "min": "dataMin",
                "max": "dataMax",
                "axisLabel": {"show": place == last, "color": _TEXT, "hideOverlap": True},
                "axisTick": {"show": place == last},
                "axisLine": {"lineStyle": {"color": _FAINT}},
                "splitLine": {"show": False},
            }
            for place in places
        ],
        "yAxis": [
            {
                "type": "log" if log else "value",
                "gridIndex": place,
                "scale": True,
                "splitNumber": 3,
                "axisLabel": {"color": _TEXT, "hideOverlap": True},
                "splitLine": {"lineStyle": {"color": _FAINT}},
            }
            for place in places
        ],
        "series": [
            one
            for number, curve in enumerate(curves)
            for one in series(number, curve, across, log=log)
        ],
    }


def title(number: int, curve: Curve) -> dict[str, Any]:
    """A curve's name and its last value."""
    value = curve.last.value if curve.last else None
    return {
        "id": f"t{number}",
        "text": f"{curve.name}   {number_text(value)}{curve.unit}",
        "left": _LEFT - 4,
        "top": _TOP + number * HEIGHT - 4,
        "textStyle": {"fontSize": 12, "fontWeight": "normal", "color": _TEXT},
    }


def series(number: int, curve: Curve, across: Across, *, log: bool) -> list[dict[str, Any]]:
    """A curve's line, and the band between its lowest and highest values behind it."""
    color = _COLORS[number % len(_COLORS)]
    place = {"type": "line", "xAxisIndex": number, "yAxisIndex": number, "symbol": "none"}
    points = [(_x(point, across), point) for point in curve.points]
    line = {
        **place,
        "id": f"v{number}",
        "name": curve.name,
        "color": color,
        "lineStyle": {"width": 1.3},
        "showSymbol": len(points) == 1,
        "data": [(x, point.value) for x, point in points if x is not None],
    }
    if len(points) == 1:
        line["symbol"] = "circle"
    if log:
        return [line]
    shared = {
        **place,
        "stack": f"band{number}",
        "stackStrategy": "all",
        "silent": True,
        "lineStyle": {"opacity": 0},
        "tooltip": {"show": False},
    }
    low = {
        **shared,
        "id": f"l{number}",
        "data": [(x, one.low) for x, one in points if x is not None],
    }
    high = {
        **shared,
        "id": f"h{number}",
        "areaStyle": {"color": color, "opacity": 0.18},
        "data": [(x, _between(one)) for x, one in points if x is not None],
    }
    return [low, high, line]


def _x(point: Point, across: Across) -> float | None:
    return point.at / 1000 if across == "time" else point.step


def _between(point: Point) -> float | None:
    if point.low is None or point.high is None:
        return None
    return point.high - point.low


def number_text(value: float | None) -> str:
    """A value in at most five digits."""
    return "" if value is None else f"{value:.5g}"
