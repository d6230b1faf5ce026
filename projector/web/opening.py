"""Pages and the browsers that have them open: who waits for one, and what ends when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from nicegui import Client, background_tasks, ui

PATIENCE_SECONDS = 10.0
"""How long a page waits for the browser that fetched it; one that comes later loads it anew."""

_LOOK_SECONDS = 2.0


async def opened() -> bool:
    """Wait for a browser to open the page that is being built; false if none did and the page is
    gone. To ask or to follow anything for such a page would be for nobody, and without end."""
    client = ui.context.client
    await client.connected()
    return not client.is_deleted


def while_open(work: Coroutine[None, None, None], name: str) -> asyncio.Task[None] | None:
    """Do this beside the page that is here, for as long as it is open; null if it is gone."""
    client = ui.context.client
    if client.is_deleted:
        work.close()
        return None
    task: asyncio.Task[None] = background_tasks.create(work, name=name)
    client.on_delete(lambda: task.cancel())
    return task


async def forget_unopened() -> None:
    """Let go of pages that were fetched and not opened, as by a script; without end.

    A page is some 4,000 objects. The garbage collector walks over all that there are and stops
    everything else meanwhile, a second for five hundred pages; NiceGUI by itself keeps them for a
    minute.
    """
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        Client.prune_instances(client_age_threshold=PATIENCE_SECONDS)
