"""`evq ls`: the tasks, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ...core.fleet.quiet import quiet_tasks, quiet_words
from ...core.sdk.author import user_name
from .. import output
from ..calling import call
from ..completion import complete_queue, complete_task
from ..options import as_of_option, json_option
from ..output import Column
from ..selectors import ANY, resolve
from ..submit.array import counts_text, state_of
from .render import age, colored, end_text, iso, marked, now, span, timestamp

if TYPE_CHECKING:
    from ...core.past import When
    from ...core.sdk.client import Client

LIMIT = 20
ALL = 1_000_000

Row = Mapping[str, Any]


@click.command()
@click.option(
    "-s",
    "--state",
    "states",
    type=click.Choice(ANY),
    multiple=True,
    metavar="STATE",
    help=f"Only tasks in this state; may be repeated: {', '.join(ANY)}.",
)
@click.option(
    "-q", "--queue", metavar="NAME", shell_complete=complete_queue, help="Only this queue."
)
@click.option("--mine", is_flag=True, help="Only tasks that you enqueued.")
@click.option(
    "--parent",
    metavar="TASK",
    shell_complete=complete_task,
    help="Only tasks that this one enqueued, or that were cloned from it.",
)
@click.option(
    "-n", "limit", type=click.IntRange(min=1), default=LIMIT, metavar="N", help="At most N.  [20]"
)
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.option("--archived", is_flag=True, help="Those in the archive, left out otherwise.")
@click.option("--members", is_flag=True, help="Each member of an array on a line of its own.")
@click.option("--ranks", is_flag=True, help="Each rank of a gang on a line of its own.")
@as_of_option
@json_option
def ls(
    states: tuple[str, ...],
    queue: str | None,
    mine: bool,
    parent: str | None,
    limit: int,
    everything: bool,
    archived: bool,
    members: bool,
    ranks: bool,
    as_of: When | None,
    as_json: bool,
) -> None:
    """List tasks, the newest first.

    A gang is one line, that of its rank 0, and so is an array, with how many of its members are in
    which state.

    \b
    Examples:
      evq ls
      evq ls --mine -s running -s queued
      evq ls --as-of "yesterday 03:10"
      evq ls --all --json | jq -r '.[] | select(.exit_code == 1) | .task'
    """
    params: dict[str, Any] = {"limit": ALL if everything else limit}
    params |= {"states": list(states)} if states else {}
    params |= {"queue": queue} if queue else {}
    params |= {"user": user_name()} if mine else {}
    params |= {"archived": True} if archived else {}
    params |= {"ranks": True} if ranks else {}
    params |= {} if members else {"arrays": True}
    rows, quiet = call(lambda client: _ask(client, params, parent), as_of=as_of)
    if as_json:
        output.say_json([row | {"quiet_since": iso(quiet.get(row["task"]))} for row in rows])
    elif rows:
        _print(rows, quiet, ranks)
        if len(rows) == limit and not everything and output.on_terminal():
            output.note(output.dim(f"the newest {limit}; evq ls --all shows all there are"))
    else:
        none = "there was no task then" if as_of else "no task yet"
        asked = parent or params.keys() - {"limit", "arrays"}
        output.note("no task is like that" if asked else none)


async def _ask(
    client: Client, params: Mapping[str, Any], parent: str | None
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows, and which of their tasks are quiet, by what agents say."""
    if parent:
        params = {**params, "parent": await resolve(client, parent)}
    rows = await client.tasks(**params)
    runs = any(row["state"] == "running" for row in rows)
    return rows, quiet_tasks(await client.agents()) if runs else {}


def _ranks(row: Row, apart: bool) -> str:
    """How many ranks stand behind a line, or which one it is."""
    if row.get("members"):
        return f" ×{row['members']}"
    if row.get("gang") is None:
        return ""
    return f" [{row['gang_rank']}]" if apart else f" ×{row['nodes']}"


def _print(rows: Sequence[Row], quiet: Mapping[str, int], ranks: bool) -> None:
    columns = [
        Column("TASK", style=output.bold),
        Column("STATE", style=colored),
        Column("NAME", soft=True),
        Column("QUEUE"),
        Column("AGE", right=True),
        Column("WAIT", right=True),
        Column("RUN", right=True),
        Column("AGENT"),
        Column("LAST", soft=True, style=output.dim),
    ]
    output.say_table(
        columns,
        [
            (
                row["array_id"] if row.get("members") else row["task"],
                marked(state_of(_counts(row)) if row.get("members") else row["state"]),
                row["name"] + _ranks(row, ranks),
                row["queue"],
                age(timestamp(row["enqueued"])),
                span(row["wait_seconds"]),
                span(row["run_seconds"]),
                row["agent"],
                last_words(row, quiet_words(quiet.get(row["task"]), now())),
            )
            for row in rows
        ],
    )


def _counts(row: Row) -> dict[str, int]:
    """How many of an array's members are in each state."""
    return {state: row[f"members_{state}"] for state in ANY}


def last_words(row: Row, quiet: str = "") -> str:
    """Why it ended without success; else that it is quiet, how far it is, and its metrics."""
    if row.get("members"):
        return counts_text(_counts(row))
    if row["cause"]:
        return end_text(row["exit_code"], row["cause"]).replace("exit status", "exit")
    return "  ".join(filter(None, (quiet, _progress(row), row.get("metrics"))))


def _progress(row: Row) -> str:
    if row["state"] != "running" or row.get("progress_done") is None:
        return ""
    total = f"/{row['progress_total']:g}" if row["progress_total"] else ""
    return f"{row['progress_done']:g}{total} {row['progress_text'] or ''}".rstrip()
