"""`evq schedule`: tasks that are enqueued when they are due."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core import units
from ...core.arrays.array import parse_array
from ...core.errors import UsageError
from ...core.ids import check_name
from ...core.sdk.author import now
from ...core.spec import MOST_AWAITED, Spec, argv_text
from ...services.schedule.decide import clock
from ...services.schedule.due import check_when, moments, zone_of
from ...services.schedule.facts import (
    Asked,
    Defined,
    Fact,
    Paused,
    Removed,
    Resumed,
    State,
)
from ...services.schedule.when import Cron, Every, Once, When, when_text
from .. import output
from ..calling import call, warm_up
from ..options import Family, json_option, name_argument, reason_option
from ..output import Column
from ..tasks.render import iso
from .captured import captured_array, cloned, of_enqueue
from .listing import decisions, say_all, say_latest
from .served import warn_unserved

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.group(cls=Family)
def schedule() -> None:
    """Enqueue a task when it is due: by cron, every so often, or once.

    A controller in the queue services looks after all schedules. One that was down when something
    was due finds that out, and does what --catch-up says.

    \b
    Examples:
      evq schedule add nightly --cron "0 3 * * *" --tz Europe/Berlin -- train.py -- --epochs 10
      evq schedule ls
      evq schedule run nightly
    """


@schedule.command()
@name_argument
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- WORDS…")
@click.option("--cron", metavar="EXPR", help="Minute, hour, day, month and day of the week.")
@click.option("--every", metavar="TIME", help="Every so often from now on, such as 2h.")
@click.option("--at", metavar="WHEN", help='Once: "2026-12-01 08:00", or a time from now: 2h.')
@click.option("--tz", metavar="ZONE", help="The time zone of its clock.  [this machine's]")
@click.option("--clone", metavar="TASK", help="Enqueue this task again, changed as WORDS say.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "replace", "several"]),
    default="skip",
    metavar="KIND",
    help="While the last one runs: skip; queue waits for it, replace ends it, several run.  [skip]",
)
@click.option(
    "--catch-up",
    type=click.Choice(["none", "last", "all"]),
    default="last",
    metavar="KIND",
    help="Of due times that were missed: none, the last, or all run after all.  [last]",
)
@click.option(
    "--most", type=click.IntRange(min=1), default=10, metavar="N", help="All up to N.  [10]"
)
@click.option("--replace", is_flag=True, help="Take the place of the one that there is.")
@json_option
def add(
    name: str,
    words: tuple[str, ...],
    cron: str | None,
    every: str | None,
    at: str | None,
    tz: str | None,
    clone: str | None,
    overlap: Any,
    catch_up: Any,
    most: int,
    replace: bool,
    as_json: bool,
) -> None:
    """Make a schedule. After -- stands what evq enqueue takes; the code is sent as it is now.

    \b
    Examples:
      evq schedule add nightly --cron "0 3 * * *" --tz Europe/Berlin -- train.py -- --epochs 10
      evq schedule add poll --every 10m --overlap queue -- -q cpu -- sh -c "date"
      evq schedule add seeds --every 1d -- --array 0-9%2 train.py -- --seed {index}
      evq schedule add again --at "2026-12-01 08:00" --clone k3f9 -- --set lr=0.1
    """
    check_name(name, "schedule")
    when = check_when(_when(cron, every, at, tz))
    warm_up()
    spec, array = (cloned(clone, words), "") if clone else captured_array(of_enqueue(words))
    definition = Defined(
        when=when, spec=spec, overlap=overlap, catch_up=catch_up, most=most, array=array
    )
    _check_overlap(definition)
    state = call(lambda client: _define(client, name, definition, replace))
    if as_json:
        output.say_json(document(name, state))
        return
    output.say(f"schedule {output.bold(name)}  {what_text(definition)}  {when_text(when)}")
    output.say(f"  {output.dim('next')}  {next_text(state)}")
    output.note(f"  {output.dim('undo')}  evq schedule remove {name}")
    warn_unserved()


def _check_overlap(definition: Defined) -> None:
    """Raise `UsageError` if a due time could have to wait for too many tasks of the last one."""
    indexes, _ = parse_array(definition.array) if definition.array else (range(1), None)
    if definition.overlap == "queue" and len(indexes) > MOST_AWAITED:
        raise UsageError(
            f"--overlap queue cannot wait for an array of {len(indexes)}",
            why=f"a task awaits at most {MOST_AWAITED} others",
            fix="--overlap skip",
        )


def _when(cron: str | None, every: str | None, at: str | None, tz: str | None) -> When:
    given = [
        option for option, value in (("--cron", cron), ("--every", every), ("--at", at)) if value
    ]
    if len(given) != 1:
        raise UsageError(
            "a schedule needs one of --cron, --every and --at",
            why=f"{' and '.join(given)} are given" if given else "it says when a task is due",
            fix='--cron "0 3 * * *" is each day at 03:00',
        )
    zone = tz or _local_zone()
    if cron:
        return Cron(" ".join(cron.split()), zone)
    if every:
        return Every(seconds=units.seconds(every), start=now(), zone=zone)
    assert at is not None
    return Once(at=_moment(at, zone), zone=zone)


def _moment(written: str, zone: str) -> int:
    """A moment to come, in microseconds since 1970. Raises `UsageError`."""
    try:
        moment = datetime.fromisoformat(written)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone_of(zone))
    except ValueError:
        try:
            moment = datetime.now(UTC) + timedelta(seconds=units.seconds(written))
        except UsageError as error:
            raise UsageError(
                f"--at {written} is no time",
                why="it is a date with a time, or how long from now",
                fix='--at "2026-12-01 08:00", --at 2h',
            ) from error
    at = round(moment.timestamp() * 1e6)
    if at <= now():
        raise UsageError(f"--at {written} has passed already", why=f"that was {clock(at, zone)}")
    return at


def _local_zone() -> str:
    """The name of this machine's time zone, or UTC if it has none."""
    named = os.environ.get("TZ", "").lstrip(":")
    if not named:
        _, _, named = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    return named or "UTC"


