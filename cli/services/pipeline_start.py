"""The controller of a run: its start, and its end before another is wanted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from ...core.errors import Conflict
from ...core.sdk.client import Client
from ...core.sdk.following import follow
from ...core.sdk.services import service
from ...core.state import Ended
from ...services.pipeline.journals import PIPELINE
from .served import warn_if_unserved

PATIENCE = 30.0


async def start(client: Client, name: str) -> None:
    """Let a controller carry the run through, unless one does; warn if nobody would."""
    await client.start_service(PIPELINE, name)
    await warn_if_unserved(client)


async def over(client: Client, name: str) -> None:
    """Return when the controller of a run that has ended has ended, too: one that is on its way out
    would not see that the run goes on. Raises `Conflict` if it does not end."""
    task = (await service(client, PIPELINE, name)).task
    if isinstance(task.state, Ended):
        return
    try:
        async with asyncio.timeout(PATIENCE), aclosing(follow(client.bus, task)) as items:
            async for _ in items:
                pass
    except TimeoutError:
        raise Conflict(
            f"the controller of run {name} has not ended",
            why=f"its task {task.id} is {(await client.get(task.id)).name_of_state}",
            fix=f"evq abort {task.id}",
        ) from None
