"""What a person types to name a task: an id, the beginning of one, `@` or `@~2`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.arrays.array import Array, parse_indexes
from ..core.errors import NotFound, ProjectorAway, UsageError
from ..core.filing.filed import names_archived
from ..core.questions import Named, Sql
from ..core.sdk.author import user_name
from ..core.state import Task
from ..core.subjects import any_hint
from .calling import settings
from .submit.gang import chosen_ranks, member
from .tasks.recent import recent

if TYPE_CHECKING:
    from ..core.sdk.client import Client

_BELOW = re.compile(r"(.+)/([\d,-]+)\Z")
_BACK = re.compile(r"@(?:~(\d+))?\Z")

FORMS = (
    "an id, its first letters, @ for the last task you enqueued, @~1 for the one before it, and "
    "behind any of them /1 for rank 1 of a gang or member 1 of an array"
)


async def resolve(client: Client, selector: str) -> str:
    """The whole id of the one task that `selector` names. Raises `NotFound` or `UsageError`."""
    found = await _members(client, selector)
    if isinstance(found, str):
        return found
    if len(found) == 1:
        return found[0].id
    array = found[0].spec.array
    assert array
    raise UsageError(
        f"{selector} is {len(found)} members of array {array.id}",
        why="this is about one task",
        fix=f"name one of {array.text}: {array.id}/{array.first}",
    )


async def _members(client: Client, selector: str) -> str | list[Task]:
    """The id of a task; or the members of an array, if it is one that is named.

    Raises `NotFound` or `UsageError`.
    """
    base, below = selector, None
    if part := _BELOW.match(selector):
        base, below = part[1], part[2]
    id = await _one(client, base)
    if await client.bus.log.history(any_hint(id)):
        if below is None:
            return id
        gang = await client.get(id)
        return (await member(client, gang, chosen_ranks(gang, below)[0])).id
    from ..core.sdk.arrays import find_array

    if await find_array(client.bus, id) is None:
        return id  # whoever asks for it says that it is not there
    return await client.members(id, None if below is None else parse_indexes(below))


async def array_named(client: Client, selector: str) -> Array | None:
    """The array that `selector` names as a whole; None if it names something else."""
    if _BELOW.match(selector):
        return None
    id = await _one(client, selector)
    if await client.bus.log.history(any_hint(id)):
        return None
    from ..core.sdk.arrays import find_array

    return await find_array(client.bus, id)


async def _one(client: Client, selector: str) -> str:
    """The whole id, of a task or of an array. Raises `NotFound` or `UsageError`."""
    back = _BACK.match(selector)
    if back:
        return await _enqueued(client, int(back[1] or 0))
    if selector.startswith("@"):
        raise UsageError(f"{selector!r} names no task", why=f"allowed is {FORMS}", fix="@~1")
    try:
        return await client.resolve(_typed(selector))
    except ProjectorAway as away:
        raise ProjectorAway(
            f"cannot tell which task {selector!r} is the beginning of",
            why=f"{away.what}: {away.why}",
            fix="type the whole id, or start a projector: evq projector",
        ) from away


async def resolve_all(client: Client, selectors: Sequence[str]) -> list[str]:
    """The ids of several tasks, each once, in the order in which they were named; an array is all
    of its members."""
    found: list[str] = []
    for selector in selectors:
        named = await _members(client, selector)
        found += [named] if isinstance(named, str) else [one.id for one in named]
    return list(dict.fromkeys(found))


ANY = ("held", "queued", "claimed", "running", "completed", "failed", "aborted", "timed_out")
WAITING = ("queued",)
LIVE = ("queued", "claimed", "running")
ENDED = ("completed", "failed", "aborted", "timed_out")


async def choose(
    client: Client,
    selectors: Sequence[str],
    where: str | None,
    states: Sequence[str],
    archived: bool = False,
) -> list[str]:
    """The ids of the tasks that are named one by one, or of those in one of the `states` for
    which the SQL condition `where` holds: the waiting ones in their order, then the oldest.

    Those in the archive are meant by a condition that speaks of `archived`, and by `archived`.
    """
    if bool(selectors) == (where is not None):
        raise UsageError(
            "tasks are named either one by one or by --where",
            why="both are given" if selectors else "none is named",
            fix="--where \"queue = 'gpu'\", or the ids of tasks",
        )
    if where is None:
        return await resolve_all(client, selectors)
    wanted = ", ".join(f"'{state}'" for state in states)
    text = f"SELECT task FROM tasks WHERE state IN ({wanted}) AND ({where}\n)"
    if archived or not names_archived(where):
        text += f" AND archived IS {'NOT ' if archived else ''}NULL"
    order = "ORDER BY queue, priority DESC, rank"
    return [str(row["task"]) async for row in client.rows(Sql(f"{text} {order}"))]


def _typed(selector: str) -> str:
    """A prefix made whole from the tasks enqueued here, so that no projector needs to be asked.

    Only if it is long: a short one may be the beginning of somebody else's task, too.
    """
    if not 6 <= len(selector) < 12:
        return selector
    near = {task for task in recent(settings().server or "") if task.startswith(selector.lower())}
    return near.pop() if len(near) == 1 else selector


async def _enqueued(client: Client, back: int) -> str:
    here = recent(settings().server or "")
    if back < len(here):
        return here[back]
    question = Named("latest", {"user": user_name(), "offset": back, "limit": 1})
    try:
        rows = [row async for row in client.rows(question)]
    except ProjectorAway:
        rows = []
    if rows:
        return str(rows[0]["task"])
    raise NotFound(
        "you have not enqueued that many tasks" if back else "you have not enqueued any task yet",
        why=f"{len(here)} were enqueued from this machine to this server",
        fix="evq ls, or evq enqueue SCRIPT",
    )
