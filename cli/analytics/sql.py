"""`evq sql`: questions to the database, answered row by row as they come."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core import units
from ...core.charts import Chart, chart_for
from ...core.errors import UsageError
from ...core.questions import Column, Head, Named, Sql
from .. import output
from ..options import THIS_RUN, json_option
from ..session import call
from ..submit.request import pairs
from . import saved
from .local import Export, call_export
from .printers import CsvPrinter, JsonPrinter, Printer, TablePrinter

if TYPE_CHECKING:
    from ...core.sdk.client import Client

    Source = Client | Export

_CHART = re.compile(r"(auto|bar|line|scatter)(:.*)?")


class SqlCommand(click.Command):
    """Its parameters of queries look like options, and `--help` of a query describes the query."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = list(args)
        if "--help" in words and any(word.startswith("@") for word in words):
            words[words.index("--help")] = "--describe"
        if "--plot" in words:
            place = words.index("--plot")
            said = words[place + 1 : place + 2]
            chart = said[0] if said and _CHART.fullmatch(said[0]) else "auto"
            words[place : place + 1 + (chart in said)] = [f"--plot={chart}"]
        return super().parse_args(ctx, words)


@click.command(cls=SqlCommand, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="QUERY [NAME=VALUE]...")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--plot", metavar="[CHART]", help="Draw it: bar, line or scatter, or KIND:X,Y[,Y…][:SERIES]."
)
@click.option("--timeout", default="30s", metavar="TIME", help="Give up after that.  [30s]")
@click.option("--param", multiple=True, metavar="K=V", help="A parameter, as K=V or --K V are.")
@click.option("--list", "list_all", is_flag=True, help="The queries that have a name.")
@click.option("--describe", is_flag=True, help="What @NAME answers and takes; also --help.")
@click.option("--save", metavar="NAME", help="Save the query by that name, for everybody.")
@click.option("--about", default="", metavar="TEXT", help="With --save: what it answers.")
@click.option("--replace", is_flag=True, help="With --save: in the place of one that is there.")
@click.option("--delete", metavar="NAME", help="Delete a saved query.")
@click.option("--undo", metavar="NAME", help="Take back what was last done to a saved query.")
@click.option(
    "--local",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Ask the export in DIR instead of a server.",
)
@json_option
def sql(
    words: tuple[str, ...],
    local: Path | None,
    as_csv: bool,
    plot: str | None,
    timeout: str,
    param: tuple[str, ...],
    list_all: bool,
    describe: bool,
    save: str | None,
    about: str,
    replace: bool,
    delete: str | None,
    undo: str | None,
    as_json: bool,
) -> None:
    """Ask the database in SQL; `@NAME` asks a query by its name, `-` reads one.

    Only reading is possible. `$NAME` in a query is a parameter: type NAME=VALUE or --NAME VALUE.
    With --json the rows are one array of objects. docs/queries.md has all of evq's own queries.

    \b
    Examples:
      evq sql "select state, count(*) from tasks group by state"
      evq sql --list
      evq sql @wait-percentiles --by user --days 30
      evq sql @queue-depth hours=48 --plot
      evq sql @wait-percentiles --help
      evq sql --save slow 'from tasks where run_seconds > $seconds' seconds=3600
      evq sql - --csv < query.sql > rows.csv
      evq sql --local ~/history "select state, count(*) from tasks group by state"
    """
    if sum(map(bool, (as_csv, as_json, plot))) > 1:
        raise UsageError("--csv, --json and --plot do not go together", fix="choose one")
    if list_all:
        return saved.say_all(as_json)
    if delete or undo:
        return saved.delete(delete) if delete else saved.undo(str(undo))
    text = _query(words)
    params = dict(pairs(param, "--param")) | _parameters(words[1:])
    if describe:
        return saved.describe(text, as_json)
    if save:
        return saved.save(save, text, params, about=about, chart=plot or "", replace=replace)
    question = _question(text, units.seconds(timeout), params)
    ask = partial(call_export, local) if local else call
    if plot:
        return ask(lambda source: _plot(source, question, plot))
    printer = CsvPrinter() if as_csv else JsonPrinter() if as_json else TablePrinter()
    return ask(lambda source: _print(source, question, printer))


def _query(words: Sequence[str]) -> str:
    text = words[0] if words else ""
    if text == "-":
        text = sys.stdin.read()
    if not text.strip():
        raise UsageError("the query is empty", fix='evq sql "select * from tasks limit 5"')
    return text.strip()


def _parameters(words: Sequence[str]) -> dict[str, str]:
    """The values in `NAME=VALUE`, `--NAME=VALUE` and `--NAME VALUE`."""
    found: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        name, has_value, value = word.removeprefix("--").partition("=")
        if not has_value and word.startswith("--") and left:
            has_value, value = "=", left.pop(0)
        if not has_value or not re.fullmatch(r"\w[\w-]*", name):
            raise UsageError(
                f"{word} is no option, and sets no parameter",
                why="a parameter of a query is typed NAME=VALUE or --NAME VALUE",
                fix="evq sql --help; evq sql @NAME --help for what a query takes",
            )
        found[name.replace("-", "_")] = value
    return found


def _question(text: str, timeout: float, params: Mapping[str, Any]) -> Named | Sql:
    if text.startswith("@"):
        return Named(text[1:], dict(params))
    return Sql(text, timeout, params=dict(params))


async def _print(source: Source, question: Named | Sql, printer: Printer) -> None:
    async for part in source.answer(question):
        printer.part(part)
    printer.end()


async def _plot(source: Source, question: Named | Sql, wish: str) -> None:
    from .plot import draw

    columns: Sequence[Column] = ()
    rows: list[list[Any]] = []
    async for part in source.answer(question):
        if isinstance(part, Head):
            columns = part.columns
        else:
            rows += part
    chart = await _chart(source, question, columns, wish)
    if not rows:
        output.note("there is nothing to draw: the answer has no rows")
        return
    colors = output.on_terminal() if THIS_RUN.colors is None else THIS_RUN.colors
    output.say(draw(chart, columns, rows, colors=colors))


async def _chart(
    source: Source, question: Named | Sql, columns: Sequence[Column], wish: str
) -> Chart:
    """As wished; else as the query itself has it; else as the columns suggest."""
    from ...core.sdk.saved import all_queries

    if wish == "auto" and isinstance(question, Named) and not isinstance(source, Export):
        asked = question.name.replace("_", "-")
        hints = [query.chart for query in await all_queries(source) if query.name == asked]
        wish = hints[0] if hints else ""
    return chart_for(columns, wish)
