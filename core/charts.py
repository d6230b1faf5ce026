"""Charts of an answer: which kind, and which columns. Pages and terminals draw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from .errors import UsageError
from .questions import Column

Kind = Literal["bar", "line", "scatter"]

_NUMBERS = ("TINYINT", "SMALLINT", "INT", "BIGINT", "HUGE", "U", "DECIMAL", "DOUBLE", "FLOAT")
_TIMES = ("TIMESTAMP", "DATE")


class Chart(msgspec.Struct, frozen=True):
    """A chart of the columns `y` over the column `x`.

    `series` is the column, if there is one, whose values tell apart the rows of different lines.
    """

    kind: Kind
    x: str
    y: tuple[str, ...]
    series: str | None = None

    @property
    def text(self) -> str:
        """As `parse_chart` reads it."""
        return f"{self.kind}:{self.x},{','.join(self.y)}" + (f":{self.series}" * bool(self.series))


def parse_chart(text: str) -> Chart:
    """The chart that `KIND:X,Y[,Y…][:SERIES]` means. Raises `UsageError`."""
    kind, _, rest = text.partition(":")
    columns, _, series = rest.partition(":")
    x, *y = (word.strip() for word in columns.split(","))
    if kind not in get_args(Kind) or not x or not y or not all(y):
        raise UsageError(
            f"{text!r} is no chart",
            why="a chart has a kind (bar, line or scatter), a column for x, and columns for y",
            fix="line:ts,depth, or line:ts,depth:queue for a line for each queue",
        )
    return Chart(kind, x, tuple(y), series.strip() or None)  # type: ignore[arg-type]


def chart_for(columns: Sequence[Column], wish: str = "") -> Chart:
    """The chart of an answer with these columns: as wished, or else as their types suggest.

    A wish may be a kind alone. Raises `UsageError` if it names a column that is not there, or if
    nothing can be drawn.
    """
    if ":" in wish:
        chart = parse_chart(wish)
        _check(chart, columns)
        return chart
    suggested = _suggested(columns)
    if wish in ("", "auto"):
        return suggested
    if wish not in get_args(Kind):
        parse_chart(wish)
    return msgspec.structs.replace(suggested, kind=wish)


def is_number(column: Column) -> bool:
    """Whether its values can be drawn."""
    return column.type.startswith(_NUMBERS) and column.type != "UUID" and "[" not in column.type


def is_time(column: Column) -> bool:
    """Whether its values are times."""
    return column.type.startswith(_TIMES) and "[" not in column.type


def _check(chart: Chart, columns: Sequence[Column]) -> None:
    known = {column.name: column for column in columns}
    for name in (chart.x, *chart.y, *([chart.series] if chart.series else [])):
        if name not in known:
            raise UsageError(
                f"there is no column {name} to draw",
                why=f"the answer has {', '.join(known)}",
                fix=f"{chart.kind}:X,Y with two of these",
            )
    for name in chart.y:
        if not is_number(known[name]):
            raise UsageError(
                f"{name} cannot be drawn", why=f"it is {known[name].type}, and no number"
            )


def _suggested(columns: Sequence[Column]) -> Chart:
    """Numbers over a time are lines, over words bars, and over another number points."""
    numbers = [column.name for column in columns if is_number(column)]
    times = [column.name for column in columns if is_time(column)]
    words = [c.name for c in columns if not is_number(c) and not is_time(c) and "[" not in c.type]
    if times and numbers:
        return Chart("line", times[0], (numbers[0],), words[0] if words else None)
    if words and numbers:
        return Chart("bar", words[0], (numbers[0],))
    if len(numbers) > 1:
        return Chart("scatter", numbers[0], (numbers[1],))
    raise UsageError(
        "there is nothing to draw",
        why="a chart needs a column of numbers, and another column to draw them over",
        fix="select two columns, such as a name and a count",
    )
