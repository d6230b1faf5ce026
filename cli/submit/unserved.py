"""What is said of a queue that no agent serves: a machine comes for it, or somebody has to act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.fleet.presence import AgentPresence
from .. import output

if TYPE_CHECKING:
    from ...core.sdk.autoscalers import Autoscaler
    from ...core.sdk.client import Client
    from ...core.spec import Spec


async def autoscaler_for(client: Client, spec: Spec) -> Autoscaler | None:
    """The autoscaler that starts a machine for such a task, if there is one."""
    from ...core.sdk.autoscalers import autoscalers_for
    from ...core.sdk.waiting.machines import starter

    return starter(await autoscalers_for(client, spec.queue), spec)


def say_unserved(
    queue: str, who: str, agents: Sequence[AgentPresence], autoscaler: Autoscaler | None
) -> None:
    """Say what a task or a sweep (`who`) waits for; a queue's name may have been mistyped."""
    if autoscaler:
        output.note(
            f"  {output.dim('machine')} autoscaler {autoscaler.name} starts one for queue {queue}, "
            "which no agent serves now"
        )
        return
    import difflib

    names = {name for agent in agents for name in agent.queues}
    near = difflib.get_close_matches(queue, names, n=1)
    output.warn(
        f"no agent serves queue {queue!r}, so the {who} waits"
        + (f"; did you mean {near[0]!r}?" if near else ""),
        f"{output.dim('serve it')} evq agent --queues {queue}",
    )
