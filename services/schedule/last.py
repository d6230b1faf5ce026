"""What a schedule enqueued last, and what of that has not ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...core.sdk.arrays import find_array, load_members
from ...core.sdk.client import Client
from ...core.state import Ended, Task
from .facts import Ran

AT_A_TIME = 500


async def unended(client: Client, last: Ran, *, all_of_them: bool) -> list[str]:
    """Of a task it, of an array its members that have not ended, the last first: those that are
    held must not get their turn while others are aborted. Unless `all_of_them` are wanted, some
    are enough.
    """
    found: list[str] = []
    async for tasks in _in_parts(client, last):
        found += [one.id for one in tasks if not isinstance(one.state, Ended)]
        if found and not all_of_them:
            break
    return found


async def _in_parts(client: Client, last: Ran) -> AsyncIterator[Sequence[Task]]:
    array = await find_array(client.bus, last.task) if last.array else None
    if array is None:
        yield [await client.get(last.task)]
        return
    indexes = array.indexes[::-1]
    for start in range(0, len(indexes), AT_A_TIME):
        yield await load_members(client.bus, array, indexes[start : start + AT_A_TIME])
