"""`evq diff`: what differs between two tasks, from the code to the outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core.differences import PARTS, facts
from ...core.errors import EvqError, ProjectorAway
from ...core.events import AgentUp, Envelope
from ...core.questions import Named
from ...core.state import Attempt, Task
from ...core.subjects import agent_events
from ...core.wire import decode
from .. import output
from ..calling import call
from ..completion import complete_task
from ..options import THIS_RUN, json_option
from ..selectors import resolve
from .difference import Change, change_lines, changes_between
from .render import colored, marked

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.compare import FileChange


class Side(msgspec.Struct, frozen=True):
    """One of the two tasks, and what others know of it."""

    task: Task
    up: AgentUp | None
    metrics: dict[str, Any]


class CodeChange(msgspec.Struct, frozen=True):
    """What differs in the code; `error` says why it is not known."""

    files: list[FileChange] = []
    summary: str = ""
    patch: str = ""
    error: EvqError | None = None


class Answer(msgspec.Struct, frozen=True):
    """Both tasks and all that differs."""

    old: Side
    new: Side
    changes: list[Change]
    code: CodeChange


@click.command()
@click.argument("old", metavar="A", shell_complete=complete_task)
@click.argument("new", metavar="B", default="@", shell_complete=complete_task)
@click.option("--patch", is_flag=True, help="Also the lines of code that differ.")
@json_option
def diff(old: str, new: str, patch: bool, as_json: bool) -> None:
    """Print what differs between two tasks; B is the last one you enqueued if it is left out.

    Compared are parameters, code, packages, variables, options, the machine, the outcome and the
    last values of metrics. Of several attempts the last one counts.

    \b
    Examples:
      evq diff @~1 @
      evq diff k3f9 m0ab --patch
      evq diff k3f9 --json | jq '.changes[] | select(.part == "package")'
    """
    found = call(lambda client: _ask(client, old, new, patch))
    if as_json:
        output.say_json(_facts(found, patch))
        return
    for line in page(found):
        output.say(line)
    if found.code.patch:
        output.say()
        output.say(found.code.patch.rstrip("\n"))


async def _ask(client: Client, old: str, new: str, patch: bool) -> Answer:
    sides = await asyncio.gather(_side(client, old), _side(client, new))
    code = await _compare_code(client, *sides, patch)
    return Answer(
        *sides, changes_between(*(facts(side.task, side.metrics, side.up) for side in sides)), code
    )


async def _side(client: Client, selector: str) -> Side:
    task = await client.get(await resolve(client, selector))
    last = task.attempts[-1] if task.attempts else None
    up = await _introduction(client, last) if last else None
    try:
        rows = [row async for row in client.rows(Named("metrics", {"task": task.id}))]
    except ProjectorAway:
        rows = []
    return Side(task, up, {str(row["name"]): row["value"] for row in rows})


async def _introduction(client: Client, attempt: Attempt) -> AgentUp | None:
    """What the agent of an attempt said of its machine."""
    for stored in reversed(await client.bus.log.history(agent_events(attempt.agent))):
        message = decode(stored.data)
        event = message.event if isinstance(message, Envelope) else None
        if isinstance(event, AgentUp) and event.instance == attempt.instance:
            return event
    return None


async def _compare_code(client: Client, old: Side, new: Side, patch: bool) -> CodeChange:
    first, second = old.task.spec.code, new.task.spec.code
    if first is None or second is None or first.snapshot == second.snapshot:
        return CodeChange()
    from ...core.sdk.compare import comparison

    colors = output.on_terminal() if THIS_RUN.colors is None else THIS_RUN.colors
    try:
        async with comparison(client.bus.objects, first, second) as both:
            return CodeChange(
                await both.files(),
                await both.summary(output.terminal_width() - 2),
                await both.patch(color=colors) if patch else "",
            )
    except EvqError as error:
        return CodeChange(error=error)


# --- how it looks -------------------------------------------------------------------------------


def page(found: Answer) -> list[str]:
    """What differs, part by part, and which parts do not."""
    lines = [_head("A", found.old.task), _head("B", found.new.task)]
    same = []
    for part, title in PARTS.items():
        changes = [change for change in found.changes if change.part == part]
        if part == "code" and (found.code.summary or found.code.error):
            lines += ["", output.bold(title), *_code_lines(found.code)]
        elif changes:
            lines += ["", output.bold(title), *(f"  {line}" for line in change_lines(changes))]
        elif part != "command":
            same.append(title)
    return [*lines, "", output.dim(f"the same: {', '.join(same)}")] if same else lines


def _head(letter: str, task: Task) -> str:
    state = colored(marked(task.name_of_state))
    return f"{letter}  task {output.bold(task.id)}  {state}  {task.spec.name}"


def _code_lines(code: CodeChange) -> list[str]:
    if code.error:
        return [f"  it differs, but {code.error.what}: {code.error.why}"]
    return [f"  {line.strip()}" for line in code.summary.splitlines()]


def _facts(found: Answer, patch: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "old": found.old.task.id,
        "new": found.new.task.id,
        "changes": found.changes,
        "files": found.code.files,
        "error": found.code.error and str(found.code.error),
    }
    return facts | {"patch": found.code.patch} if patch else facts
