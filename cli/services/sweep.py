"""`evq sweep`: many trials of one task with other parameters, and the best of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...core import units
from ...core.sdk.reading import read_text
from ...core.spec import Script, Spec
from ...services.sweep.decide import first_trials, params_text
from ...services.sweep.definition import Definition, check_sweep_name, read_definition
from ...services.sweep.state import SweepState
from ...services.sweep.study import export as write_study
from .. import output
from ..calling import call, warm_up
from ..failure import INTERRUPTED
from ..options import Family, json_option, name_argument, reason_option
from ..output import Column
from ..submit.unserved import autoscaler_for, say_unserved
from .served import warn_if_unserved
from .sweep_base import base_of, check_source, command
from .sweep_view import BEST, document, headline, row_of, say_best, trial_document, trial_table

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...services.sweep.sweep import Sweep


@click.group(cls=Family)
def sweep() -> None:
    """Try many parameters of a task, and find the best.

    A sweep is a TOML file: docs/sweeps.md has all that may stand in it. What it decides is in the
    log, so that it goes on wherever its controller is started again.

    \b
    Examples:
      evq sweep run sweep.toml
      evq sweep best lr-search
      evq sweep extend lr-search --trials 20
    """


@sweep.command()
@click.argument("file", metavar="FILE|-")
@click.option("--name", metavar="NAME", help="Its name.  [default: that in the file]")
@click.option("-d", "--detach", is_flag=True, help="Do not watch it.")
@click.option("--dry-run", is_flag=True, help="Say what would be tried, and begin nothing.")
@json_option
def run(file: str, name: str | None, detach: bool, dry_run: bool, as_json: bool) -> None:
    """Begin a sweep, and watch it until it has finished.

    What it runs is found from the folder of the file. ^C ends the watching, not the sweep.

    \b
    Examples:
      evq sweep run sweep.toml
      evq sweep run sweep.toml --name second -d
    """
    warm_up()
    text, folder = _read(file)
    own, definition = read_definition(text, file)
    check_source(definition)
    name = check_sweep_name(name or own)
    if dry_run:
        _show_plan(name, definition, as_json)
        return
    base = base_of(definition, folder)
    call(lambda client: _create(client, name, definition, base))
    if as_json:
        output.say_json({"sweep": name})
    elif detach:
        output.say(name)
        output.note(f"  {output.dim('watch')} evq sweep watch {name}")
    else:
        _watch(name)


def _read(file: str) -> tuple[str, Path]:
    """The text of a sweep's file, and the folder it stands for. Raises `UsageError`."""
    if file == "-":
        return sys.stdin.read(), Path.cwd()
    return read_text(file), Path(file).resolve().parent


async def _create(client: Client, name: str, definition: Definition, base: Spec) -> None:
    from ...services.sweep.sweep import Sweep

    await Sweep.create(client, name, definition, base)
    await warn_if_unserved(client)
    agents = await client.agents()
    if not any(base.queue in one.queues and one.takes for one in agents):
        say_unserved(base.queue, "sweep", agents, await autoscaler_for(client, base))


def _show_plan(name: str, definition: Definition, as_json: bool) -> None:
    """The first trials, as they would be."""
    base = Spec(entry=Script("-"), name="-", queue="default")
    state = SweepState(name=name, definition=definition, base=base, limit=definition.trials)
    trials = first_trials(state, BEST)
    if as_json:
        output.say_json({"sweep": name, "trials": [one.params for one in trials]})
        return
    for one in trials:
        output.say(f"trial {one.number}: {params_text(one.params)}")
        output.note(f"  {output.dim(command(definition, one.params))}")


# --- looking --------------------------------------------------------------------------------------


@sweep.command()
@json_option
def ls(as_json: bool) -> None:
    """List the sweeps.

    \b
    Examples:
      evq sweep ls
    """
    found = call(_all)
    if as_json:
        output.say_json([document(state) for state in found])
    elif found:
        columns = [
            Column("SWEEP", style=output.bold),
            Column("STATE"),
            *(Column(title, right=True) for title in ("TRIALS", "PRUNED", "FAILED")),
            Column("BEST", soft=True),
        ]
        output.say_table(columns, [row_of(state) for state in found])
    else:
        output.note("there is no sweep yet: evq sweep run FILE begins one")


@sweep.command()
@name_argument
@click.option("-a", "--all", "everything", is_flag=True, help="All trials, by number.")
@json_option
def show(name: str, everything: bool, as_json: bool) -> None:
    """Show a sweep: its best trials, how many ended how, what matters most.

    \b
    Examples:
      evq sweep show lr-search
      evq sweep show lr-search --all
      evq sweep show lr-search --json | jq '.trials[0].params'
    """
    state = _state(name)
    if as_json:
        output.say_json(document(state))
        return
    output.say(f"sweep {output.bold(name)}  {headline(state)}")
    if state.importances:
        shares = (f"{param} {share:.0%}" for param, share in state.importances.items())
        output.say(f"  {output.dim('matters')} {', '.join(shares)}")
    trials = list(state.trials) if everything else [*state.best[:BEST], *state.open]
    if trials:
        columns, rows = trial_table(state, trials)
        output.say_table(columns, rows)
    if state.best:
        output.note(f"  {output.dim('again')} {command(state.plan, state.best[0].params)}")


