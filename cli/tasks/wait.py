"""`evq wait`: until tasks have ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from ...core import units
from ...core.gangs.gang import decisive
from ...core.handle import absorb, load_gang
from ...core.state import Ended, Task
from ...core.subjects import lifecycle
from .. import output
from ..completion import complete_task
from ..options import json_option
from ..selectors import resolve_all
from ..session import call
from ..submit.run import ending
from .document import brief_facts, exit_status

if TYPE_CHECKING:
    from ...core.sdk.client import Client

NOT_YET = 75
"""sysexits' "try again": the tasks have not ended in the time that was given."""


MANY = 100
"""Tasks above which it is cheaper to hear of all tasks of their queues."""


@click.command()
@click.argument("tasks", nargs=-1, shell_complete=complete_task)
@click.option("--timeout", metavar="TIME", help="Wait no longer than that, such as 30m.")
@json_option
def wait(tasks: tuple[str, ...], timeout: str | None, as_json: bool) -> None:
    """Wait until tasks have ended: by default the last one you enqueued.

    Ends with the exit code of the first task, in the order in which they were named, that did
    not complete, else with 0; with 75 if they have not ended in time.

    \b
    Examples:
      evq wait
      evq wait k3f9 m0ab --timeout 2h
    """
    patience = units.seconds(timeout) if timeout else None
    gangs = call(lambda client: _wait(client, tasks or ("@",), patience, not as_json))
    found = [decisive(members) for members in gangs]
    if as_json:
        output.say_json([brief_facts(task) for task in found])
    late = [task for members in gangs for task in members if not isinstance(task.state, Ended)]
    if late and not as_json:
        names = ", ".join(f"{task.id} ({task.name_of_state})" for task in late)
        output.note(f"not ended in {timeout}: {names}")
    statuses = [exit_status(task) for task in found]
    raise SystemExit(NOT_YET if late else next((one for one in statuses if one), 0))


async def _wait(
    client: Client, selectors: tuple[str, ...], patience: float | None, tell: bool
) -> list[list[Task]]:
    """The tasks, each with the others of its gang, when all have ended, or as they are when the
    time is over."""
    named = [await client.get(one) for one in await resolve_all(client, selectors)]
    found = [await load_gang(client.bus.log, one) for one in named]
    gangs = list({members[0].id: members for members in found}.values())
    try:
        async with asyncio.timeout(patience):
            await _watch(client, gangs, tell)
    except TimeoutError:
        pass
    return gangs


async def _watch(client: Client, gangs: list[list[Task]], tell: bool) -> None:
    """Fold what happens to the tasks until all have ended. A member of a gang that has ended may
    run again as long as another has not."""
    waiting = {members[0].id: members for members in gangs if not _over(members, tell)}
    if not waiting:
        return
    tasks = [one for members in waiting.values() for one in members]
    places = {
        one.id: (first, rank)
        for first, members in waiting.items()
        for rank, one in enumerate(members)
    }
    start = min(max(one.seq, one.origin) for one in tasks) + 1
    filters = [lifecycle(one.spec.queue, one.id) for one in tasks]
    if len(filters) > MANY:
        filters = sorted({lifecycle(one.spec.queue, "*") for one in tasks})
    async with client.bus.log.follow(start, filters) as batches:
        async for batch in batches:
            for stored in batch:
                first, rank = places.get(stored.subject.rpartition(".")[2], ("", 0))
                members = waiting.get(first)
                if members and stored.seq > members[rank].seq:
                    members[rank] = absorb(members[rank], stored)
                    if _over(members, tell):
                        del waiting[first]
            if not waiting:
                return


def _over(members: list[Task], tell: bool) -> bool:
    """Whether all of them have ended; if so, say how."""
    over = all(isinstance(one.state, Ended) for one in members)
    if over and tell:
        for line in ending(decisive(members)):
            output.say(line)
    return over
