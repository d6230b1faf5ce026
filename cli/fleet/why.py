"""`evq why`: what a task waits for, checked fact by fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...core.sdk.waiting.explain import Explanation, explain
from ...core.sdk.waiting.forecast import Forecast
from ...core.sdk.waiting.verdict import Verdict, View
from .. import output
from ..calling import call
from ..completion import complete_task
from ..options import json_option
from ..selectors import resolve
from ..tasks.document import brief_facts
from ..tasks.logs import last_lines
from ..tasks.remedy import LAST_LINES, explanation, failed
from ..tasks.show import next_commands, sentence

if TYPE_CHECKING:
    from ...core.sdk.client import Client
from ...core.words.remedy import remedies


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@json_option
def why(task: str, as_json: bool) -> None:
    """Say why a task is in the state it is in: by default the last one you enqueued.

    \b
    Examples:
      evq why
      evq why k3f9 --json
    """
    found, lines = call(lambda client: ask(client, task))
    what, waits = found.task, found.waits
    if as_json:
        output.say_json(
            brief_facts(what)
            | _waiting_facts(waits)
            | {
                "reasons": [{"ok": one.ok, "text": one.text} for one in found.reasons],
                "position": found.position,
                "agents": [one.agent for one in found.agents if what.place.queue in one.queues],
                "last_lines": lines,
                "try": [command for command, _ in remedies(what)],
            }
        )
        return
    output.say(f"task {output.bold(what.id)}  {sentence(what)}")
    if waits:
        output.say(f"  {output.bold(waits.text)}")
    for reason in found.reasons:
        output.say(f"  {_mark(reason.ok)} {reason.text}")
    if waits:
        output.say(output.dim(f"  {found.start_text}"))
    for line in explanation(what, lines):
        output.say(line)
    output.say(output.dim(next_commands(what)))


def _mark(ok: bool) -> str:
    if output.can_print("✔✘"):
        return click.style("✔", fg="green") if ok else click.style("✘", fg="red")
    return click.style("ok", fg="green") if ok else click.style("no", fg="red")


async def ask(client: Client, selector: str) -> tuple[Explanation, list[str]]:
    """Why a task is in its state, and its last lines if it failed."""
    task = await client.get(await resolve(client, selector))
    lines = await last_lines(client, task, LAST_LINES) if failed(task) else []
    return await explain(client, task), lines


def _waiting_facts(waits: Verdict | None) -> dict[str, Any]:
    return {
        "waits_for": waits.cause if waits else None,
        "because": waits.text if waits else None,
        "start": _start_facts(waits.start) if waits and waits.start else None,
        "start_unknown": waits.start_unknown if waits else "",
        "served_by": [_view_facts(view) for view in waits.views] if waits else [],
    }


def _start_facts(start: Forecast) -> dict[str, Any]:
    return {
        "seconds": round(start.seconds, 3),
        "low": round(start.low, 3),
        "high": round(start.high, 3),
        "runs": start.runs,
    }


def _view_facts(view: View) -> dict[str, Any]:
    return {
        "agent": view.agent.agent,
        "ready": view.ready,
        "never": view.never,
        "lacks": view.lacks,
        "closed": view.closed,
        "kept_for": view.kept,
        "passed_by": view.passed.times if view.passed else 0,
    }
