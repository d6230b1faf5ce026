"""The task that a service enqueues later: what `evq enqueue`, or `evq clone`, would enqueue now."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...core.arrays.array import parse_array
from ...core.errors import UsageError
from ...core.sdk.arrays import check_array
from ...core.sdk.sending import send
from ...core.spec import Spec, check_spec
from ..calling import call
from ..selectors import resolve
from ..submit import clone
from ..submit.wish import REST, Wish
from ..submit.words import context_of, read_array, read_words, task_here

if TYPE_CHECKING:
    from ...core.sdk.client import Client

OF_CLONE = ("script", "module", "set", "add", "force", "setenv", "unsetenv", "after")
ABOUT_NOW = frozenset({"task", "dry_run", "quiet", "as_json", *OF_CLONE})
"""Options of `evq clone` that are no fields of the new task's spec."""


def of_enqueue(words: Sequence[str]) -> Sequence[str]:
    """What stands behind a verb's `--`, as words of `evq enqueue`: a program on the PATH, unlike a
    script, has a `--` of its own there, which need not be written twice."""
    if not words or words[0].startswith("-") or "--" in words or Path(words[0]).exists():
        return words
    return ["--", *words] if shutil.which(words[0]) else words


def captured(words: Sequence[str], folder: Path | None = None) -> Spec:
    """The task that `evq enqueue WORDS` would enqueue now, here or in `folder`; the server has its
    code then.

    Raises `UsageError`.
    """
    return _captured(read_words(words), folder or Path.cwd())


def captured_array(words: Sequence[str]) -> tuple[Spec, str]:
    """The same of a task or of an array, and what `--array` says; that is empty for one task."""
    wish, array = read_array(words)
    return _captured(wish, Path.cwd(), array), array


def _captured(wish: Wish, folder: Path, array: str = "") -> Spec:
    if wish.key or wish.after:
        raise UsageError(
            f"{'--key' if wish.key else '--after'} is for one task, not for one each time",
            why="each time it is another task, under a key of its own",
            fix="leave it out",
        )
    with task_here(wish, folder) as (spec, snapshot):
        if array:
            check_array(spec, *parse_array(array))
        if snapshot:
            call(lambda client: send(client, snapshot))
        return spec


def cloned(selector: str, words: Sequence[str]) -> Spec:
    """The task that `evq clone SELECTOR WORDS` would enqueue. Raises `UsageError`, `NotFound`."""
    with context_of(clone.clone, [selector, *words], "evq clone") as context:
        given = {name: context.params[name] for name in OF_CLONE}
        others = {name: v for name, v in context.params.items() if name not in ABOUT_NOW}
        wish = clone.Wish(**given, rest=context.meta.get(REST), given=others)

    async def look(client: Client) -> Spec:
        return (await client.get(await resolve(client, selector))).spec

    source = replace(call(look), gang=None, array=None, after=(), parent=None)
    return check_spec(clone.changed(source, wish))
