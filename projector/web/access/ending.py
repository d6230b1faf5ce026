"""Whoever may not look any more is shown out of the pages that are open."""

from __future__ import annotations

import asyncio

from nicegui import Client

from ....core.sdk.viewers import Viewers

SECONDS = 2.0
_LEAVING_SECONDS = 1.0


async def show_out(viewers: Viewers) -> None:
    """Close the pages of those whose token is void by now, without end."""
    while True:
        await asyncio.sleep(SECONDS)
        void = [one for one in Client.instances.values() if not _may_look(viewers, one)]
        for client in void:
            # What answers then is the doorstep, which asks for a token.
            client.run_javascript("location.reload()")
        if void:
            await asyncio.sleep(_LEAVING_SECONDS)
        for client in void:
            if client.id in Client.instances:
                client.delete()  # so that nothing more is told to it, whatever the browser did


def _may_look(viewers: Viewers, client: Client) -> bool:
    return viewers.by_fingerprint(client.request.state.fingerprint) is not None
