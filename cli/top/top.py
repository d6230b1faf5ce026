"""`evq top`: the fleet on a terminal, live."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ...core.errors import UsageError
from .. import output
from ..calling import call, warm_up
from ..options import json_option

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command()
@click.option("--once", is_flag=True, help="Print the fleet once, for scripts.")
@click.option("--read-only", is_flag=True, help="Change nothing, whatever key is pressed.")
@json_option
def top(once: bool, read_only: bool, as_json: bool) -> None:
    """Watch the fleet live: workers, GPUs, queues, tasks, events. ? explains the keys.

    It works over ssh in 80 columns, and follows the log itself: a projector that dies is not
    missed. What is done asks first, and is recorded with your name and reason.

    \b
    Examples:
      evq top
      evq top --read-only
      evq top --once
      evq top --json | jq '.queues[] | select(.queued > 0)'
    """
    once = once or as_json
    if not once and not all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "evq top wants a terminal",
            why="its input, output or error output is none",
            fix="evq top --once prints the fleet once",
        )
    if not once:
        warm_up()
    call(lambda client: _top(client, once, read_only, as_json))


async def _top(client: Client, once: bool, read_only: bool, as_json: bool) -> None:
    from ...core.sdk.live import live_fleet

    async with live_fleet(client) as fleet:
        if not once:
            from .app import run

            await run(client, fleet, read_only=read_only)
            return
        from . import snapshot

        await fleet.caught_up()
        if as_json:
            output.say_json(snapshot.facts(fleet))
        else:
            snapshot.say(fleet)
