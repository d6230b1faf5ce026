"""The same done for many, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

AT_ONCE = 32
"""For how many it is done at a time: the server is kept busy, and nobody else waits long."""

_T = TypeVar("_T")
_R = TypeVar("_R")


async def abreast(act: Callable[[_T], Awaitable[_R]], many: Iterable[_T]) -> list[_R]:
    """What `act` returns for each, in their order. The first error that it raises is raised."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(what: _T) -> _R:
        async with gate:
            return await act(what)

    return list(await asyncio.gather(*map(one, many)))
