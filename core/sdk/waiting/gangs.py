"""What a gang that has not started waits for."""

from __future__ import annotations

from collections.abc import Sequence

from ...fleet.presence import AgentPresence
from ...gangs.gather import gathering, has_gathered
from ...queueing.permits import Permits
from ...queueing.room import no_room, over_limit, too_large
from ...state import Attempt, Queued, Task

FEW = 4
"""Ranks that are named one by one."""


def gang_reasons(
    members: Sequence[Task], agents: Sequence[AgentPresence], permits: Permits
) -> list[tuple[bool, str]]:
    """What a gang that has not started waits for, and whether each fact is as it should be."""
    if not any(map(gathering, members)):
        return []
    waiting = [rank for rank, one in enumerate(members) if isinstance(one.state, Queued)]
    gathered = [rank for rank, one in enumerate(members) if has_gathered(one)]
    setting_up = [rank for rank in range(len(members)) if rank not in {*waiting, *gathered}]
    found = []
    if waiting and (short := gang_shortage(members[waiting[0]], agents, permits)):
        found.append((False, short))
    for ranks, what in (
        (gathered, "has gathered and waits for the others"),
        (setting_up, "is set up"),
    ):
        for rank in ranks:
            found.append((True, f"rank {rank} {what}{_on(members[rank].live)}"))
    if waiting:
        found.append((False, f"{ranks_text(waiting)} still to be taken by an agent"))
    return found


def gang_shortage(task: Task, agents: Sequence[AgentPresence], permits: Permits) -> str:
    """Why a member that waits is not taken for want of room for all; empty if that is not why."""
    seen = gathering(task)
    if seen is None:
        return ""
    return over_limit(seen, permits) or too_large(seen, agents) or no_room(seen, agents)


def ranks_text(ranks: Sequence[int]) -> str:
    """`rank 2`, `ranks 0, 2 and 3`, or how many if they are many."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    if len(ranks) > FEW:
        return f"{len(ranks)} ranks"
    return f"ranks {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"


def _on(attempt: Attempt | None) -> str:
    return f", on {attempt.agent}" if attempt else ""
