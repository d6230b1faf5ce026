"""A sweep in pictures: how its best came about, and what mattered for that. Pure options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...style import AXIS, GRID_LINE

COLOURS = {
    "complete": "#009e73",
    "pruned": "#e69f00",
    "failed": "#d55e00",
    "stopped": "#9aa5b1",
    "hopeless": "#e69f00",
    "running": "#2f81d0",
}
_LINES: dict[str, Any] = {
    "axisLabel": {"color": AXIS},
    "axisLine": {"lineStyle": {"color": AXIS}},
    "splitLine": {"lineStyle": {"color": GRID_LINE}},
    "nameTextStyle": {"color": AXIS},
}
"""Of every axis: ECharts' own lines are for a light page alone."""


def progress(trials: Sequence[Mapping[str, Any]], metric: str, goal: str) -> dict[str, Any]:
    """The value of each complete trial by its number, and the best so far as a line."""
    points, line = [], []
    best: float | None = None
    for trial in trials:
        if trial["state"] != "complete" or not trial["values"]:
            continue
        number, value = int(trial["number"]), float(trial["values"][0])
        if best is None or (value < best if goal == "minimize" else value > best):
            best = value
        points.append([number, value])
        line.append([number, best])
    return {
        "animation": False,
        "title": _title(f"{metric} by trial, and the best so far"),
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "grid": {"left": 64, "right": 16, "top": 34, "bottom": 34},
        "xAxis": {
            **_LINES,
            "type": "value",
            "minInterval": 1,
            "name": "trial",
            "nameLocation": "middle",
        },
        "yAxis": {**_LINES, "type": "value", "scale": True},
        "series": [
            {
                "type": "scatter",
                "name": "trial",
                "data": points,
                "symbolSize": 7,
                "color": COLOURS["complete"],
            },
            {
                "type": "line",
                "name": "best",
                "data": line,
                "step": "end",
                "showSymbol": False,
                "color": COLOURS["running"],
            },
        ],
    }


def importances(shares: Mapping[str, float]) -> dict[str, Any]:
    """How much each parameter matters, the most on top."""
    rising = sorted(shares.items(), key=lambda pair: pair[1])
    return {
        "animation": False,
        "title": _title("what matters"),
        "tooltip": {"renderMode": "richText"},
        "grid": {"left": 110, "right": 24, "top": 34, "bottom": 28},
        "xAxis": {**_LINES, "type": "value", "max": 1},
        "yAxis": {
            **_LINES,
            "type": "category",
            "data": [_short(name) for name, _ in rising],
            "axisLabel": {"color": AXIS, "width": 96, "overflow": "truncate"},
        },
        "series": [
            {
                "type": "bar",
                "data": [round(share, 3) for _, share in rising],
                "color": COLOURS["running"],
                "barMaxWidth": 18,
            }
        ],
    }


def axes(trials: Sequence[Mapping[str, Any]], names: Sequence[str], metric: str) -> dict[str, Any]:
    """Each trial as a line across its parameters to its value."""
    complete = [one for one in trials if one["state"] == "complete" and one["values"]]
    places = [*names, metric]
    columns = [[one["params"].get(name) for one in complete] for name in names]
    columns.append([one["values"][0] for one in complete])
    lines = [list(line) for line in zip(*columns, strict=True)]
    return {
        "animation": False,
        "title": _title("parameters of complete trials"),
        "parallel": {"left": 50, "right": 60, "top": 64, "bottom": 30},
        "parallelAxis": [
            {**_LINES, "dim": place, "name": _short(name), **_scale(column)}
            for place, (name, column) in enumerate(zip(places, columns, strict=True))
        ],
        "visualMap": {
            "show": False,
            "dimension": len(places) - 1,
            "min": min(columns[-1], default=0),
            "max": max(columns[-1], default=1),
            "inRange": {"color": ["#2f81d0", "#c9ced6", "#d55e00"]},
        },
        "series": [
            {"type": "parallel", "lineStyle": {"width": 1.5, "opacity": 0.6}, "data": lines}
        ],
    }


def _scale(values: Sequence[Any]) -> dict[str, Any]:
    """A number's axis, logarithmic if the values lie far apart, or one of words."""
    there = [value for value in values if value is not None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        words = sorted({str(value) for value in there})
        return {"type": "category", "data": words}
    low, high = min(there, default=0), max(there, default=1)
    return {"type": "log" if low > 0 and high / low > 100 else "value", "scale": True}


def _title(text: str) -> dict[str, Any]:
    style = {"fontSize": 12, "fontWeight": "normal", "color": AXIS}
    return {"text": text, "left": 8, "top": 4, "textStyle": style}


def _short(text: str) -> str:
    """A label of a few letters. Braces would mean something to ECharts."""
    plain = text.replace("{", "(").replace("}", ")").replace("\n", " ")
    return plain if len(plain) <= 24 else plain[:23] + "…"
