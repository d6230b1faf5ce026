"""`evq trigger`: something is done whenever an event matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...core import units
from ...core.errors import UsageError
from ...core.ids import check_name
from ...core.sdk.author import now
from ...core.state import Running
from ...services.trigger.actions import action_text
from ...services.trigger.conditions import (
    Condition,
    Crossing,
    LongQueue,
    condition_text,
)
from ...services.trigger.facts import (
    Defined,
    Do,
    Fact,
    Matched,
    Paused,
    Removed,
    Resumed,
    State,
    Tell,
    secret_of,
)
from .. import output
from ..calling import call, warm_up
from ..options import Family, json_option, name_argument, reason_option
from ..output import Column
from ..tasks.render import clock, iso
from .listing import decisions, say_all, say_latest
from .served import warn_if_secret_lacks
from .trigger_options import read_action, read_condition, signed

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.services import Service


@click.group(cls=Family)
def trigger() -> None:
    """Do something whenever an event matches: enqueue a task, call a webhook, send an alert.

    A controller in the queue services looks after all triggers. It reads the log from where it was:
    nothing that happens while it is down is missed, and no task is enqueued twice.

    \b
    Examples:
      evq trigger add broken --on failed --project vision --alert team
      evq trigger add nan --metric "loss > 100" --do 'evq abort "$EVQ_TRIGGER_TASK"'
      evq trigger add busy --queue-longer gpu=20 --for 10m --webhook https://host/scale
    """


@trigger.command()
@name_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- WORDS…]")
@click.option(
    "--on", "kinds", metavar="A,B", help="Events, such as failed; docs/triggers.md lists them."
)
@click.option("--metric", metavar="LINE", help='A metric crosses a line, such as "loss > 10".')
@click.option("--queue-longer", metavar="QUEUE=N", help="More than N tasks wait in a queue.")
@click.option("--for", "lasting", metavar="TIME", help="With --queue-longer: for that long.")
@click.option("--project", default="", metavar="NAME", help="Only tasks of this project.")
@click.option("--queue", default="", metavar="NAME", help="Only tasks of this queue, or it.")
@click.option("--tag", default="", metavar="TAG", help="Only tasks with this tag.")
@click.option("--name", "task_name", default="", metavar="NAME*", help="Only tasks called so.")
@click.option("--user", default="", metavar="NAME", help="Only tasks of this user.")
@click.option("--agent", default="", metavar="NAME*", help="Only this agent.")
@click.option("--do", "command", metavar="COMMAND", help="Run this by a shell, as a service.")
@click.option("--webhook", metavar="URL", help="Post to this address.")
@click.option("--secret", default="", metavar="NAME", help="Sign what --webhook posts with it.")
@click.option("--alert", "alerts", multiple=True, metavar="NAME", help="Tell an alert; repeatable.")
@click.option("--replace", is_flag=True, help="Take the place of the one that there is.")
@json_option
def add(
    name: str,
    words: tuple[str, ...],
    command: str | None,
    webhook: str | None,
    secret: str,
    alerts: tuple[str, ...],
    replace: bool,
    as_json: bool,
    **condition: Any,
) -> None:
    """Make a trigger. Instead of the actions, -- and what evq enqueue takes enqueue a task.

    The task, and a command, find EVQ_TRIGGER_TASK and EVQ_TRIGGER_WORDS among their variables. A
    trigger does not hear of tasks that it enqueued itself.

    \b
    Examples:
      evq trigger add broken --on failed,timed-out --project vision --alert team
      evq trigger add eval --on completed --tag train -- eval.py
      evq trigger add away --on agent-lost --webhook https://host/hook --secret HOOK
    """
    check_name(name, "trigger")
    on = read_condition(**condition)
    warm_up()
    do = read_action(words, command, webhook, alerts)
    if secret:
        do = signed(name, do, secret)
    state, controller = call(lambda client: _define(client, name, on, do, replace))
    if as_json:
        output.say_json(document(name, state))
        return
    output.say(f"trigger {output.bold(name)}  {condition_text(on)}: {action_text(do)}")
    output.note(f"  {output.dim('try')}   evq trigger test {name}")
    output.note(f"  {output.dim('undo')}  evq trigger remove {name}")
    call(lambda client: warn_if_secret_lacks(client, controller))


async def _define(
    client: Client, name: str, on: Condition, do: Do, replace: bool
) -> tuple[State, Service]:
    from ...services.alert.controller import load_journal as load_alert
    from ...services.trigger.controller import JOURNALS, start

    for alert in do.alerts if isinstance(do, Tell) else ():
        await load_alert(client, alert)
    journal = JOURNALS.open(client, name)
    await journal.load()
    before = journal.state.definition
    telemetry = await client.bus.telemetry.last_seq() if isinstance(on, Crossing) else 0
    definition = Defined(on=on, do=do, telemetry=telemetry)

    def taken(state: State) -> str:
        return condition_text(state.definition.on) if state.definition else ""

    words = f"is defined: {condition_text(on)}: {action_text(do)}"
    known = None if replace else taken
    state = await JOURNALS.define(client, name, definition, words, taken=known)
    if before and secret_of(before.do) != secret_of(do):
        await _end_own(client, name, before.do)
    return state, await start(client, name, do)


async def _end_own(client: Client, name: str, do: Do) -> None:
    """Return when the controller is ending that a trigger with a secret has had for itself."""
    from ...core.sdk.services import ended, service, stop_service
    from ...services.trigger.controller import SERVICE

    if not secret_of(do):
        return
    own, reason = await service(client, SERVICE, name), "its trigger is gone"
    if isinstance(own.task.state, Running):
        await ended(client, own, reason)
    elif own.runs:
        await stop_service(client, SERVICE, name, reason)


# --- looking --------------------------------------------------------------------------------------


@trigger.command()
@json_option
def ls(as_json: bool) -> None:
    """List the triggers, and how often each has matched."""
    from ...services.trigger.controller import all_triggers

    columns = [Column("NAME"), Column("WHEN", soft=True), Column("DO", soft=True)]
    columns += [Column("MATCHES", right=True), Column("DONE", right=True), Column("STATE")]
    none = "there are no triggers; evq trigger add --help"
    say_all(call(all_triggers), as_json, document, columns, _row, none)


def _row(name: str, state: State) -> list[object]:
    assert state.definition is not None
    definition = state.definition
    how = f"paused: {state.paused.reason}" if state.paused else "on"
    texts = [condition_text(definition.on), action_text(definition.do)]
    return [name, *texts, state.matches, state.done, how]


@trigger.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a trigger, and what it decided lately."""
    from ...services.trigger.controller import JOURNALS

    state, noted = call(lambda client: JOURNALS.look(client, name))
    if as_json:
        output.say_json(document(name, state) | decisions(noted))
        return
    assert state.definition is not None
    output.say(f"trigger {output.bold(name)}  {condition_text(state.definition.on)}")
    matches = "1 match" if state.matches == 1 else f"{state.matches} matches"
    done = f"{matches}, {state.done} done, {state.gave_up} given up"
    for label, text in (
        ("do", action_text(state.definition.do)),
        ("so far", f"{done}, {len(state.pending)} on their way"),
        ("paused", state.paused.reason if state.paused else ""),
    ):
        if text:
            output.say(f"  {output.dim(label.ljust(8))} {text}")
    say_latest(noted, clock)


