"""`evq sql`: questions to the database, answered row by row as they come."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core import units
from ...core.errors import UsageError
from ...core.questions import Head, Named, Sql
from .. import output
from ..options import json_option
from ..output import Column
from ..session import call
from ..submit.request import pairs
from .local import answer

if TYPE_CHECKING:
    from ...core.sdk.client import Client

NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "HUGE")


@click.command()
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--timeout", default="30s", metavar="TIME", help="Give up after that.  [30s]")
@click.option("--param", multiple=True, metavar="K=V", help="A parameter of a @question.")
@click.option(
    "--local",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Ask the export in DIR instead of a server.",
)
@json_option
def sql(
    query: str,
    as_csv: bool,
    timeout: str,
    param: tuple[str, ...],
    local: Path | None,
    as_json: bool,
) -> None:
    """Ask the database in SQL; `@NAME` asks a question that it knows, `-` reads the query.

    Only reading is possible. With --json the rows are one array of objects.

    \b
    Examples:
      evq sql "select state, count(*) from tasks group by state"
      evq sql @queues
      evq sql - --csv < query.sql > rows.csv
      evq sql --local ~/history "select state, count(*) from tasks group by state"
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json at once", fix="choose one")
    question = _question(query, units.seconds(timeout), pairs(param, "--param"))
    printer = _Csv() if as_csv else _Json() if as_json else _Table()
    if local:
        _print(answer(local, question), printer)
    else:
        call(lambda client: _ask(client, question, printer))


def _question(query: str, timeout: float, params: dict[str, str]) -> Named | Sql:
    text = sys.stdin.read() if query == "-" else query
    if text.startswith("@"):
        return Named(text[1:].strip(), dict(params))
    if params:
        raise UsageError(
            "--param is for questions known by name", fix="evq sql @metrics --param task=ID"
        )
    if not text.strip():
        raise UsageError("the query is empty", fix='evq sql "select * from tasks limit 5"')
    return Sql(text, timeout)


async def _ask(client: Client, question: Named | Sql, printer: _Printer) -> None:
    async for part in client.answer(question):
        printer.part(part)
    printer.end()


def _print(parts: Iterable[Head | list[list[Any]]], printer: _Printer) -> None:
    for part in parts:
        printer.part(part)
    printer.end()


class _Printer:
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


class _Json(_Printer):
    def __init__(self) -> None:
        self._between = "["

    def rows(self, rows: list[list[Any]]) -> None:
        for row in rows:
            line = msgspec.json.encode(dict(zip(self.names, row, strict=True))).decode()
            sys.stdout.write(f"{self._between}{line}")
            self._between = ",\n"

    def end(self) -> None:
        sys.stdout.write("[]\n" if self._between == "[" else "]\n")


class _Csv(_Printer):
    def begin(self, head: Head) -> None:
        super().begin(head)
        self.rows([self.names])

    def rows(self, rows: list[list[Any]]) -> None:
        page = io.StringIO()
        csv.writer(page, lineterminator="\n").writerows(rows)
        sys.stdout.write(page.getvalue())


class _Table(_Printer):
    """Widths come from the first part of the rows; the rest goes on in them."""

    def __init__(self) -> None:
        self._columns: list[Column] = []
        self._count = 0
        self._widths: list[int] | None = None

    def begin(self, head: Head) -> None:
        super().begin(head)
        self._columns = [
            Column(one.name, right=one.type.startswith(NUMBERS), soft=True) for one in head.columns
        ]

    def rows(self, rows: list[list[Any]]) -> None:
        self._count += len(rows)
        self._widths = output.say_table(self._columns, rows, self._widths)

    def end(self) -> None:
        if self._widths is None:
            output.say_table(self._columns, [])
        if output.on_terminal():
            output.note(output.dim(f"{self._count} rows"))
