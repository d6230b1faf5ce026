"""`evq move` and `evq dequeue`: tasks that wait stand elsewhere, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from ...core.errors import UsageError
from ...core.spec import PRIORITIES
from ...core.state import Ended, Task
from .. import failure, output
from ..calling import call
from ..completion import complete_queue, complete_task
from ..options import dry_run_option, json_option, reason_option, where_option
from ..selectors import WAITING, choose, resolve
from ..submit.change import change_chosen, ending, named, report, say_chosen
from ..tasks.document import brief_facts
from ..tasks.render import colored

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.moving import Outcome, Where


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@click.option("--front", is_flag=True, help="Before all others of the queue.")
@click.option("--back", is_flag=True, help="Behind all others of the queue.")
@click.option("--up", type=click.IntRange(min=1), metavar="N", help="N places to the front.")
@click.option("--down", type=click.IntRange(min=1), metavar="N", help="N places to the back.")
@click.option(
    "--before", metavar="TASK", help="Right before this one.", shell_complete=complete_task
)
@click.option(
    "--to", "queue", metavar="QUEUE", help="Into this queue.", shell_complete=complete_queue
)
@click.option(
    "--priority",
    type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]),
    metavar="N",
    help="Among those of this priority, 0 to 9.",
)
@where_option
@dry_run_option
@reason_option
@json_option
def move(
    tasks: tuple[str, ...],
    front: bool,
    back: bool,
    up: int | None,
    down: int | None,
    before: str | None,
    queue: str | None,
    priority: int | None,
    where: str | None,
    dry_run: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let tasks that wait stand elsewhere: in their queue, or in another one.

    A task that is put between others takes on a priority that fits there. Without a place, as
    with --to alone, it goes to the end of its priority. Several tasks stay in the order in which
    they are named. What is printed ends with the command that undoes it.

    \b
    Examples:
      evq move @ --front
      evq move k3f9 --up 3 --reason "the deadline is today"
      evq move k3f9 m0ab --before 7c2e
      evq move @ --to gpu --priority 7
      evq move --where "queue = 'gpu' and user = 'ann'" --to night
    """
    _check(front, back, up, down, before, queue, priority)

    async def work(client: Client) -> tuple[list[str], list[Outcome]]:
        from ...core.sdk.moving import Back, Before, End, Front, Mover, Step

        chosen = await choose(client, tasks, where, WAITING)
        place: Where = End()
        if front or back:
            place = Front() if front else Back()
        elif up or down:
            place = Step(down or -(up or 0))
        elif before:
            place = Before(await resolve(client, before))
        if dry_run or not chosen:
            return chosen, []
        mover = Mover(client, reason or "evq move", queue, priority)
        return chosen, await mover.move(chosen, place)

    chosen, done = call(work)
    if dry_run or not chosen:
        say_chosen(chosen, "moved", as_json)
        return
    if as_json:
        output.say_json([_facts(one, done) for one in done if one.now])
    else:
        for one in done:
            if one.now:
                output.say(_words(one, one.now))
        for command in undo(done):
            output.say(f"  {output.dim('undo')} {command}")
    errors = [one.error for one in done if one.error]
    for error in errors:
        failure.show(error, as_json=as_json)
    if errors:
        raise SystemExit(errors[0].exit_code)


def _check(
    front: bool,
    back: bool,
    up: int | None,
    down: int | None,
    before: str | None,
    queue: str | None,
    priority: int | None,
) -> None:
    given = {"--front": front, "--back": back, "--up": up, "--down": down, "--before": before}
    places = [option for option, value in given.items() if value]
    if len(places) > 1:
        raise UsageError(f"{places[0]} and {places[1]} do not go together", fix="leave one out")
    if not places and queue is None and priority is None:
        raise UsageError(
            "it is not said where to move them",
            why="there are --front, --back, --up, --down, --before, --to and --priority",
            fix="evq move TASK --front",
        )
    if (up or down) and (queue is not None or priority is not None):
        raise UsageError(
            f"{places[0]} counts places where a task stands now",
            why="it does not go together with --to or --priority",
            fix="evq move TASK --to QUEUE, and then --up",
        )


def _words(done: Outcome, task: Task) -> str:
    place = task.place
    where = f"queue {place.queue}, priority {place.priority}"
    if done.after:
        where = f"number {done.after.position} of {done.after.total} in {where}"
    return f"task {output.bold(task.id)} is {where}"


def _facts(done: Outcome, everybody: Sequence[Outcome]) -> dict[str, Any]:
    assert done.now
    return brief_facts(done.now) | {
        "priority": done.now.place.priority,
        "rank": done.now.place.rank,
        "position": done.after.position if done.after else None,
        "total": done.after.total if done.after else None,
        "undo": [command for command in undo(everybody) if done.task in command.split()],
    }


def undo(done: Sequence[Outcome]) -> list[str]:
    """The commands that put the tasks back to where they stood, to be run in this order."""
    moved = [one for one in done if one.now and one.before]
    if len(moved) == 1 and (command := _step_back(moved[0])) is not None:
        return [command] if command else []
    moved.sort(key=lambda one: (one.before.queue, one.before.position) if one.before else ("", 0))
    return [
        f"evq move {' '.join(one.task for one in group)} {target}"
        for target, group in groupby(moved, _place_back)
    ]


def _step_back(done: Outcome) -> str | None:
    """For a task that stayed in its queue and priority: so many places; empty if it stands where
    it stood, None if it went elsewhere."""
    before, after = done.before, done.after
    if not before or not after or (before.queue, before.priority) != (after.queue, after.priority):
        return None
    by = before.position - after.position
    return f"evq move {done.task} --{'down' if by > 0 else 'up'} {abs(by)}" if by else ""


def _place_back(done: Outcome) -> str:
    assert done.before
    place = f"--to {done.before.queue} --priority {done.before.priority}"
    return f"{place} --before {done.follower}" if done.follower else place


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@where_option
@dry_run_option
@reason_option
@json_option
def dequeue(
    tasks: tuple[str, ...], where: str | None, dry_run: bool, reason: str, as_json: bool
) -> None:
    """Take tasks that wait out of their queue.

    A task that had ended and was put into its queue again is what it was before; another one is
    aborted. evq retry puts either back, at the end.

    \b
    Examples:
      evq dequeue @
      evq dequeue --where "name like 'sweep%'" --dry-run
    """

    why = reason or "evq dequeue"
    dequeue_all = ending(lambda c, task: c.dequeue(task, why))
    found = change_chosen(tasks, where, WAITING, dry_run, dequeue_all)
    if isinstance(found, list):
        say_chosen(found, "taken out of their queues", as_json)
    else:
        report(found, as_json, dequeued_words, back_in_line)


def dequeued_words(task: Task) -> str:
    """What became of a task that was taken out of its queue."""
    state = task.state
    again = " again, as before" if isinstance(state, Ended) and state.attempt else ""
    return f"task {output.bold(task.id)} is {colored(task.name_of_state)}{again}"


def back_in_line(tasks: Sequence[Task]) -> str:
    """The command that puts tasks which were just dequeued back, in their order."""
    return f"evq retry {named(tasks, 'dequeued')}"
