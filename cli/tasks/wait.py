"""`evq wait`: until tasks have ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from ...core import units
from ...core.gangs.gang import decisive
from ...core.sdk.ending import load_gangs, until_ended
from ...core.state import Ended, Task
from .. import output
from ..calling import call
from ..completion import complete_task
from ..options import json_option
from ..selectors import resolve_all
from ..submit.run import ending
from .document import brief_facts, exit_status

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.ending import Gangs

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
) -> Gangs:
    """The tasks, each with the others of its gang, when all have ended, or as they are when the
    time is over."""
    gangs = await load_gangs(client, await resolve_all(client, selectors))
    try:
        async with asyncio.timeout(patience):
            await until_ended(client, gangs, tell=_say if tell else lambda task: None)
    except TimeoutError:
        pass
    return gangs


def _say(task: Task) -> None:
    for line in ending(task):
        output.say(line)
