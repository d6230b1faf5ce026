"""Charts in the terminal: bars by rich, lines and points by plotext.

Without colours lines are told apart by letters, and a terminal that cannot show the characters for
half-drawn cells gets plain ones.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from ...core.charts import Chart, is_time
from ...core.questions import Column
from .. import output

HEIGHT = 18
MOST_BARS = 40
MOST_LINES = 8
MOST_POINTS = 2000
"""Of one line: a terminal shows fewer."""

_TICKS = 5
_LETTERS = "abcdefgh"
_PLAIN = str.maketrans("│─┌┐└┘├┤┬┴┼█▉▊▋▌▐▍▎▏▕…", "|-+++++++++######    .")
_DRAWN = "│┤⣿█▌"

Rows = Sequence[Sequence[Any]]
Point = tuple[float, float]


def draw(chart: Chart, columns: Sequence[Column], rows: Rows, *, colors: bool) -> str:
    """The chart as text, no wider than the terminal."""
    plain = not output.can_print(_DRAWN)
    if chart.kind == "bar":
        text = _bars(chart, columns, rows, colors)
    else:
        text = _curves(chart, columns, rows, colors, plain)
    return text.translate(_PLAIN) if plain else text


# --- bars -------------------------------------------------------------------------------------


def _bars(chart: Chart, columns: Sequence[Column], rows: Rows, colors: bool) -> str:
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    shown = rows[:MOST_BARS]
    values = {name: _floats(columns, shown, name) for name in chart.y}
    labels = [str("" if label is None else label) for label in _values(columns, shown, chart.x)]
    known = [value for line in values.values() for value in line if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=30)
    several = len(chart.y) > 1
    if several:
        grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    for number, label in enumerate(labels):
        for place, name in enumerate(chart.y):
            value = values[name][number]
            bar = Bar(
                (high - low) or 1.0,
                min(value or 0.0, 0.0) - low,
                max(value or 0.0, 0.0) - low,
                color=f"color({2 + place})",
            )
            # Words of users are no markup.
            names = [_plain(label if place == 0 else "")] + [_plain(name)] * several
            grid.add_row(*names, bar, _plain(_number(value)))
    page = Console(
        file=io.StringIO(),
        width=output.terminal_width(),
        color_system="standard" if colors else None,
        force_terminal=colors,
        legacy_windows=False,
    )
    title = ", ".join(chart.y)
    page.print(_plain(f"{title} by {chart.x}"))
    page.print(grid)
    if len(rows) > len(shown):
        page.print(_plain(f"… and {len(rows) - len(shown)} more"))
    assert isinstance(page.file, io.StringIO)
    return "\n".join(line.rstrip() for line in page.file.getvalue().splitlines())


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1e5 else f"{value:g}"


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(" ".join(text.split()))


# --- lines and points -------------------------------------------------------------------------


def _curves(chart: Chart, columns: Sequence[Column], rows: Rows, colors: bool, plain: bool) -> str:
    import plotext

    lines = dict(_lines(chart, columns, rows))
    shown = dict(list(lines.items())[:MOST_LINES])
    points = [point for line in shown.values() for point in line]
    if not points:
        return f"nothing to draw: no row has both {chart.x} and {chart.y[0]}"
    by_letter = len(shown) > 1 and not colors
    figure = plotext.figure
    figure.clear()
    figure.theme("simple")  # the terminal's own background
    figure.plot_size(output.terminal_width(), HEIGHT)
    for letter, (name, line) in zip(_LETTERS, shown.items(), strict=False):
        marker = letter if by_letter else "*" if plain else "braille"
        xs, ys = zip(*_thinned(line), strict=True)
        signal = figure.signal(xs, ys, marker=marker)
        if len(shown) > 1 and colors:
            signal.label(name)
        figure.draw(signal.lines() if chart.kind == "line" else signal)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if chart.kind == "line" and low >= 0:
        figure.ruler("y").lim(0, high or 1)
    column = next(column for column in columns if column.name == chart.x)
    if is_time(column):
        times = [x for x, _ in points]
        figure.ruler("x").ticks(*_time_ticks(min(times), max(times)))
    drawn = figure.build().string(colorless=not colors).rstrip()
    unit = f"{chart.x} (UTC)" if is_time(column) else chart.x
    head = f"{', '.join(chart.y)} over {unit}"
    if by_letter:
        head += ": " + "  ".join(
            f"{letter} {name}" for letter, name in zip(_LETTERS, shown, strict=False)
        )
    left = f"\n… and {len(lines) - len(shown)} more lines" * (len(lines) > len(shown))
    return f"{head}\n{drawn}{left}"


def _lines(
    chart: Chart, columns: Sequence[Column], rows: Rows
) -> Iterator[tuple[str, list[Point]]]:
    """The points of each line, by its name, in the order of x."""
    xs = _floats(columns, rows, chart.x)
    series = _values(columns, rows, chart.series) if chart.series else [""] * len(rows)
    for name in dict.fromkeys(series):
        for y in chart.y:
            ys = _floats(columns, rows, y)
            points = [
                (x, value)
                for x, value, one in zip(xs, ys, series, strict=True)
                if one == name and x is not None and value is not None
            ]
            words = [str(name)] * bool(chart.series) + [y] * (len(chart.y) > 1)
            if points:
                yield " ".join(words) or y, sorted(points)


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most about `MOST_POINTS` of them: of each stretch the lowest and the highest."""
    stretch = 2 * math.ceil(len(points) / MOST_POINTS)
    if stretch <= 2:
        return points
    kept: list[Point] = []
    for begin in range(0, len(points), stretch):
        part = points[begin : begin + stretch]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def _time_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Where times are written below a chart, and how."""
    span = high - low
    count = _TICKS if span else 1
    form = "%H:%M:%S" if span < 600 else "%H:%M" if span < 86_400 else "%m-%d %H:%M"
    if span > 4 * 86_400:
        form = "%Y-%m-%d" if span > 300 * 86_400 else "%m-%d"
    places = [low + span * number / max(count - 1, 1) for number in range(count)]
    return places, [datetime.fromtimestamp(place, UTC).strftime(form) for place in places]


# --- values -----------------------------------------------------------------------------------


def _values(columns: Sequence[Column], rows: Rows, name: str) -> list[Any]:
    place = [column.name for column in columns].index(name)
    return [row[place] for row in rows]


def _floats(columns: Sequence[Column], rows: Rows, name: str) -> list[float | None]:
    """A column's values as numbers, times as seconds; null for what is none, or not finite."""
    return [_float(value) for value in _values(columns, rows, name)]


def _float(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            return None
        value = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None