async def _define(client: Client, name: str, definition: Defined, replace: bool) -> State:
    from ...core.sdk.services import start_service
    from ...services.schedule.controller import CONTROLLER, JOURNALS, SERVICE

    def taken(state: State) -> str:
        return f"it is due {when_text(state.definition.when)}" if state.definition else ""

    words = f"is defined: {what_text(definition)}, {when_text(definition.when)}"
    known = None if replace else taken
    state = await JOURNALS.define(client, name, definition, words, taken=known)
    await start_service(client, SERVICE, CONTROLLER)
    return state


# --- looking --------------------------------------------------------------------------------------


@schedule.command()
@json_option
def ls(as_json: bool) -> None:
    """List the schedules, and when each is due next."""
    from ...services.schedule.controller import all_schedules

    columns = [Column("NAME"), Column("WHEN"), Column("NEXT"), Column("RUNS", right=True)]
    columns += [Column("LAST"), Column("COMMAND", soft=True)]
    none = "there are no schedules; evq schedule add --help"
    say_all(call(all_schedules), as_json, document, columns, _row, none)


def _row(name: str, state: State) -> list[object]:
    assert state.definition is not None
    last = state.last.task if state.last else ""
    command = what_text(state.definition)
    return [name, when_text(state.definition.when), next_text(state), state.runs, last, command]


