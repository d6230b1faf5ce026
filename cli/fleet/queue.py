"""`evq queue`: what somebody does to one queue. Each change prints the command that undoes it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ...core.errors import Conflict
from ...core.questions import Named
from ...core.queueing.queues import (
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueuePaused,
    QueueResumed,
    QueueRuled,
    QueueState,
    rules_text,
)
from .. import output
from ..calling import call
from ..completion import complete_queue
from ..options import Family, as_of_option, dry_run_option, json_option, reason_option
from ..submit.change import ending, report, say_chosen
from ..tasks.render import iso
from .limit import limit_command, limit_facts, limit_text, whole_or_none
from .move import back_in_line, dequeued_words
from .queue_page import ask, next_table, page, queue_document, waiting_rows

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ...core.past import When
    from ...core.sdk.bulk import Done
    from ...core.sdk.client import Client


class QueueFamily(Family):
    """`evq queue NAME` shows the queue; one that is called like a verb is shown by `show`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, incomplete) + complete_queue(ctx, None, incomplete)


name_argument = click.argument("name", shell_complete=complete_queue)


@click.group(cls=QueueFamily)
def queue() -> None:
    """A queue in your hands: evq queue NAME shows it, the verbs below change it.

    \b
    Examples:
      evq queue gpu
      evq queue pause gpu --reason "maintenance until noon"
      evq queue clear gpu --dry-run
    """


# --- looking --------------------------------------------------------------------------------------


@queue.command()
@name_argument
@as_of_option
@json_option
def show(name: str, as_of: When | None, as_json: bool) -> None:
    """Show a queue: its state, what waits in it and how deep, who is next, who serves it.

    \b
    Examples:
      evq queue gpu
      evq queue show gpu --json | jq .next
    """
    found = call(lambda client: ask(client, name), as_of=as_of)
    if as_json:
        output.say_json(queue_document(found))
        return
    page(found)


@queue.command()
@name_argument
@click.option("-n", "limit", type=click.IntRange(min=1), default=20, help="At most N.  [20]")
@as_of_option
@json_option
def peek(name: str, limit: int, as_of: When | None, as_json: bool) -> None:
    """Print the tasks that wait in a queue, the next one first, and take none.

    \b
    Examples:
      evq queue peek gpu
      evq queue peek gpu -n 3 --json
    """
    rows = call(lambda client: waiting_rows(client, name, limit), as_of=as_of)
    if as_json:
        output.say_json(rows)
    elif rows:
        next_table(rows)
    else:
        output.note(f"nothing waits in queue {name}")


@queue.command()
@name_argument
@as_of_option
@json_option
def count(name: str, as_of: When | None, as_json: bool) -> None:
    """Print how many tasks wait in a queue.

    \b
    Examples:
      evq queue count gpu
    """
    rows = call(lambda client: waiting_rows(client, name, 1), as_of=as_of)
    total = rows[0]["total"] if rows else 0
    if as_json:
        output.say_json({"queue": name, "queued": total})
    else:
        output.say(str(total))


# --- changing -------------------------------------------------------------------------------------


@queue.command()
@name_argument
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@reason_option
@json_option
def create(name: str, description: str, reason: str, as_json: bool) -> None:
    """Make a queue. One that nobody made comes into being with its first task.

    \b
    Examples:
      evq queue create gpu --description "the eight big cards"
    """
    event = QueueCreated(name, description, reason or "evq queue create")
    before, after = call(lambda client: client.change_queue(event))
    restore = [] if before.description == "" else [_describe(name, before.description)]
    undo = restore if before.seq and not before.deleted else [f"evq queue delete {name}"]
    _report(after, f"queue {output.bold(name)} is there", undo, as_json)


@queue.command()
@name_argument
@click.argument("text")
@reason_option
@json_option
def describe(name: str, text: str, reason: str, as_json: bool) -> None:
    """Say what a queue is for.

    \b
    Examples:
      evq queue describe gpu "the eight big cards"
    """
    event = QueueDescribed(name, text, reason or "evq queue describe")
    before, after = call(lambda client: client.change_queue(event))
    undo = [_describe(name, before.description)]
    _report(after, f"queue {output.bold(name)} is for: {text}", undo, as_json)


def _describe(name: str, text: str) -> str:
    return f"evq queue describe {name} {shlex.quote(text)}"


@queue.command()
@name_argument
@reason_option
@json_option
def pause(name: str, reason: str, as_json: bool) -> None:
    """Let agents take nothing from a queue until it is resumed. What runs goes on.

    Agents hear of it within milliseconds; a claim that is on its way then may still happen. Tasks
    can be enqueued meanwhile, and wait.

    \b
    Examples:
      evq queue pause gpu --reason "maintenance until noon"
    """
    event = QueuePaused(name, reason or "evq queue pause")
    _, after = call(lambda client: client.change_queue(event))
    _report(after, f"queue {output.bold(name)} is paused", [f"evq queue resume {name}"], as_json)


@queue.command()
@name_argument
@reason_option
@json_option
def resume(name: str, reason: str, as_json: bool) -> None:
    """Let agents take tasks from a paused queue again.

    \b
    Examples:
      evq queue resume gpu
    """
    event = QueueResumed(name, reason or "evq queue resume")
    before, after = call(lambda client: client.change_queue(event))
    _report(after, f"queue {output.bold(name)} is open", [_pause(before)], as_json)


def _pause(before: QueueState) -> str:
    reason = before.pause.reason if before.pause else ""
    return f"evq queue pause {before.name} --reason {shlex.quote(reason)}"