@trigger.command()
@name_argument
@click.option("--last", default="1d", metavar="TIME", help="How far to look back.  [1d]")
@json_option
def test(name: str, last: str, as_json: bool) -> None:
    """Say what a trigger would have matched lately, and do nothing.

    \b
    Examples:
      evq trigger test broken --last 7d
    """
    since = now() - round(units.seconds(last) * 1e6)
    found = call(lambda client: _past(client, name, since))
    if as_json:
        output.say_json(
            [{"at": iso(one.at), "task": one.task, "words": one.words} for one in found]
        )
        return
    for one in found:
        output.say(f"{output.dim(clock(one.at))}  {one.words}")
    output.note(f"{len(found)} in the last {last}")


async def _past(client: Client, name: str, since: int) -> list[Matched]:
    from ...services.trigger.controller import load_journal
    from ...services.trigger.past import matches

    state = (await load_journal(client, name)).state
    assert state.definition is not None
    if isinstance(state.definition.on, LongQueue):
        raise UsageError(
            f"trigger {name} cannot be tried on the past",
            why="how long a queue was is not in the log",
            fix="evq queues says how long they are now",
        )
    return [one async for one in matches(client, name, state.definition.on, since)]


# --- changing -------------------------------------------------------------------------------------


@trigger.command()
@name_argument
@reason_option
def pause(name: str, reason: str) -> None:
    """Let nothing match for a while; what matched already is done."""
    _say(name, Paused(reason or "evq trigger pause"), "is paused")
    output.say(f"trigger {name} is paused")
    output.note(f"  {output.dim('undo')}  evq trigger resume {name}")


@trigger.command()
@name_argument
@reason_option
def resume(name: str, reason: str) -> None:
    """Go on with what happens from now on."""
    call(lambda client: _resume(client, name, reason or "evq trigger resume"))
    output.say(f"trigger {name} goes on")


async def _resume(client: Client, name: str, reason: str) -> None:
    from ...services.trigger.controller import load_journal

    journal = await load_journal(client, name)
    assert journal.state.definition is not None
    metric = isinstance(journal.state.definition.on, Crossing)
    telemetry = await client.bus.telemetry.last_seq() if metric else 0
    await journal.decide(lambda _: (Resumed(reason, telemetry), "goes on"))


@trigger.command()
@name_argument
@reason_option
def remove(name: str, reason: str) -> None:
    """Take a trigger away; what it did stays, and so do its decisions."""
    call(lambda client: _remove(client, name, reason or "evq trigger remove"))
    output.say(f"trigger {name} is removed")


async def _remove(client: Client, name: str, reason: str) -> None:
    from ...services.trigger.controller import load_journal

    journal = await load_journal(client, name)
    assert journal.state.definition is not None
    do = journal.state.definition.do
    await journal.decide(lambda _: (Removed(reason), "is removed"))
    await _end_own(client, name, do)


def _say(name: str, fact: Fact, words: str) -> None:
    """Write down what somebody wants of a trigger that there is."""

    from ...services.trigger.controller import JOURNALS

    call(lambda client: JOURNALS.say(client, name, fact, words))


def document(name: str, state: State) -> dict[str, Any]:
    """What `--json` prints of a trigger."""
    definition = state.definition
    assert definition is not None
    return {
        "name": name,
        "on": definition.on,
        "when": condition_text(definition.on),
        "do": action_text(definition.do),
        "paused": state.paused.reason if state.paused else None,
        "matches": state.matches,
        "done": state.done,
        "gave_up": state.gave_up,
        "words": state.words,
    }
