"""`evq autoscaler`: machines that come when tasks wait, and go when nothing is left to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core.ids import check_name
from ...core.sdk.author import now
from ...core.sdk.reading import read_text
from ...services.autoscaler.definition import Definition, read_definition
from ...services.autoscaler.facts import Defined, Fact, Stage, State, Stopped, cost_of
from .. import output
from ..calling import call, warm_up
from ..options import Family, json_option, name_argument
from ..output import Column
from ..tasks.render import span
from .listing import say_all

if TYPE_CHECKING:
    from ...core.sdk.client import Client

file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
name_option = click.option("--name", metavar="NAME", help="Its name.  [that of the file]")


@click.group(cls=Family)
def autoscaler() -> None:
    """Have machines when tasks wait for them, and end those that have nothing to do.

    What is wished stands in a TOML file: docs/autoscaler.md has all that may stand in it. All that
    is decided is in the log, so that no machine is forgotten or had twice over a crash.

    \b
    Examples:
      evq autoscaler start cloud.toml
      evq autoscaler show cloud
      evq autoscaler stop cloud
    """


@autoscaler.command()
@file_argument
@name_option
@click.option("--dry-run", is_flag=True, help="Read the file, and start nothing.")
@json_option
def start(file: Path, name: str | None, dry_run: bool, as_json: bool) -> None:
    """Let an autoscaler run, or give one that runs other wishes.

    \b
    Examples:
      evq autoscaler start cloud.toml
      evq autoscaler start cloud.toml --name night
    """
    warm_up()
    name, definition = _read(file, name)
    if not dry_run:
        call(lambda client: _start(client, name, definition))
    if as_json:
        output.say_json({"autoscaler": name, "started": not dry_run})
    elif dry_run:
        for kind, one in definition.kinds.items():
            output.say(f"{kind}: {one.least} to {one.most} by {one.driver}, {one.cost:g} an hour")
    else:
        output.say(name)
        output.note(f"  {output.dim('watch')} evq autoscaler show {name}")


def _read(file: Path, name: str | None) -> tuple[str, Definition]:
    text = read_text(file)
    return check_name(name or file.stem, "autoscaler"), read_definition(text, str(file))


async def _start(client: Client, name: str, definition: Definition) -> None:
    from ...core.sdk.services import start_service

    await _define(client, name, definition)
    await start_service(client, "autoscaler", name)


async def _define(client: Client, name: str, definition: Definition) -> None:
    """Write down what is wished, unless that is what is wished already."""
    from ...services.autoscaler.journal import JOURNALS

    journal = JOURNALS.open(client, name)
    await journal.load()

    def choose(state: State) -> tuple[Fact, str] | None:
        if state.definition == definition and not state.stopped:
            return None
        kinds = ", ".join(f"{kind.most} {name}" for name, kind in definition.kinds.items())
        return Defined(definition), f"wished are up to {kinds}"

    await journal.decide(choose)


@autoscaler.command()
@file_argument
@name_option
def run(file: Path, name: str | None) -> None:
    """Run an autoscaler here, in the foreground; ^C leaves its machines as they are.

    Started again, it goes on. The local driver's agents outlive it only here.

    \b
    Examples:
      evq autoscaler run here.toml
    """
    name, definition = _read(file, name)

    async def work(client: Client) -> int:
        from ...services.autoscaler.terminal import serve_here

        await _define(client, name, definition)
        # Another one may be started meanwhile: then this one ends, and says so.
        return await serve_here(client, name, output.say)

    if number := call(work):
        raise SystemExit(128 + number)


@autoscaler.command()
@name_argument
@json_option
def stop(name: str, as_json: bool) -> None:
    """Drain and end all machines of an autoscaler, and then the autoscaler.

    Tasks that run on them run on to their end.

    \b
    Examples:
      evq autoscaler stop cloud
    """

    async def work(client: Client) -> int:
        from ...services.autoscaler.journal import JOURNALS

        journal = await JOURNALS.load(client, name)
        if not journal.state.stopped:
            await journal.decide(lambda _: (Stopped(), "all machines are to go"))
        return len(journal.state.machines)

    machines = call(work)
    if as_json:
        output.say_json({"autoscaler": name, "machines": machines})
    else:
        output.say(f"{name} ends {output.count_of(machines, 'machine')}")


@autoscaler.command()
@json_option
def ls(as_json: bool) -> None:
    """List the autoscalers.

    \b
    Examples:
      evq autoscaler ls
    """
    from ...services.autoscaler.journal import JOURNALS

    columns = [
        Column("AUTOSCALER", style=output.bold),
        Column("MACHINES", right=True),
        Column("COST", right=True),
        Column("LAST DECISION", soft=True),
    ]
    none = "there is no autoscaler yet: evq autoscaler start FILE"
    say_all(call(JOURNALS.all), as_json, _document, columns, _row, none)


def _row(name: str, state: State) -> list[object]:
    return [name, len(state.machines), f"{state.cost(now()):.2f}", state.words]


@autoscaler.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show an autoscaler: its machines, what they cost, what it decided last.

    \b
    Examples:
      evq autoscaler show cloud
    """
    from ...services.autoscaler.journal import JOURNALS

    state = call(lambda client: JOURNALS.load(client, name)).state
    if as_json:
        output.say_json(_document(name, state))
        return
    moment = now()
    output.say(output.bold(name) + ("  stopped" if state.stopped else ""))
    for kind, one in state.kinds.items():
        there = len(state.of_kind(kind))
        output.say(f"  {kind}: {there} of {one.most} by {one.driver}, for {', '.join(one.queues)}")
    gone = ", ".join(f"{count} {cause}" for cause, count in sorted(state.gone.items()))
    output.say(f"  cost {state.cost(moment):.2f} so far" + (f"; gone: {gone}" if gone else ""))
    output.say(f"  last {span((moment - state.at) / 1e6)} ago: {state.words}")
    if state.machines:
        columns = [
            Column("MACHINE", style=output.bold),
            Column("STAGE"),
            Column("FOR", right=True),
            Column("COST", right=True),
            Column("IS CALLED", soft=True),
        ]
        rows = [
            [
                one.name,
                one.stage.value + (f" ({one.cause})" if one.cause else ""),
                span((moment - one.since) / 1e6),
                f"{cost_of(state, one, moment):.2f}",
                one.ref,
            ]
            for one in state.machines.values()
        ]
        output.say_table(columns, rows)


def _document(name: str, state: State) -> dict[str, Any]:
    moment = now()
    return {
        "autoscaler": name,
        "stopped": state.stopped,
        "cost": state.cost(moment),
        "gone": state.gone,
        "at": state.at,
        "words": state.words,
        "machines": [
            {
                "machine": one.name,
                "kind": one.kind,
                "stage": one.stage.value,
                "since": one.since,
                "cause": one.cause,
                "ref": one.ref,
                "cost": cost_of(state, one, moment),
            }
            for one in state.machines.values()
        ],
        "ending": sum(one.stage is Stage.ENDING for one in state.machines.values()),
    }