@sweep.command()
@name_argument
def watch(name: str) -> None:
    """Watch a sweep until it has finished: a live table on a terminal, else line by line.

    \b
    Examples:
      evq sweep watch lr-search
    """
    _watch(name)


def _watch(name: str) -> None:
    from .sweep_watch import watch as watch_it

    try:
        state = call(lambda client: watch_it(client, name))
    except KeyboardInterrupt:
        output.note()
        output.note(f"detached; sweep {name} goes on")
        output.note(f"  {output.dim('watch')} evq sweep watch {name}")
        output.note(f"  {output.dim('stop')}  evq sweep stop {name}")
        raise SystemExit(INTERRUPTED) from None
    say_best(state)


@sweep.command()
@name_argument
@click.option("--command", "as_command", is_flag=True, help="Only the command that runs it again.")
@json_option
def best(name: str, as_command: bool, as_json: bool) -> None:
    """Print the best trial: its parameters, and the command that runs it again.

    With several objectives it prints each trial that no other beats in all of them.

    \b
    Examples:
      evq sweep best lr-search
      $(evq sweep best lr-search --command)
    """
    state = _state(name)
    if as_json:
        output.say_json([trial_document(state, trial) for trial in state.best])
    elif as_command:
        for trial in state.best[: 1 if len(state.plan.objective) == 1 else None]:
            output.say(command(state.plan, trial.params))
    else:
        say_best(state)
    if not state.best:
        raise SystemExit(1)


# --- changing -------------------------------------------------------------------------------------


@sweep.command()
@name_argument
@click.option("--trials", type=int, default=0, metavar="N", help="Try N more.")
@click.option("--time", "duration", metavar="TIME", help="Propose for that much longer.")
def extend(name: str, trials: int, duration: str | None) -> None:
    """Let a sweep try more, also one that has finished or was stopped.

    \b
    Examples:
      evq sweep extend lr-search --trials 20
    """
    seconds = units.seconds(duration) if duration else 0.0

    async def work(client: Client) -> SweepState:
        found = await _open(client, name)
        await found.extend(trials, seconds)
        return found.state

    output.say(f"sweep {output.bold(name)}  {headline(call(work))}")
    output.note(f"  {output.dim('watch')} evq sweep watch {name}")


@sweep.command()
@name_argument
@click.option("--finish", is_flag=True, help="Let the trials that run come to their end.")
@reason_option
def stop(name: str, finish: bool, reason: str) -> None:
    """Stop a sweep: it tries nothing more, and aborts the trials that run.

    \b
    Examples:
      evq sweep stop lr-search --reason "good enough"
      evq sweep stop lr-search --finish
    """

    async def work(client: Client) -> None:
        await (await _open(client, name)).stop(reason or "evq sweep stop", finish=finish)

    call(work)
    output.say(f"sweep {output.bold(name)} is stopped")
    output.say(f"  {output.dim('undo')} evq sweep resume {name}")


@sweep.command()
@name_argument
@reason_option
def resume(name: str, reason: str) -> None:
    """Let a stopped sweep go on. Trials that were aborted with it are replaced by others.

    \b
    Examples:
      evq sweep resume lr-search
    """

    async def work(client: Client) -> None:
        await (await _open(client, name)).resume(reason)

    call(work)
    output.say(f"sweep {output.bold(name)} goes on")
    output.note(f"  {output.dim('watch')} evq sweep watch {name}")


@sweep.command()
@name_argument
@click.argument("file", metavar="FILE|URL")
def export(name: str, file: str) -> None:
    """Write a sweep as an Optuna study into a new SQLite file, or a database that a URL names.

    \b
    Examples:
      evq sweep export lr-search study.db
      optuna-dashboard sqlite:///study.db
    """
    url = file if "://" in file else f"sqlite:///{file}"
    count = write_study(_state(name), url)
    output.say(f"{output.count_of(count, 'trial')} of {name} are in {url}")
    output.note(f"  {output.dim('look')} optuna-dashboard {url}")


async def _all(client: Client) -> list[SweepState]:
    from ...services.sweep.sweep import sweeps

    return await sweeps(client)


async def _open(client: Client, name: str) -> Sweep:
    from ...services.sweep.sweep import Sweep

    return await Sweep.open(client, name)


def _state(name: str) -> SweepState:
    async def work(client: Client) -> SweepState:
        return (await _open(client, name)).state

    return call(work)
