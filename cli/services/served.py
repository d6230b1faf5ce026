"""Whether there is an agent that runs controllers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.fleet.services import QUEUE
from .. import output
from ..calling import call, login, settings

if TYPE_CHECKING:
    from ...core.sdk.client import Client


def warn_unserved() -> None:
    """Say so if no agent is there that would run a controller: nothing happens until one is."""
    call(warn_if_unserved)


async def warn_if_unserved(client: Client) -> None:
    """The same, where there is a client already."""
    agents = await client.agents()
    if any(QUEUE in one.queues and one.client and one.takes for one in agents) or _is_coming():
        return
    output.warn(
        f"no agent serves queue {QUEUE!r} and gives tasks a login, so nothing happens yet",
        f"{output.dim('start one')} evq agent --services",
    )


def _is_coming() -> bool:
    """Whether an `evq up` of this machine has one: it does not wait for it when it starts."""
    from ...core.sdk.running import up

    known = settings()
    here = up(Path(known.store))
    return (
        here is not None
        and here.url == login(known).server
        # One that has not begun yet has not ended either.
        and any(one.name == "services" and one.last_exit is None for one in here.processes)
    )
