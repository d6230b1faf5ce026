"""The start of a run's controller."""

from __future__ import annotations

from ...core.fleet.services import QUEUE
from ...core.sdk.client import Client
from ...core.sdk.services import start_service
from ...services.pipeline.journals import PIPELINE
from .. import output


async def start(client: Client, name: str) -> None:
    """Let a controller carry the run through, unless one does; warn if nobody would."""
    await start_service(client, PIPELINE, name)
    if not any(QUEUE in agent.queues and agent.takes for agent in await client.agents()):
        output.warn(
            f"no agent serves queue {QUEUE!r}, so the run waits for a controller",
            f"{output.dim('serve it')} evq agent --services",
        )
