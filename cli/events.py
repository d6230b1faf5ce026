"""`evq events`: what happened, as the log has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import click
import msgspec

from ..core import subjects
from ..core.events import Envelope
from ..core.ports import Stored
from ..core.sdk.client import Client
from ..core.wire import Broken, decode
from . import output
from .completion import complete_task
from .failure import INTERRUPTED
from .narrate import narrate
from .options import json_option
from .render import clock, iso
from .selectors import resolve
from .session import call

NEWEST = 50
SECRET_FREE = ("id", "v")


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
    start, filters = 1, []
    if selector is None:
        limit = limit or NEWEST
        # Agents look at the log, they do not fill it: the last sequences are the last events.
        start = max(1, await client.bus.log.last_seq() - limit + 1)
    else:
        task = await client.get(await resolve(client, selector))
        filters = [subjects.lifecycle(task.spec.queue, task.id), subjects.any_hint(task.id)]
    async with aclosing(_read(client, start, filters, following)) as batches:
        batch: list[Stored] = []
        async for batch, complete in batches:
            if not complete:
                continue
            for stored in batch[-limit:] if limit else batch:
                _print(stored, as_json, whole=selector is None)
            limit = None


async def _read(
    client: Client, start: int, filters: Sequence[str], following: bool
) -> AsyncIterator[tuple[list[Stored], bool]]:
    """Everything there is as one batch, then, if one follows, what comes."""
    last = await client.bus.log.last_seq()
    gathered: list[Stored] = []
    yield gathered, False
    raise NotImplementedError
