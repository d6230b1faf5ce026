"""`evq wait`: until tasks have ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from ..core import units
from ..core.handle import absorb
from ..core.state import Ended, Task
from ..core.subjects import lifecycle
from . import output
from .completion import complete_task
from .document import brief_facts, exit_status
from .options import json_option
from .run import ending
from .selectors import resolve_all
from .session import call

if TYPE_CHECKING:
    from ..core.sdk.client import Client

NOT_YET = 75
"""sysexits' "try again": the tasks have not ended in the time that was given."""


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
    found = call(lambda client: _wait(client, tasks or ("@",), patience, not as_json))
    if as_json:
        output.say_json([brief_facts(task) for task in found])
    late = [task for task in found if not isinstance(task.state, Ended)]
    if late and not as_json:
        names = ", ".join(f"{task.id} ({task.name_of_state})" for task in late)
        output.note(f"not ended in {timeout}: {names}")
    statuses = [exit_status(task) for task in found]
    raise SystemExit(NOT_YET if late else next((one for one in statuses if one), 0))


async def _wait(
    client: Client, selectors: tuple[str, ...], patience: float | None, tell: bool
) -> list[Task]:
    """The tasks when all have ended, or as they are when the time is over."""
    ids = await resolve_all(client, selectors)
    tasks = {one: await client.get(one) for one in ids}
    for task in tasks.values():
        _tell(task, tell)
    try:
        async with asyncio.timeout(patience):
            await _watch(client, tasks, tell)
    except TimeoutError:
        pass
    return list(tasks.values())


async def _watch(client: Client, tasks: dict[str, Task], tell: bool) -> None:
    waiting = {name for name, task in tasks.items() if not isinstance(task.state, Ended)}
    if not waiting:
        return
    start = min(max(tasks[name].seq, tasks[name].origin) for name in waiting) + 1
    filters = [lifecycle(tasks[name].spec.queue, name) for name in waiting]
    async with client.bus.log.follow(start, filters) as batches:
        async for batch in batches:
            for stored in batch:
                name = stored.subject.rpartition(".")[2]
                if name not in waiting or stored.seq <= tasks[name].seq:
                    continue
                tasks[name] = absorb(tasks[name], stored)
                if isinstance(tasks[name].state, Ended):
                    waiting.discard(name)
                    _tell(tasks[name], tell)
            if not waiting:
                return


def _tell(task: Task, tell: bool) -> None:
    if tell and isinstance(task.state, Ended):
        for line in ending(task):
            output.say(line)
