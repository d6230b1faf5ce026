"""Whether there is an agent that runs controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.fleet.services import QUEUE
from .. import output
from ..session import call

if TYPE_CHECKING:
    from ...core.sdk.client import Client


def warn_unserved() -> None:
    """Say so if no agent is there that would run a controller: nothing happens until one is."""
    if not call(_served):
        output.warn(
            f"no agent serves queue {QUEUE!r} and gives tasks a login, so nothing happens yet",
            f"{output.dim('start one')} evq agent --services; that of evq up takes some seconds",
        )


async def _served(client: Client) -> bool:
    agents = await client.agents()
    return any(QUEUE in one.queues and one.client and one.takes for one in agents)