@schedule.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a schedule, and what was decided about it lately."""
    from ...services.schedule.controller import JOURNALS

    state, noted = call(lambda client: JOURNALS.look(client, name))
    if as_json:
        output.say_json(document(name, state) | decisions(noted))
        return
    assert state.definition is not None
    definition = state.definition
    output.say(f"schedule {output.bold(name)}  {what_text(definition)}")
    for label, text in (
        ("when", when_text(definition.when)),
        ("next", next_text(state)),
        ("queue", definition.spec.queue),
        ("overlap", definition.overlap),
        ("catch-up", definition.catch_up),
        ("runs", f"{state.runs}, and {state.skipped} left out"),
        ("last", state.last.text if state.last else ""),
    ):
        if text:
            output.say(f"  {output.dim(label.ljust(8))} {text}")
    say_latest(noted, lambda at: clock(at, definition.when.zone))


@schedule.command("next")
@name_argument
@click.option("-n", "count", type=click.IntRange(min=1), default=5, help="How many.  [5]")
def next_times(name: str, count: int) -> None:
    """Print the next due times of a schedule."""
    from ...services.schedule.controller import JOURNALS

    state, _ = call(lambda client: JOURNALS.look(client, name))
    assert state.definition is not None
    when = state.definition.when
    for at in islice(moments(when, max(state.until, now())), count):
        output.say(clock(at, when.zone))


# --- changing -------------------------------------------------------------------------------------


@schedule.command()
@name_argument
@reason_option
def pause(name: str, reason: str) -> None:
    """Let nothing be due for a while; what runs goes on."""
    _say(name, Paused(reason or "evq schedule pause"), "is paused")
    output.say(f"schedule {name} is paused")
    output.note(f"  {output.dim('undo')}  evq schedule resume {name}")


@schedule.command()
@name_argument
@reason_option
def resume(name: str, reason: str) -> None:
    """Go on; what was due meanwhile is left out."""
    state = _say(name, Resumed(reason or "evq schedule resume"), "goes on")
    output.say(f"schedule {name} goes on; next {next_text(state)}")


@schedule.command()
@name_argument
@reason_option
def run(name: str, reason: str) -> None:
    """Enqueue its task now, besides its due times."""
    _say(name, Asked(reason or "evq schedule run"), "is to run now")
    output.say(f"schedule {name} runs now: evq schedule show {name}")


@schedule.command()
@name_argument
@reason_option
def remove(name: str, reason: str) -> None:
    """Take a schedule away; its tasks stay, and so do its decisions."""
    _say(name, Removed(reason or "evq schedule remove"), "is removed")
    output.say(f"schedule {name} is removed")


def _say(name: str, fact: Fact, words: str) -> State:
    """Write down what somebody wants of a schedule that there is."""

    async def say(client: Client) -> State:
        from ...core.sdk.services import start_service
        from ...services.schedule.controller import CONTROLLER, JOURNALS, SERVICE

        state = await JOURNALS.say(client, name, fact, words)
        await start_service(client, SERVICE, CONTROLLER)
        return state

    return call(say)


def what_text(definition: Defined) -> str:
    """What is enqueued: the command, and how many of it."""
    command = argv_text(definition.spec.entry)
    return f"{command}  as array {definition.array}" if definition.array else command


def next_text(state: State) -> str:
    """When it is due next, on its own clock."""
    at = next_at(state)
    if state.paused:
        return f"paused: {state.paused.reason}"
    return clock(at, state.definition.when.zone) if at and state.definition else "never"


def next_at(state: State) -> int | None:
    """The next due time; null if there is none, or it is paused."""
    if state.definition is None or state.paused:
        return None
    return next(moments(state.definition.when, state.until), None)


def document(name: str, state: State) -> dict[str, Any]:
    """What `--json` prints of a schedule."""
    definition = state.definition
    assert definition is not None
    spec: Spec = definition.spec
    return {
        "name": name,
        "when": definition.when,
        "command": argv_text(spec.entry),
        "array": definition.array or None,
        "queue": spec.queue,
        "overlap": definition.overlap,
        "catch_up": definition.catch_up,
        "next": iso(next_at(state)),
        "paused": state.paused.reason if state.paused else None,
        "runs": state.runs,
        "skipped": state.skipped,
        "last": state.last and state.last.task,
        "words": state.words,
    }
