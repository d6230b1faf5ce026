"""Keeps an open page up to date: what has changed is told to it, and only while somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from ...core.sdk.live import Changes, LiveFleet
from .opening import while_open

SECONDS = 1.0
"""What changes within a second is one update of a page."""

_TELL_VISIBLE = """
    const tell = () => emitEvent('visible', !document.hidden);
    document.addEventListener('visibilitychange', tell);
    tell();
"""


def follow(
    fleet: LiveFleet, version: int, show: Callable[[Changes], None], seconds: float = SECONDS
) -> None:
    """Call `show` with what has changed since `version`, at most every `seconds`, for as long as
    this page is open. While its tab is hidden nothing is told; it hears all when it is back."""
    client = ui.context.client
    seen = asyncio.Event()

    def turn(event: GenericEventArguments) -> None:
        if event.args:
            seen.set()
        else:
            seen.clear()

    async def run() -> None:
        reached = version
        while True:
            await seen.wait()
            changes = await fleet.changed(reached, rest=0)
            await seen.wait()
            if changes.version != reached and client.has_socket_connection:
                reached = changes.version
                with client:
                    show(changes)
            await asyncio.sleep(seconds)

    ui.on("visible", turn)
    ui.run_javascript(_TELL_VISIBLE)
    while_open(run(), "a page follows the fleet")
