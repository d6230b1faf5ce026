"""`evq clean`: what tasks that have ended left behind goes by rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core import units
from ...core.cleaning.cleaned import ALL
from ...core.errors import UsageError
from ...core.ids import check_name
from ...core.sdk.author import now
from ...core.sdk.reading import read_text
from ...core.units import duration_text, size_text
from ...services.clean.facts import Asked, Defined, Fact, State, Stopped
from ...services.clean.plan import Plan
from ...services.clean.policy import DAY, Policy, read_policy
from .. import output
from ..calling import call, warm_up
from ..options import Family, json_option, name_argument, reason_option
from ..output import Column
from ..tasks.render import clock, iso, span
from .listing import decisions, say_all, say_latest
from .served import warn_unserved

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...services.clean.carrying import Freed

LEAST_SECONDS = 60.0

file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.group(cls=Family)
def clean() -> None:
    """Let go of logs, points, artifacts, code and notebooks of tasks that ended, by rules.

    The rules stand in a TOML file: docs/cleaning.md has all that may stand in it. Tasks and their
    events stay, and each task's history says what was removed of it, when, and by which rule.

    \b
    Examples:
      evq clean run clean.toml
      evq clean run clean.toml --apply
      evq clean start nightly clean.toml --every 1d
    """


@clean.command()
@file_argument
@click.option("--apply", "apply_", is_flag=True, help="Do it; else only say what would go.")
@reason_option
@json_option
def run(file: Path, apply_: bool, reason: str, as_json: bool) -> None:
    """Say what would go by the rules of a file now; with --apply, let it go.

    \b
    Examples:
      evq clean run clean.toml
      evq clean run clean.toml --apply --reason "the disk is small"
    """
    warm_up()
    policy = _read(file)
    at = now()
    plan, freed = call(lambda client: _run(client, policy, at, reason if apply_ else None))
    if as_json:
        output.say_json(_plan_facts(plan) | {"freed": freed})
        return
    say_plan(policy, plan)
    if freed is None:
        output.note("nothing was changed: --apply does it")
    else:
        _say_freed(freed)


def _read(file: Path) -> Policy:
    return read_policy(read_text(file), str(file))


async def _plan(client: Client, policy: Policy, at: int) -> Plan:
    from ...services.clean.carrying import planned

    return await planned(client, policy, at)


async def _run(
    client: Client, policy: Policy, at: int, reason: str | None
) -> tuple[Plan, Freed | None]:
    """What would go, and if there is a reason, may it be empty, what went."""
    from ...services.clean.carrying import carry_out

    plan = await _plan(client, policy, at)
    if reason is None:
        return plan, None
    since = await client.bus.log.last_seq() + 1
    name = reason or "evq clean run"
    return plan, await carry_out(client, policy, name, at, since, output.note)


def say_plan(policy: Policy, plan: Plan) -> None:
    """A row for each rule: how many tasks lose something, and how much of what."""
    columns = [
        Column("RULE", soft=True),
        Column("TASKS", right=True),
        *(Column(what.upper(), right=True) for what in ALL),
        Column("SUCH AS"),
    ]
    rows = [
        [
            f"{number}: {share.rule}",
            str(share.tasks),
            *(size_text(share.bytes[what]) if what in share.bytes else "" for what in ALL),
            " ".join(share.examples),
        ]
        for number, share in enumerate(plan.shares, 1)
    ]
    output.say_table(columns, rows)
    for why, count in sorted(plan.spared.items()):
        output.note(f"left alone: {output.count_of(count, 'task')}, each {why}")
    output.note(f"{output.count_of(plan.tasks, 'task')}, about {size_text(plan.size)}")
    for rule in policy.caches:
        output.note(f"agents prune their caches: {rule}")


def _say_freed(freed: Freed) -> None:
    from ...services.clean.controller import words_for

    output.say(words_for(freed))
    output.note("content that was stored less than a day ago goes by a later run")


def _plan_facts(plan: Plan) -> dict[str, Any]:
    return {
        "tasks": plan.tasks,
        "bytes": plan.size,
        "rules": [
            {
                "rule": str(share.rule),
                "tasks": share.tasks,
                "bytes": share.bytes,
                "examples": share.examples,
            }
            for share in plan.shares
        ],
        "spared": plan.spared,
    }


# --- by itself ------------------------------------------------------------------------------------


@clean.command()
@name_argument
@file_argument
@click.option("--every", default="1d", metavar="TIME", help="How often.  [1d]")
@json_option
def start(name: str, file: Path, every: str, as_json: bool) -> None:
    """Carry out the rules of a file every so often; the first time now.

    Started again it takes the file as it is then.

    \b
    Examples:
      evq clean start nightly clean.toml
      evq clean start hourly clean.toml --every 1h
    """
    warm_up()
    check_name(name, "cleaning")
    policy, seconds = _read(file), units.seconds(every)
    if seconds < LEAST_SECONDS:
        raise UsageError(f"--every {every} is too often", why="a minute is the least", fix="1d")
    plan = call(lambda client: _plan(client, policy, now()))
    state = call(lambda client: _start(client, name, Defined(policy, seconds)))
    if as_json:
        output.say_json(document(name, state) | {"first": _plan_facts(plan)})
        return
    say_plan(policy, plan)
    output.say(f"cleaning {output.bold(name)}  every {duration_text(seconds)}, from now on")
    output.note(f"  {output.dim('look')}  evq clean show {name}")
    output.note(f"  {output.dim('undo')}  evq clean stop {name}")
    warn_unserved()


async def _start(client: Client, name: str, definition: Defined) -> State:
    from ...core.sdk.services import ended, service, start_service
    from ...services.clean.controller import SERVICE, open_journal

    journal = open_journal(client, name)
    await journal.load()
    if journal.state.stopped and (known := await service(client, SERVICE, name)).runs:
        # A controller that is on its way out would not see that it is to go on.
        await ended(client, known, "it is started again")
    rules = output.count_of(len(definition.policy.rules) + len(definition.policy.caches), "rule")
    words = f"is defined: {rules}, every {duration_text(definition.every)}"
    await journal.decide(lambda _: (definition, words))
    await start_service(client, SERVICE, name)
    return journal.state


@clean.command("now")
@name_argument
@reason_option
def at_once(name: str, reason: str) -> None:
    """Let a cleaning run now, besides its times."""
    _say(name, Asked(reason or "evq clean now"), "is to run now")
    output.say(f"cleaning {name} runs now: evq clean show {name}")


@clean.command()
@name_argument
@reason_option
def stop(name: str, reason: str) -> None:
    """Let nothing go any more; what it did stays in the log. A run that has begun is finished."""
    _say(name, Stopped(reason or "evq clean stop"), "is stopped")
    output.say(f"cleaning {name} is stopped")


def _say(name: str, fact: Fact, words: str) -> None:
    from ...services.clean.controller import JOURNALS

    call(lambda client: JOURNALS.say(client, name, fact, words))


# --- looking --------------------------------------------------------------------------------------


@clean.command()
@json_option
def ls(as_json: bool) -> None:
    """List the cleanings that run by themselves."""
    from ...services.clean.controller import all_cleanings

    columns = [Column("NAME"), Column("EVERY"), Column("NEXT"), Column("RUNS", right=True)]
    columns += [Column("FREED", right=True), Column("LAST", soft=True)]
    none = "no cleaning runs by itself; evq clean start --help"
    say_all(call(all_cleanings), as_json, document, columns, _row, none)


def _row(name: str, state: State) -> Sequence[object]:
    assert state.definition is not None
    every = duration_text(state.definition.every)
    freed = size_text(state.freed)
    return [name, every, _next(state), str(state.runs), freed, state.words]


@clean.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a cleaning: its rules, and what was decided about it lately."""
    from ...services.clean.controller import JOURNALS

    state, noted = call(lambda client: JOURNALS.look(client, name))
    if as_json:
        output.say_json(document(name, state) | decisions(noted))
        return
    assert state.definition is not None
    policy = state.definition.policy
    output.say(f"cleaning {output.bold(name)}  every {duration_text(state.definition.every)}")
    output.say(f"  {output.dim('next'.ljust(8))} {_next(state)}")
    for number, rule in enumerate(policy.rules, 1):
        output.say(f"  {output.dim(f'rule {number}'.ljust(8))} {rule}")
    for caches in policy.caches:
        output.say(f"  {output.dim('caches'.ljust(8))} {caches}")
    if policy.min_age != DAY:
        output.say(f"  {output.dim('min age'.ljust(8))} {duration_text(policy.min_age)}")
    if policy.keep_tags:
        output.say(f"  {output.dim('kept'.ljust(8))} tags {', '.join(policy.keep_tags)}")
    output.say(f"  {output.dim('freed'.ljust(8))} about {size_text(state.freed)}")
    say_latest(noted, clock)


def _next(state: State) -> str:
    if state.stopped:
        return f"never: {state.stopped}"
    if state.running:
        return "runs now"
    return f"in {span(max(0.0, (state.due - now()) / 1e6))}"


def document(name: str, state: State) -> dict[str, Any]:
    """What `--json` prints of a cleaning."""
    assert state.definition is not None
    return {
        "name": name,
        "every": state.definition.every,
        "rules": [str(rule) for rule in state.definition.policy.rules],
        "min_age": state.definition.policy.min_age,
        "caches": [str(rule) for rule in state.definition.policy.caches],
        "keep_tags": state.definition.policy.keep_tags,
        "stopped": state.stopped or None,
        "running": state.running is not None,
        "next": None if state.stopped else iso(state.due),
        "runs": state.runs,
        "freed": state.freed,
        "last": state.last,
        "words": state.words,
    }
