"""`evq replay`: a task's life again, event by event, and what each one changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core import subjects
from ...core.events import Envelope
from ...core.handle import absorb, from_hint, load_gang
from ...core.ports import Stored
from ...core.state import Task
from ...core.wire import Broken, Unknown, decode
from ...core.words.narrate import narrate
from .. import output
from ..calling import call
from ..completion import complete_task
from ..options import json_option
from ..output import bold, dim
from ..selectors import resolve
from ..submit.gang import rank_label
from .difference import Change, change_lines, compared
from .document import spec_facts, task_facts
from .render import clock, iso, span

if TYPE_CHECKING:
    from ...core.sdk.client import Client

FORWARD = (" ", "\r", "\n", "n", "j", "\x1b[C", "\x1b[B")
BACK = ("p", "k", "b", "\x7f", "\x1b[D", "\x1b[A")
FIRST = ("g", "\x1b[H")
LAST = ("G", "\x1b[F")
END = ("q", "\x1b", "\x04")
KEYS = "space → next   ← back   g first   G last   q end"

_MOVES = ("queue", "priority")
"""What was asked for once, and may change."""


class Step(msgspec.Struct, frozen=True):
    """An event of a task, and the task before and after it. `waited` are the seconds since the
    step before, by the clocks of those who wrote the two."""

    stored: Stored
    message: Envelope | Unknown | Broken
    before: Task | None
    after: Task
    waited: float | None = None

    @property
    def at(self) -> int | None:
        """When it was written; null if it cannot be read."""
        return None if isinstance(self.message, Broken) else self.message.at

    @property
    def changes(self) -> list[Change]:
        """What is otherwise after it."""
        before = _fields(self.before) if self.before else {}
        return compared("task", before, _fields(self.after))


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.option("--all", "everything", is_flag=True, help="Print all steps at once.")
@json_option
def replay(task: str, everything: bool, as_json: bool) -> None:
    """Step through a task's life: each event, who wrote it and when, and what it changed.

    On a terminal a key leads to the next step or back; elsewhere all steps are printed. Of a gang
    all members are shown, in the order of the log; TASK/1 is rank 1 alone.

    \b
    Examples:
      evq replay @
      evq replay k3f9 --all
      evq replay k3f9 --json | jq -c '[.at, .event.kind, .state]'
    """
    steps = call(lambda client: _steps(client, task))
    if as_json:
        for number, step in enumerate(steps, 1):
            output.say_json({"step": number, "of": len(steps)} | _facts(step))
    elif everything or not (output.on_terminal() and sys.stdin.isatty()):
        for number in range(len(steps)):
            output.say("\n".join(_page(steps, number)) + "\n" * (number + 1 < len(steps)))
    else:
        _walk(steps)


async def _steps(client: Client, selector: str) -> list[Step]:
    known = await client.get(await resolve(client, selector))
    whole = known.spec.gang and "/" not in selector
    members = await load_gang(client.bus.log, known) if whole else [known]
    steps = [step for member in members for step in await _of_one(client, member)]
    in_order = sorted(steps, key=lambda step: step.stored.seq)
    return [_timed(step, before) for before, step in zip([None, *in_order], in_order, strict=False)]


async def _of_one(client: Client, task: Task) -> list[Step]:
    log = client.bus.log
    enqueued = await log.get(task.origin)
    assert enqueued is not None
    _, now, _ = from_hint(enqueued)
    assert now is not None
    steps = [Step(enqueued, decode(enqueued.data), None, now)]
    for stored in await log.history(subjects.lifecycle(task.spec.queue, task.id)):
        before, now = now, absorb(now, stored)
        steps.append(Step(stored, decode(stored.data), before, now))
    return steps


def _timed(step: Step, before: Step | None) -> Step:
    if before is None or before.at is None or step.at is None:
        return step
    return msgspec.structs.replace(step, waited=round((step.at - before.at) / 1e6, 6))


def _fields(task: Task) -> dict[str, Any]:
    """What events can change of a task, each under a name of its own."""
    fixed = spec_facts(task.spec).keys() - set(_MOVES)
    facts = {
        name: value
        for name, value in task_facts(task).items()
        if name not in fixed and name not in ("task", "seq", "origin", "attempts")
    }
    for attempt in task_facts(task)["attempts"]:
        facts[f"attempt {attempt['number']}"] = attempt
    return dict(_flat("", msgspec.to_builtins(facts)))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if name.endswith(".packages"):
        yield name, len(value)
    elif isinstance(value, dict):
        for inner, one in value.items():
            yield from _flat(f"{name}.{inner}" if name else inner, one)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, one in enumerate(value, 1):
            yield from _flat(f"{name}.{number}", one)
    elif value not in (None, "", [], ()):
        yield name, value


# --- for people -----------------------------------------------------------------------------------


def _page(steps: Sequence[Step], number: int) -> list[str]:
    """One step, line by line."""
    step = steps[number]
    spec, message = step.after.spec, step.message
    when = clock(step.at) if step.at is not None else ""
    waited = f"{span(max(0.0, step.waited))} later" if step.waited is not None else ""
    by = "" if isinstance(message, Broken) else message.by
    head = dim("  ".join(filter(None, (f"#{step.stored.seq}", when, waited, by))))
    rank = rank_label(spec.gang.rank, spec.nodes) if spec.gang else ""
    lines = [f"{rank}{bold(f'{number + 1}/{len(steps)}')}  {head}", f"  {narrate(message)}"]
    return lines + [f"    {line}" for line in change_lines(step.changes)]


def _walk(steps: Sequence[Step]) -> None:
    """Show one step at a time, as the keys say."""
    number = 0
    while True:
        click.clear()
        task = steps[number].after
        output.say(f"task {bold(task.id)}  {task.spec.name}\n")
        output.say("\n".join(_page(steps, number)))
        output.say(f"\n{dim(KEYS)}")
        try:
            key = click.getchar()
        except (KeyboardInterrupt, EOFError):
            return
        if key in END:
            return
        if key in FORWARD:
            number += 1
        elif key in BACK:
            number -= 1
        elif key in FIRST:
            number = 0
        elif key in LAST:
            number = len(steps) - 1
        number = min(max(number, 0), len(steps) - 1)


# --- as JSON --------------------------------------------------------------------------------------


def _facts(step: Step) -> dict[str, Any]:
    message, spec = step.message, step.after.spec
    return {
        "task": step.after.id,
        "rank": spec.gang.rank if spec.gang else None,
        "seq": step.stored.seq,
        "at": iso(step.at),
        "waited_seconds": step.waited,
        "by": None if isinstance(message, Broken) else message.by,
        "event": message.event if isinstance(message, Envelope) else None,
        "text": narrate(message),
        "state": {
            "before": step.before.name_of_state if step.before else None,
            "after": step.after.name_of_state,
        },
        "changes": [{"name": one.name, "old": one.old, "new": one.new} for one in step.changes],
    }
