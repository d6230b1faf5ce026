"""Pages and the browsers that have them open: who waits for one, and what ends when it is gone."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine

from nicegui import Client, app, background_tasks, ui

PATIENCE_SECONDS = 10.0
"""How long a page waits for the browser that fetched it; one that comes later loads it anew."""

BUILD_SECONDS = 30.0
"""How long a page may take until it is there that asks before: NiceGUI allows 3 seconds."""

BROWSER_SECONDS = 30.0
"""How long an open browser may take for an answer: NiceGUI allows 1 second."""

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


async def forget_pages() -> None:
    """Let go of pages that were fetched and not opened, as by a script, and of what those leave
    behind that were closed; without end.

    A page is up to 10,000 objects, in circles. NiceGUI keeps one that nobody opens for a minute,
    and the garbage collector comes late and stops all else for the sum of them: 0.2 s for 60,000
    objects. So it is called while there are few.
    """
    closed = asyncio.Event()
    app.on_delete(closed.set)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        Client.prune_instances(client_age_threshold=PATIENCE_SECONDS)
        if closed.is_set():
            closed.clear()
            gc.collect()
