"""`evq abort` and `evq retry`: verbs that change tasks which are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from ...core.decide import RETRIABLE
from ...core.state import Ended, Task
from .. import failure, output
from ..calling import call
from ..completion import complete_task
from ..options import dry_run_option, json_option, reason_option, where_option
from ..selectors import ENDED, LIVE, choose
from ..tasks.document import brief_facts
from ..tasks.render import colored

if TYPE_CHECKING:
    from ...core.sdk.bulk import Done
    from ...core.sdk.client import Client

    ChangeOne = Callable[[Client, str], Awaitable[Task]]
    Change = Callable[[Client, Sequence[str]], Awaitable[list[Done]]]


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@where_option
@dry_run_option
@reason_option
@json_option
def abort(
    tasks: tuple[str, ...], where: str | None, dry_run: bool, reason: str, as_json: bool
) -> None:
    """End tasks: at once if they wait, by SIGTERM and later SIGKILL if they run.

    \b
    Examples:
      evq abort @
      evq abort k3f9 m0ab --reason "wrong data"
      evq abort --where "queue = 'gpu' and name like 'sweep%'" --dry-run
    """
    why = reason or "evq abort"
    found = change_chosen(tasks, where, LIVE, dry_run, ending(lambda c, task: c.abort(task, why)))
    if isinstance(found, list):
        say_chosen(found, "aborted", as_json)
    else:
        report(found, as_json, _abort_words)


def _abort_words(task: Task) -> str:
    if task.live:
        return f"task {task.id} is told to end; agent {task.live.agent} runs it"
    return f"task {task.id} {colored('aborted')}"


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@click.option("--failed", is_flag=True, help="Only those of them that failed or ran out of time.")
@where_option
@dry_run_option
@reason_option
@json_option
def retry(
    tasks: tuple[str, ...],
    failed: bool,
    where: str | None,
    dry_run: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Run tasks that have ended once more: the same code, the same id, one more attempt.

    \b
    Examples:
      evq retry @
      evq retry k3f9 m0ab --reason "the disk was full"
      evq retry ARRAY --failed
      evq retry --where "queue = 'gpu' and cause = 'environment'"
    """
    why = reason or "evq retry"

    async def change(client: Client, chosen: Sequence[str]) -> list[Done]:
        from ...core.sdk.bulk import retry_each

        return await retry_each(client, chosen, why)

    found = change_chosen(tasks, where, ENDED, dry_run, change, failed=failed)
    if isinstance(found, list):
        say_chosen(found, "put back into their queues", as_json)
    else:
        report(found, as_json, lambda task: f"task {task.id} {colored(task.name_of_state)} again")


def change_chosen(
    selectors: Sequence[str],
    where: str | None,
    states: Sequence[str],
    dry_run: bool,
    change: Change,
    archived: bool = False,
    failed: bool = False,
) -> list[str] | tuple[Done, ...]:
    """Change the tasks that are chosen; or, for a dry run or if there are none, just their ids."""

    async def work(client: Client) -> list[str] | tuple[Done, ...]:
        chosen = await choose(client, selectors, where, states, archived)
        if failed:
            chosen = await _failed(client, chosen)
        return chosen if dry_run or not chosen else tuple(await change(client, chosen))

    return call(work)


def each(change: ChangeOne) -> Change:
    """The change of one task, made to many."""

    async def change_all(client: Client, tasks: Sequence[str]) -> list[Done]:
        from ...core.sdk.bulk import change_each

        return await change_each(tasks, lambda task: change(client, task))

    return change_all


def ending(end: ChangeOne) -> Change:
    """The end of one task, made to many, so that none of them begins meanwhile."""

    async def end_all(client: Client, tasks: Sequence[str]) -> list[Done]:
        from ...core.sdk.bulk import end_each

        return await end_each(client, tasks, lambda task: end(client, task))

    return end_all


async def _failed(client: Client, chosen: Sequence[str]) -> list[str]:
    from ...core.sdk.abreast import abreast

    found = await abreast(client.get, chosen)
    return [
        one.id for one in found if isinstance(one.state, Ended) and one.state.outcome in RETRIABLE
    ]


FEW = 20
"""Tasks that a command names one by one."""


def named(tasks: Sequence[Task], kind: str) -> str:
    """Tasks that an event of this kind just happened to, as a verb is given them."""
    if len(tasks) <= FEW:
        return " ".join(task.id for task in tasks)
    first, last = min(task.seq for task in tasks), max(task.seq for task in tasks)
    events = f"select task from events where kind = '{kind}' and seq between {first} and {last}"
    return f'--where "task in ({events})"'


def say_chosen(tasks: Sequence[str], verb: str, as_json: bool) -> None:
    """Say which tasks would be changed."""
    if as_json:
        output.say_json([{"task": task} for task in tasks])
    elif tasks:
        for task in tasks:
            output.say(task)
        output.note(f"{output.count_of(len(tasks), 'task')} would be {verb}")
    else:
        output.note("no task is like that")


def report(
    done: Sequence[Done],
    as_json: bool,
    words: Callable[[Task], str],
    undo: Callable[[Sequence[Task]], str] | None = None,
) -> None:
    """Say what became of each, and the command that undoes it; ends with the exit status of the
    first that was refused."""
    errors = [one.error for one in done if one.error]
    changed = [one.now for one in done if one.now]
    back = undo(changed) if undo and changed else ""
    if as_json:
        way_back = {} if undo is None else {"undo": [back] if back else []}
        output.say_json([brief_facts(task) | way_back for task in changed])
    else:
        for task in changed:
            output.say(words(task))
        if back:
            output.say(f"  {output.dim('undo')} {back}")
    for error in errors:
        failure.show(error, as_json=as_json)
    if errors:
        raise SystemExit(errors[0].exit_code)
