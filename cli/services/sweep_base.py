"""The task that a sweep's trials are made from, as its file names it: `run = "…"` or `clone`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from ...core.errors import UsageError
from ...core.sdk.author import host_name, user_name
from ...core.sdk.sending import with_code
from ...core.sdk.snapshot import Snapshot
from ...core.spec import Spec
from ...services.sweep.decide import value_text
from ...services.sweep.definition import Definition, Value
from ..selectors import resolve
from ..session import settings
from ..submit.request import make_entry, make_spec
from ..submit.wish import TaskCommand, Wish, make_wish, task_options

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command(cls=TaskCommand)
@task_options
def _words(**options: Any) -> Wish:
    """What stands behind `evq run`."""
    return make_wish(options)


def read_words(words: str) -> Wish:
    """What is to run, written as behind `evq run`. Raises `UsageError`."""
    try:
        argv = shlex.split(words)
        with _words.make_context("evq run", argv) as context:
            wish: Wish = _words.invoke(context)
            return wish
    except (ValueError, click.ClickException) as error:
        why = error.format_message() if isinstance(error, click.ClickException) else str(error)
        raise UsageError(
            f"run = {words!r} is no command of evq run",
            why=why,
            fix='run = "train.py -- --epochs 10"',
        ) from None


@contextmanager
def base_here(definition: Definition, folder: Path) -> Iterator[tuple[Spec, Snapshot | None]]:
    """The task that `run` asks for, with the code around `folder`. Raises `UsageError`."""
    wish = read_words(definition.run)
    spec = make_spec(wish, make_entry(wish, folder), settings().queue)
    with with_code(spec, folder, include=wish.include, code=not wish.no_code) as (
        complete,
        snapshot,
    ):
        yield complete, snapshot


async def base_of(client: Client, selector: str) -> Spec:
    """The task that `clone` names, free of what is its own alone."""
    source = await client.get(await resolve(client, selector))
    return replace(
        source.spec,
        parent=None,
        gang=None,
        key=None,
        after=(),
        user=user_name(),
        host=host_name(),
    )


def check_source(definition: Definition) -> None:
    """Raises `UsageError` unless the definition says once what its trials are made from."""
    if bool(definition.run) == bool(definition.clone):
        raise UsageError(
            "a sweep needs one task that its trials are made from",
            why="it has both run and clone" if definition.run else "it has neither run nor clone",
            fix='run = "train.py -- --epochs 10"     or clone = "TASK"',
        )


def command(definition: Definition, params: dict[str, Value]) -> str:
    """The line that runs a trial again, to be copied into a shell."""
    sets = [word for name, value in params.items() for word in _set(name, value)]
    if definition.run:
        return shlex.join(["evq", "run", *sets, *shlex.split(definition.run)])
    return shlex.join(["evq", "clone", definition.clone, *sets])


def _set(name: str, value: Value) -> Sequence[str]:
    return ("--set", f"{name}={value_text(value)}")
