"""`evq abort` and `evq retry`: verbs that change tasks which are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
import msgspec

from ..core.errors import EvqError
from ..core.state import Task
from . import failure, output
from .completion import complete_task
from .document import brief_facts
from .options import json_option
from .render import colored
from .selectors import resolve_all
from .session import call

if TYPE_CHECKING:
    from ..core.sdk.client import Client

    Change = Callable[[Client, str], Awaitable[Task]]


class Done(msgspec.Struct, frozen=True):
    """A task after its change, or the error that kept it from changing."""

    task: str
    now: Task | None = None
    error: EvqError | None = None


@click.command()
@click.argument("tasks", nargs=-1, required=True, shell_complete=complete_task)
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the task.")
@json_option
def abort(tasks: tuple[str, ...], reason: str, as_json: bool) -> None:
    """End tasks: at once if they wait, by SIGTERM and later SIGKILL if they run.

    \b
    Examples:
      evq abort @
      evq abort k3f9 m0ab --reason "wrong data"
    """
    why = reason or "evq abort"
    done = call(lambda client: _each(client, tasks, lambda c, task: c.abort(task, why)))
    _report(done, as_json, _abort_words)


def _abort_words(task: Task) -> str:
    if task.live:
        return f"task {task.id} is told to end; agent {task.live.agent} runs it"
    return f"task {task.id} {colored('aborted')}"


@click.command()
@click.argument("tasks", nargs=-1, required=True, shell_complete=complete_task)
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the task.")
@json_option
def retry(tasks: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Run tasks that have ended once more: the same code, the same id, one more attempt.

    \b
    Examples:
      evq retry @
      evq retry k3f9 m0ab --reason "the disk was full"
    """
    why = reason or "evq retry"
    done = call(lambda client: _each(client, tasks, lambda c, task: c.retry(task, why)))
    _report(done, as_json, lambda task: f"task {task.id} {colored('queued')} again")


async def _each(client: Client, selectors: tuple[str, ...], change: Change) -> list[Done]:
    """Change one task after the other. One that is refused does not keep the others from it."""
    done = []
    for task in await resolve_all(client, selectors):
        try:
            done.append(Done(task, await change(client, task)))
        except EvqError as error:
            done.append(Done(task, error=error))
    return done


def _report(done: list[Done], as_json: bool, words: Callable[[Task], str]) -> None:
    """Say what became of each; ends with the exit status of the first that was refused."""
    errors = [one.error for one in done if one.error]
    if as_json:
        output.say_json([brief_facts(one.now) for one in done if one.now])
    else:
        for one in done:
            if one.now:
                output.say(words(one.now))
    for error in errors:
        failure.show(error, as_json=as_json)
    if errors:
        raise SystemExit(errors[0].exit_code)
