"""`evq notebook`: the notebook of a task, with its outputs."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...core.cleaning.cleaned import removal_of, removal_text
from ...core.errors import NotFound, UsageError
from ...core.spec import Notebook
from ...core.state import Task
from .. import output
from ..calling import call
from ..completion import complete_task
from ..selectors import resolve

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.option("-o", "--output", "file", metavar="FILE", help="Where to write it.  [NAME.out.ipynb]")
def notebook(task: str, file: str | None) -> None:
    """Fetch a task's notebook as its last attempt left it, with all outputs.

    A notebook that failed has the outputs up to the cell that failed.

    \b
    Examples:
      evq notebook
      evq notebook k3f9 -o result.ipynb
    """
    output.say(str(call(lambda client: _fetch(client, task, file))))


async def _fetch(client: Client, selector: str, file: str | None) -> Path:
    task = await client.get(await resolve(client, selector))
    if not isinstance(task.spec.entry, Notebook):
        raise UsageError(
            f"task {task.id} is not a notebook", why=f"it is {task.spec.name}", fix="evq show"
        )
    target = Path(file or f"{posixpath.basename(task.spec.entry.path)[:-6]}.out.ipynb")
    await client.bus.objects.get(_stored(task), Path.cwd() / target)
    return target


def _stored(task: Task) -> str:
    """The name under which the last notebook that ran is stored. Raises `NotFound`."""
    ran = next((attempt for attempt in reversed(task.attempts) if attempt.notebook), None)
    if ran and (removal := removal_of(task, "notebooks", ran.number)):
        raise NotFound(
            f"task {task.id} has no notebook any more",
            why=removal_text(removal),
            fix=f"evq retry {task.id} runs it again",
        )
    if ran:
        return ran.notebook
    raise NotFound(
        f"there is no notebook of task {task.id} yet",
        why=f"the task is {task.name_of_state}; the notebook is stored when an attempt ends",
        fix=f"evq wait {task.id}",
    )
