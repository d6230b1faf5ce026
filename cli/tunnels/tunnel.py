"""`evq tunnel`: a port of a running task as a port of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...core.errors import UsageError
from ...core.state import Task
from ...core.tunnels.hello import port_text
from .. import output
from ..calling import call
from ..completion import complete_task
from ..failure import INTERRUPTED
from ..options import json_option
from ..selectors import resolve
from .holding import Listen, held, listen_option, look, open_option, tell_trouble

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.argument("port", type=int, required=False)
@listen_option
@open_option
@json_option
def tunnel(task: str, port: int | None, listen: Listen, browse: bool, as_json: bool) -> None:
    """Let a port of this machine lead to a port of a running task, wherever that runs.

    The task declares its ports: evq enqueue --port 6006. Nothing but the NATS server must be
    reachable, from here and from the worker. The tunnel ends with the task, or by ^C, which leaves
    the task alone.

    \b
    Examples:
      evq tunnel k3f9 6006 --open
      evq tunnel @ --listen 127.0.0.1:8080
    """
    reached: list[str] = []
    try:
        call(lambda client: _hold(client, task, port, listen, browse, as_json, reached))
    except KeyboardInterrupt:
        if reached:
            output.note(f"closed; task {reached[0]} goes on")
        raise SystemExit(INTERRUPTED) from None


async def _hold(
    client: Client,
    selector: str,
    port: int | None,
    listen: Listen,
    browse: bool,
    as_json: bool,
    reached: list[str],
) -> None:
    task = await client.get(await resolve(client, selector))
    port = _only_port(task) if port is None else port
    async with held(client, task.id, port, listen) as there:
        reached.append(task.id)
        tell_trouble(there)
        if as_json:
            host, number = there.address
            facts = {"task": task.id, "port": port, "host": host, "listen": number}
            output.say_json(facts | {"url": there.url})
        else:
            output.say(there.url)
            output.note(output.dim(f"  leads to {port_text(port)} of task {task.id}; ^C closes it"))
        if browse:
            look(there.url)
        (ended,) = await client.wait(task.id)
    output.note(f"task {ended.id} is {ended.name_of_state}")


def _only_port(task: Task) -> int:
    match task.spec.ports:
        case (port,):
            return port
        case ():
            raise UsageError(
                f"task {task.id} has declared no port",
                why="it was enqueued without --port",
                fix=f"evq clone {task.id} --port 6006",
            )
        case several:
            raise UsageError(
                f"task {task.id} has several ports",
                why=f"they are {', '.join(map(str, several))}",
                fix=f"evq tunnel {task.id} {several[0]}",
            )
