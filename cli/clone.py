"""`evq clone`: the same task again, with changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from ..core import units
from ..core.sdk.author import host_name, user_name
from ..core.spec import Spec
from . import output
from .completion import complete_queue, complete_task
from .enqueue import Submission, facts_of, summary, warn_of_queue
from .options import json_option
from .recent import remember
from .request import default_name, pairs, variables
from .selectors import resolve
from .session import call, settings

if TYPE_CHECKING:
    from ..core.sdk.client import Client


@click.command()
@click.argument("task", shell_complete=complete_task)
@click.option("-q", "--queue", metavar="NAME", shell_complete=complete_queue, help="The queue.")
@click.option("--name", help="A name for people.")
@click.option("--set", multiple=True, metavar="K=V", help="Another value for a parameter.")
@click.option("--setenv", multiple=True, metavar="K[=V]", help="Another environment variable.")
@click.option("--priority", type=int, metavar="0..9", help="Higher runs sooner.")
@click.option("--retries", type=int, metavar="N", help="Run again after a failure.")
@click.option("--timeout", metavar="TIME", help="End it after that long, such as 2h.")
@click.option("--quiet", is_flag=True, help="Print the new task's id, and nothing else.")
@json_option
def clone(task: str, quiet: bool, as_json: bool, **changes: Any) -> None:
    """Enqueue a task once more as a task of its own: the same code, with changes.

    \b
    Examples:
      evq clone @ --set lr=0.01
      evq clone k3f9 -q gpu --name "longer run" --timeout 8h
    """
    done = call(lambda client: _clone(client, task, changes))
    if as_json:
        output.say_json(facts_of(done))
    elif quiet:
        output.say(done.receipt.task)
    else:
        for line in summary(done):
            output.say(line)
        warn_of_queue(done)


async def _clone(client: Client, selector: str, changes: dict[str, Any]) -> Submission:
    source = await client.get(await resolve(client, selector))
    spec = changed(replace(source.spec, parent=source.id), **changes)
    receipt = await client.enqueue(spec)
    remember(settings().server or "", [receipt.task])
    return Submission(receipt, spec, 0, tuple(await client.agents()))


def changed(
    spec: Spec,
    *,
    queue: str | None,
    name: str | None,
    set: tuple[str, ...],
    setenv: tuple[str, ...],
    priority: int | None,
    retries: int | None,
    timeout: str | None,
) -> Spec:
    """`spec` with what was given put in; a name that was made from the rest is made anew.

    An idempotency key is not taken over: it belongs to one task.
    """
    params = spec.params | pairs(set, "--set")
    was_made = spec.name == default_name(spec.entry, spec.params)
    given = {
        "queue": queue,
        "name": name or (default_name(spec.entry, params) if was_made else None),
        "priority": priority,
        "retries": retries,
        "timeout": units.seconds(timeout) if timeout else None,
    }
    return replace(
        spec,
        **{field: value for field, value in given.items() if value is not None},
        params=params,
        variables=spec.variables | variables(setenv),
        key=None,
        user=user_name(),
        host=host_name(),
    )
