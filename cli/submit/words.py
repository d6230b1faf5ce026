"""A task that is written in words: in a file, or behind another verb than `evq enqueue`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...core.errors import UsageError
from ...core.sdk.sending import with_code
from ...core.sdk.snapshot import Snapshot
from ...core.spec import Spec, check_spec
from ..calling import settings
from .array import array_option
from .request import make_entry, make_spec
from .wish import TaskCommand, Wish, make_wish, task_options


@click.command(cls=TaskCommand)
@task_options
def _task(**options: Any) -> Wish:
    """What stands behind `evq enqueue` and `evq run`."""
    return make_wish(options)


@click.command(cls=TaskCommand)
@task_options
@array_option
def _array(array: str | None, **options: Any) -> tuple[Wish, str]:
    """What stands behind `evq enqueue`, where it may be an array."""
    return make_wish(options), array or ""


def read_array(words: Sequence[str], verb: str = "evq enqueue") -> tuple[Wish, str]:
    """As `read_words`, with what `--array` says; that is empty for one task."""
    with context_of(_array, words, verb) as context:
        found: tuple[Wish, str] = _array.invoke(context)
        return found


def read_words(words: Sequence[str], verb: str = "evq enqueue") -> Wish:
    """What stands behind `verb`, which is named if it makes no sense. Raises `UsageError`."""
    with context_of(_task, words, verb) as context:
        wish: Wish = _task.invoke(context)
        return wish


def context_of(command: click.Command, words: Sequence[str], verb: str) -> click.Context:
    """What a command makes of words, which is told in its terms. Raises `UsageError`."""
    try:
        return command.make_context(verb, list(words))
    except click.ClickException as error:
        raise UsageError(
            f"{verb} {' '.join(words)} makes no task",
            why=error.format_message(),
            fix=f"{verb} --help lists what may stand there",
        ) from None


@contextmanager
def task_here(wish: Wish, folder: Path) -> Iterator[tuple[Spec, Snapshot | None]]:
    """The task with the code around `folder`, and the snapshot as long as the block lasts.

    Raises `UsageError` or `SnapshotRefused`.
    """
    draft = check_spec(make_spec(wish, make_entry(wish, folder), settings().queue))
    with with_code(draft, folder, include=wish.include, code=not wish.no_code) as found:
        yield found
