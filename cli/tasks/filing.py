"""`evq tag` and `evq archive`: tasks filed otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ...core.filing.filed import check_tags, difference
from ...core.state import Task
from .. import output
from ..completion import complete_task
from ..options import dry_run_option, json_option, reason_option, where_option
from ..selectors import ANY, ENDED
from ..submit.change import change_chosen, each, named, report, say_chosen

if TYPE_CHECKING:
    from ...core.sdk.client import Client

Tags = tuple[str, ...]


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@click.option("-a", "--add", multiple=True, metavar="TAG", help="Give it; may be repeated.")
@click.option("-r", "--remove", multiple=True, metavar="TAG", help="Take it away; may be repeated.")
@where_option
@dry_run_option
@json_option
def tag(
    tasks: tuple[str, ...], add: Tags, remove: Tags, where: str | None, dry_run: bool, as_json: bool
) -> None:
    """Give tasks other tags, whatever they do now: they need not have ended, nor wait.

    What is printed ends with the command that undoes it.

    \b
    Examples:
      evq tag @ --add paper
      evq tag k3f9 m0ab --add best --remove draft
      evq tag --where "name like 'sweep%' and state = 'failed'" --add broken --dry-run
    """
    check_tags(add, remove)
    changes: dict[str, tuple[Tags, Tags]] = {}

    async def change(client: Client, task: str) -> Task:
        before = (await client.get(task)).tags
        after = await client.tag(task, add, remove)
        changes[after.id] = difference(before, after.tags)
        return after

    found = change_chosen(tasks, where, ANY, dry_run, each(change))
    if isinstance(found, list):
        say_chosen(found, "tagged", as_json)
    else:
        report(found, as_json, _tag_words, lambda done: _untag(done, changes))


def _tag_words(task: Task) -> str:
    tags = f"is tagged {' '.join(task.tags)}" if task.tags else "has no tag"
    return f"task {output.bold(task.id)} {tags}"


def _untag(done: Sequence[Task], changes: dict[str, tuple[Tags, Tags]]) -> str:
    """What undoes it: tasks that were tagged in the same way stand in one command."""
    alike: dict[tuple[Tags, Tags], list[Task]] = {}
    for task in done:
        if any(changes[task.id]):
            alike.setdefault(changes[task.id], []).append(task)
    return " && ".join(
        f"evq tag {named(tasks, 'tagged')} {_options(remove, added)}"
        for (added, remove), tasks in alike.items()
    )


def _options(add: Tags, remove: Tags) -> str:
    from shlex import quote

    words = [f"--add {quote(one)}" for one in add] + [f"--remove {quote(one)}" for one in remove]
    return " ".join(words)


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@click.option("--undo", is_flag=True, help="Take them out of the archive.")
@where_option
@dry_run_option
@reason_option
@json_option
def archive(
    tasks: tuple[str, ...],
    undo: bool,
    where: str | None,
    dry_run: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let lists leave out tasks that have ended; nothing of them goes, and they are found by id.

    evq ls --archived lists them. evq retry takes a task out of the archive again.

    \b
    Examples:
      evq archive @ --reason "the paper is out"
      evq archive --where "ended < now() - interval 90 days" --dry-run
      evq archive --undo k3f9
    """
    why = reason or "evq archive"

    async def change(client: Client, task: str) -> Task:
        return await (client.unarchive if undo else client.archive)(task, why)

    found = change_chosen(tasks, where, ENDED, dry_run, each(change), archived=undo)
    if isinstance(found, list):
        say_chosen(found, "taken out of the archive" if undo else "archived", as_json)
    else:
        report(found, as_json, _archive_words, _back)


def _archive_words(task: Task) -> str:
    return f"task {output.bold(task.id)} is {'' if task.archived else 'not '}archived"


def _back(done: Sequence[Task]) -> str:
    if done[0].archived:
        return f"evq archive --undo {named(done, 'archived')}"
    return f"evq archive {named(done, 'unarchived')}"
