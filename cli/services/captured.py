"""The task that a service enqueues later: what `evq enqueue`, or `evq clone`, would enqueue now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from ...core.errors import UsageError
from ...core.sdk.sending import send, with_code
from ...core.spec import Spec, check_spec
from ..selectors import resolve
from ..session import call, settings
from ..submit import clone
from ..submit.request import make_entry, make_spec
from ..submit.wish import REST, TaskCommand, make_wish, task_options

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command(cls=TaskCommand)
@task_options
def _enqueue(**options: Any) -> Any:
    """What stands behind `evq enqueue`."""
    return make_wish(options)


def captured(words: Sequence[str]) -> Spec:
    """The task that `evq enqueue WORDS` would enqueue here and now; the server has its code then.

    Raises `UsageError`.
    """
    with _context(_enqueue, "evq enqueue", words) as context:
        wish = _enqueue.invoke(context)
    if wish.key or wish.after:
        raise UsageError(
            f"{'--key' if wish.key else '--after'} is for one task, not for one each time",
            why="each time it is another task, under a key of its own",
            fix="leave it out",
        )
    here = Path.cwd()
    draft = check_spec(make_spec(wish, make_entry(wish, here), settings().queue))
    with with_code(draft, here, include=wish.include, code=not wish.no_code) as (spec, snapshot):
        if snapshot:
            call(lambda client: send(client, snapshot))
        return spec


def cloned(selector: str, words: Sequence[str]) -> Spec:
    """The task that `evq clone SELECTOR WORDS` would enqueue. Raises `UsageError`, `NotFound`."""
    with _context(clone.clone, "evq clone", [selector, *words]) as context:
        given = {name: context.params.pop(name) for name in _ITS_OWN if name in context.params}
        others = {name: v for name, v in context.params.items() if name not in _ABOUT_NOW}
        wish = clone.Wish(**given, rest=context.meta.get(REST), given=others)

    async def look(client: Client) -> Spec:
        return (await client.get(await resolve(client, selector))).spec

    source = replace(call(look), gang=None, after=(), parent=None)
    return check_spec(clone.changed(source, wish))


_ITS_OWN = ("script", "module", "set", "add", "force", "setenv", "unsetenv", "after")
_ABOUT_NOW = frozenset({"task", "dry_run", "quiet", "as_json", *_ITS_OWN})


def _context(command: click.Command, name: str, words: Sequence[str]) -> click.Context:
    try:
        return command.make_context(name, list(words))
    except click.ClickException as error:
        raise UsageError(
            f"{name} {' '.join(words)} cannot be enqueued",
            why=error.format_message(),
            fix=f"{name} --help lists what may stand there",
        ) from None