@queue.command()
@name_argument
@click.argument("most", metavar="N|none")
@click.option(
    "--per-user", type=click.IntRange(min=0), metavar="M", help="At most M of each user's at once."
)
@reason_option
@json_option
def limit(name: str, most: str, per_user: int | None, reason: str, as_json: bool) -> None:
    """Let at most N tasks of a queue run at once, on all agents together; none lifts the limit.

    What runs goes on, and counts. A claim that is on its way when the limit is set may still
    happen; from then on the log holds no more live attempts than that.

    \b
    Examples:
      evq queue limit gpu 4
      evq queue limit gpu none --per-user 2 --reason "deadline week"
    """
    why = reason or "evq queue limit"
    before, after = call(
        lambda client: client.limit_queue(name, whole_or_none(most), per_user, why)
    )
    undo = [limit_command(before)]
    if as_json:
        output.say_json(limit_facts(after) | {"undo": undo})
        return
    output.say(limit_text(after) if after.limited else f"queue {output.bold(name)} has no limit")
    output.say(f"  {output.dim('undo')} {undo[0]}")


@queue.command()
@name_argument
@click.option(
    "--fair/--by-age", default=True, help="Evenly among users, or the oldest first.  [--fair]"
)
@reason_option
@json_option
def share(name: str, fair: bool, reason: str, as_json: bool) -> None:
    """Say how a queue is shared out among its users.

    In a fair queue the next task is that of the user who has least of the queue running, on all
    agents together. That is so for tasks that are enqueued from then on.

    \b
    Examples:
      evq queue share gpu --fair
      evq queue share gpu --by-age
    """
    event = QueueRuled(name, reason or "evq queue share", fair)
    before, after = call(lambda client: client.change_queue(event))
    text = rules_text(after) or "by age alone"
    _report(after, f"queue {output.bold(name)} is shared out {text}", [_share(before)], as_json)


def _share(before: QueueState) -> str:
    fair = "--fair" if before.fair else "--by-age"
    return f"evq queue share {before.name} {fair}"


@queue.command()
@name_argument
@click.option("--force", is_flag=True, help="Take the tasks that wait out of it first.")
@reason_option
@json_option
def delete(name: str, force: bool, reason: str, as_json: bool) -> None:
    """Delete a queue: it is listed no longer, and its description and pause are forgotten.

    What has happened in it stays. The next task that is enqueued there brings it into being
    again, so take it from the agents that serve it, too.

    \b
    Examples:
      evq queue delete gpu
      evq queue delete gpu --force --reason "the machines are gone"
    """
    event = QueueDeleted(name, reason or "evq queue delete")

    async def work(client: Client) -> tuple[list[Done], QueueState, QueueState]:
        waiting = await _all_waiting(client, name)
        if waiting and not force:
            raise Conflict(
                f"{output.count_of(len(waiting), 'task')} wait in queue {name}",
                why="they would never run",
                fix=f"evq queue delete {name} --force     takes them out of it first\n"
                f"evq move --where \"queue = '{name}'\" --to QUEUE     moves them",
            )
        dequeue_all = ending(lambda c, task: c.dequeue(task, event.reason))
        done = await dequeue_all(client, waiting)
        return done, *await client.change_queue(event)

    done, before, after = call(work)
    undo = [f"evq queue create {name}" + _with_description(before)]
    undo += [_pause(before)] if before.pause else []
    dequeued = [one.now for one in done if one.now]
    undo += [back_in_line(dequeued)] if dequeued else []
    text = f"queue {output.bold(name)} is deleted"
    if done:
        text += f", and {output.count_of(len(done), 'task')} taken out of it"
    _report(after, text, undo, as_json)


def _with_description(before: QueueState) -> str:
    return f" --description {shlex.quote(before.description)}" if before.description else ""


@queue.command()
@name_argument
@dry_run_option
@reason_option
@json_option
def clear(name: str, dry_run: bool, reason: str, as_json: bool) -> None:
    """Take all tasks that wait out of a queue; each is what it was before it was enqueued there.

    \b
    Examples:
      evq queue clear gpu --dry-run
      evq queue clear gpu --reason "a wrong sweep"
    """
    why = reason or "evq queue clear"

    async def work(client: Client) -> tuple[list[str], list[Done]]:
        waiting = await _all_waiting(client, name)
        if dry_run:
            return waiting, []
        dequeue_all = ending(lambda c, task: c.dequeue(task, why))
        return waiting, await dequeue_all(client, waiting)

    waiting, done = call(work)
    if dry_run or not waiting:
        say_chosen(waiting, f"taken out of queue {name}", as_json)
        return
    report(done, as_json, dequeued_words, back_in_line)


# --- what they share ------------------------------------------------------------------------------


async def _all_waiting(client: Client, name: str) -> list[str]:
    rows = client.rows(Named("line", {"queue": name, "limit": 100_000}))
    return [str(row["task"]) async for row in rows]


def _report(queue: QueueState, text: str, undo: list[str], as_json: bool) -> None:
    if as_json:
        output.say_json(
            {
                "queue": queue.name,
                "state": queue.name_of_state,
                "description": queue.description,
                "by": queue.by,
                "reason": queue.reason,
                "since": iso(queue.at),
                "seq": queue.seq,
                "undo": undo,
            }
        )
        return
    output.say(text)
    for command in undo:
        output.say(f"  {output.dim('undo')} {command}")
