"""An answer on stdout, row by row as it comes: as a table, JSON or CSV; or all of it as a chart."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from ...core.charts import chart_for, is_number
from ...core.questions import Head
from .. import output
from ..options import THIS_RUN
from ..output import Column


class Printer:
    """Prints an answer part by part."""

    names: list[str]

    def print(self, parts: Iterable[Head | list[list[Any]]]) -> None:
        """Print a whole answer."""
        for part in parts:
            self.part(part)
        self.end()

    def part(self, part: Head | list[list[Any]]) -> None:
        """The next part of the answer came."""
        if isinstance(part, Head):
            self.begin(part)
        else:
            self.rows(part)

    def begin(self, head: Head) -> None:
        """The columns are known."""
        self.names = [column.name for column in head.columns]

    def rows(self, rows: list[list[Any]]) -> None:
        """Some more rows came."""
        raise NotImplementedError

    def end(self) -> None:
        """That was all."""


class JsonPrinter(Printer):
    """One array of objects."""

    def __init__(self) -> None:
        self._between = "["

    def rows(self, rows: list[list[Any]]) -> None:
        for row in rows:
            line = msgspec.json.encode(dict(zip(self.names, row, strict=True))).decode()
            sys.stdout.write(f"{self._between}{line}")
            self._between = ",\n"

    def end(self) -> None:
        sys.stdout.write("[]\n" if self._between == "[" else "]\n")


class CsvPrinter(Printer):
    """A head and lines."""

    def begin(self, head: Head) -> None:
        super().begin(head)
        self.rows([self.names])

    def rows(self, rows: list[list[Any]]) -> None:
        page = io.StringIO()
        csv.writer(page, lineterminator="\n").writerows(rows)
        sys.stdout.write(page.getvalue())


class TablePrinter(Printer):
    """Widths come from the first part of the rows; the rest goes on in them."""

    def __init__(self) -> None:
        self._columns: list[Column] = []
        self._count = 0
        self._widths: list[int] | None = None

    def begin(self, head: Head) -> None:
        super().begin(head)
        self._columns = [Column(one.name, right=is_number(one), soft=True) for one in head.columns]

    def rows(self, rows: list[list[Any]]) -> None:
        self._count += len(rows)
        self._widths = output.say_table(self._columns, rows, self._widths)

    def end(self) -> None:
        if self._widths is None:
            output.say_table(self._columns, [])
        if output.on_terminal():
            output.note(output.dim(f"{self._count} rows"))


class ChartPrinter(Printer):
    """Draws the whole answer at its end; `wish` is as in `charts.chart_for`."""

    def __init__(self, wish: str) -> None:
        self._wish = wish
        self._rows: list[list[Any]] = []

    def begin(self, head: Head) -> None:
        super().begin(head)
        self._columns = head.columns
        self._chart = chart_for(head.columns, self._wish)

    def rows(self, rows: list[list[Any]]) -> None:
        self._rows += rows

    def end(self) -> None:
        from .plot import draw

        if not self._rows:
            output.note("there is nothing to draw: the answer has no rows")
            return
        colors = output.on_terminal() if THIS_RUN.colors is None else THIS_RUN.colors
        output.say(draw(self._chart, self._columns, self._rows, colors=colors))
