"""Whether there is an agent that runs controllers, and can run this one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.fleet.services import QUEUE
from ...core.state import Ended, Running
from .. import output
from ..calling import call, login, settings

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.services import Service


def warn_unserved() -> None:
    """Say so if no agent is there that would run a controller: nothing happens until one is."""
    call(warn_if_unserved)


async def warn_if_unserved(client: Client) -> bool:
    """The same, where there is a client already; whether an agent is there or comes."""
    agents = await client.agents()
    if any(QUEUE in one.queues and one.client and one.takes for one in agents) or _is_coming():
        return True
    output.warn(
        f"no agent serves queue {QUEUE!r} and gives tasks a login, so nothing happens yet",
        f"{output.dim('start one')} evq agent --services",
    )
    return False


async def warn_if_secret_lacks(client: Client, controller: Service) -> None:
    """The same, or say so if the agent lacks the controller's secret.

    No agent tells beforehand which ones it has: this waits a while for one to look.
    """
    from ...core.sdk.services import begun

    if not await warn_if_unserved(client) or not controller.task.spec.secrets:
        return
    task = (await begun(client, controller)).task
    if isinstance(task.state, Ended):
        output.warn(
            f"nothing happens yet, its task {task.id} {task.state.outcome.phrase}: "
            f"{task.state.evidence}",
            f"{output.dim('mend that, and')} evq retry {task.id}",
        )
    elif not isinstance(task.state, Running):
        output.note(f"  {output.dim('secret')} no agent has looked for it yet: evq show {task.id}")


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
