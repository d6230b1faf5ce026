"""`evq get`: what a task has saved, brought here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core.artifacts import Artifact, artifacts_of, find_artifact
from ...core.cleaning.cleaned import removal_of, removal_text
from ...core.errors import NotFound
from ...core.state import Task
from ...core.units import size_text
from .. import output
from ..calling import call
from ..completion import complete_task
from ..options import json_option
from ..output import Column, dim
from ..selectors import resolve
from .document import artifact_facts
from .render import clock

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--to", metavar="DIR", help="The folder to put them into.  [the task's id]")
@click.option(
    "--attempt", type=click.IntRange(1), metavar="N", help="Only what this attempt saved."
)
@click.option("--list", "listing", is_flag=True, help="Say what there is, and fetch nothing.")
@json_option
def get(
    task: str,
    names: Sequence[str],
    to: str | None,
    attempt: int | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Fetch the artifacts of a task: all, or those of these names.

    What a task saves by `evq.save` can be had from that moment on. A file that is here already is
    not fetched again, and one that was cut off goes on where it was.

    \b
    Examples:
      evq get
      evq get k3f9 model.pt --to .
      evq get k3f9 --list
    """
    if listing:
        known, found = call(lambda client: _find(client, task, names, attempt))
        _show(found, as_json)
        if not found and not as_json and (removal := removal_of(known, "artifacts", attempt)):
            output.note(removal_text(removal))
        return
    fetched = call(lambda client: _fetch(client, task, names, attempt, to))
    if as_json:
        output.say_json([facts | {"path": str(path)} for path, facts in fetched])
        return
    for path, _ in fetched:
        output.say(str(path))


async def _find(
    client: Client, selector: str, names: Sequence[str], attempt: int | None
) -> tuple[Task, list[Artifact]]:
    """The task, and its artifacts of these names, or all. Raises `NotFound`."""
    task = await client.get(await resolve(client, selector))
    if names:
        return task, [find_artifact(task, name, attempt) for name in names]
    return task, list(artifacts_of(task, attempt).values())


def _nothing(task: Task, attempt: int | None) -> NotFound:
    if removal := removal_of(task, "artifacts", attempt):
        fix = f"evq retry {task.id} makes them again"
        what = f"task {task.id} has no artifacts any more"
        return NotFound(what, why=removal_text(removal), fix=fix)
    return NotFound(
        f"task {task.id} has no artifacts",
        why="it has saved none" + (f" in attempt {attempt}" if attempt else ""),
        fix="evq.save('model.pt') in the task keeps a file",
    )


async def _fetch(
    client: Client, selector: str, names: Sequence[str], attempt: int | None, to: str | None
) -> list[tuple[Path, dict[str, Any]]]:
    from ...core.sdk.artifacts import download

    task, found = await _find(client, selector, names, attempt)
    if not found:
        raise _nothing(task, attempt)
    folder = Path(to or task.id)
    return [
        (await download(client.bus, one, folder / one.name), artifact_facts(one)) for one in found
    ]


def _show(found: Sequence[Artifact], as_json: bool) -> None:
    if as_json:
        output.say_json([artifact_facts(one) for one in found])
        return
    output.say_table(
        [
            Column("ARTIFACT", soft=True),
            Column("SIZE", right=True),
            Column("DIGEST"),
            Column("SAVED"),
        ],
        [(shown_name(one), size_text(one.size), one.digest[:12], clock(one.at)) for one in found],
    )


def shown_name(one: Artifact) -> str:
    """The name, with a mark behind that of a folder."""
    return one.name + "/" * one.folder


def artifact_lines(found: Sequence[Artifact]) -> list[str]:
    """The artifacts of an attempt, a line for each."""
    return [
        f"{shown_name(one)}  {dim(f'{size_text(one.size)}, {one.digest[:12]}')}" for one in found
    ]
