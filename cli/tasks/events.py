"""`evq events`: what happened, as the log has it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ...core import subjects
from ...core.events import Envelope
from ...core.handle import absorb
from ...core.ports import Stored
from ...core.state import Ended, Task
from ...core.wire import Broken, decode
from ...core.words.narrate import narrate
from .. import output
from ..calling import call
from ..completion import complete_task
from ..failure import INTERRUPTED
from ..options import json_option
from ..selectors import resolve
from .render import clock, iso

if TYPE_CHECKING:
    from ...core.sdk.client import Client

NEWEST = 50


@click.command()
@click.argument("task", required=False, shell_complete=complete_task)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as events happen.")
@click.option(
    "-n", "limit", type=click.IntRange(min=1), metavar="N", help="Only the last N.  [50 of all]"
)
@json_option
def events(task: str | None, following: bool, limit: int | None, as_json: bool) -> None:
    """Print the events of a task, or the last ones of all tasks and agents.

    With --json each event is an object of its own, as it stands in the log.

    \b
    Examples:
      evq events @
      evq events -f
      evq events k3f9 --json | jq .event.kind
    """
    try:
        call(lambda client: _events(client, task, following, limit, as_json))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


async def _events(
    client: Client, selector: str | None, following: bool, limit: int | None, as_json: bool
) -> None:
    if selector is None:
        seq = await client.bus.log.last_seq()
        past = await _up_to(client, max(1, seq - (limit or NEWEST) + 1), seq)
        task = None
    else:
        task = await client.get(await resolve(client, selector))
        past = await _history(client, task)
        seq = past[-1].seq
    for stored in past[-limit:] if limit else past:
        _print(stored, as_json, task is None)
    if following:
        await _follow(client, task, seq, as_json)


async def _up_to(client: Client, start: int, last: int) -> list[Stored]:
    found: list[Stored] = []
    if start > last:
        return found
    async with client.bus.log.follow(start) as batches:
        async for batch in batches:
            found += [stored for stored in batch if stored.seq <= last]
            if batch[-1].seq >= last:
                break
    return found


async def _history(client: Client, task: Task) -> list[Stored]:
    found = await client.bus.log.history(subjects.any_hint(task.id))
    found += await client.bus.log.history(subjects.lifecycle(task.spec.queue, task.id))
    return sorted(found, key=lambda stored: stored.seq)


async def _follow(client: Client, task: Task | None, seq: int, as_json: bool) -> None:
    """What happens after `seq`; for one task, until it has ended."""
    filters = []
    if task:
        filters = [subjects.lifecycle(task.spec.queue, task.id), subjects.any_hint(task.id)]
    if task and isinstance(task.state, Ended):
        return
    async with client.bus.log.follow(seq + 1, filters) as batches:
        async for batch in batches:
            for stored in batch:
                _print(stored, as_json, task is None)
                if task and subjects.parse_lifecycle(stored.subject):
                    task = absorb(task, stored)
            sys.stdout.flush()
            if task and isinstance(task.state, Ended):
                return


def _print(stored: Stored, as_json: bool, of_all: bool) -> None:
    message = decode(stored.data)
    if as_json:
        print(msgspec.json.encode(_facts(stored)).decode())
        return
    at = clock(message.at) if not isinstance(message, Broken) else ""
    by = "" if isinstance(message, Broken) else message.by
    who = f"{stored.subject.rpartition('.')[2]}  " if of_all else ""
    # The words come last: they alone have no bounds.
    head = output.stdout_dim()(f"{at}  {by:<20}")
    print(f"{stored.seq:>7}  {head}  {who}{narrate(message)}")


def _facts(stored: Stored) -> dict[str, Any]:
    """The event as it is stored, with its address; `event` is null if it cannot be read."""
    facts: dict[str, Any] = {"seq": stored.seq, "subject": stored.subject}
    message = decode(stored.data)
    if isinstance(message, Broken):
        return facts | {"at": None, "by": None, "id": None, "event": None, "error": message.error}
    event = message.event if isinstance(message, Envelope) else {"kind": message.kind}
    return facts | {"at": iso(message.at), "by": message.by, "id": message.id, "event": event}
