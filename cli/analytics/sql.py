"""`evq sql`: questions to the database, answered row by row as they come."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...core import units
from ...core.errors import UsageError
from ...core.queries import query_name
from ...core.questions import Named, Sql, question_of
from .. import output
from ..calling import call
from ..completion import complete_query
from ..options import as_of_option, json_option
from ..submit.request import pairs
from . import saved
from .local import answer
from .local import save as save_local
from .printers import ChartPrinter, CsvPrinter, JsonPrinter, Printer, TablePrinter

if TYPE_CHECKING:
    from ...core.past import When
    from ...core.sdk.client import Client

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
@click.argument(
    "words",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="QUERY [NAME=VALUE]...",
    shell_complete=complete_query,
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--parquet",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the answer into FILE, with its types: up to 256 MiB.",
)
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
@as_of_option
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
    parquet: Path | None,
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
    as_of: When | None,
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
      evq sql --as-of "10m ago" "select task, state, agent from tasks"
      evq sql --save slow 'from tasks where run_seconds > $seconds' seconds=3600
      evq sql - --csv < query.sql > rows.csv
      evq sql "from attempts" --parquet attempts.parquet
      evq sql --local ~/history "select state, count(*) from tasks group by state"
    """
    if sum(map(bool, (as_csv, as_json, parquet, plot))) > 1:
        raise UsageError("--csv, --json, --parquet and --plot do not go together", fix="choose one")
    if list_all:
        return saved.say_all(as_json)
    if delete or undo:
        return saved.delete(delete) if delete else saved.undo(str(undo))
    place = _place_of_query(words)
    text = _query(words[place : place + 1])
    params = pairs(param, "--param") | _parameters(words[:place] + words[place + 1 :])
    if describe:
        return saved.describe(text, as_json)
    if save:
        return saved.save(save, text, params, about=about, chart=plot or "", replace=replace)
    question = question_of(text, params, units.seconds(timeout))
    if local and as_of:
        raise UsageError("an export is of one moment", fix="take --as-of or --local out")
    if parquet:
        size = (
            save_local(local, question, parquet)
            if local
            else call(lambda client: _save(client, question, parquet), as_of=as_of)
        )
        return output.note(f"{parquet}: {units.size_text(size)}")
    if plot and not local:
        return call(lambda client: _plot(client, question, plot), as_of=as_of)
    printer = (
        ChartPrinter(plot)
        if plot
        else CsvPrinter()
        if as_csv
        else JsonPrinter()
        if as_json
        else TablePrinter()
    )
    if local:
        return printer.print(answer(local, question))
    return call(lambda client: _ask(client, question, printer), as_of=as_of)


def _place_of_query(words: Sequence[str]) -> int:
    """Where the query stands: first, unless parameters of one with a name stand before it."""
    if words and words[0].startswith("--"):
        return next((n for n, word in enumerate(words) if word.startswith("@")), 0)
    return 0


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


async def _ask(client: Client, question: Named | Sql, printer: Printer) -> None:
    async with aclosing(client.answer(question)) as parts:
        async for part in parts:
            printer.part(part)
    printer.end()


async def _save(client: Client, question: Named | Sql, file: Path) -> int:
    from ...core.sdk.parquet import save_parquet

    return await save_parquet(client, question, file)


async def _plot(client: Client, question: Named | Sql, wish: str) -> None:
    """Draw the answer as wished; else as the query has it; else as the columns suggest."""
    if wish == "auto" and isinstance(question, Named):
        wish = await _hint(client, query_name(question.name))
    await _ask(client, question, ChartPrinter(wish))


async def _hint(client: Client, name: str) -> str:
    from ...core.sdk.saved import all_queries

    hints = [query.chart for query in await all_queries(client) if query.name == name]
    return hints[0] if hints else ""
