"""An answer on stdout, row by row as it comes: as a table, as JSON, or as CSV."""

from __future__ import annotations

import csv
import io
import sys
from typing import Any

import msgspec

from ...core.charts import is_number
from ...core.questions import Head
from .. import output
from ..output import Column


class Printer:
    """Prints an answer part by part."""

    names: list[str]

    def part(self, part: Head | list[list[Any]]) -> None:
        """The next part of an answer came."""
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
