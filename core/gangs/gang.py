"""Tasks that run together or not at all: the members of a gang, one for each rank.

Each member is a task of its own, with its claim, lease, logs and metrics. What ends one of them
without success, and what somebody wants of one, concerns all: it is one event for each, and these
are written in one atomic batch, so that all members agree about their budgets and about the end.
See docs/decisions/0021.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec.structs import replace

from .. import decide, events, state
from ..decide import Command, Rejected
from ..events import Cause, Lifecycle, Outcome
from ..evolve import FREE
from ..ids import task_id
from ..spec import Gang, Spec
from ..state import Task

TO_ALL = (
    decide.Assemble
    | decide.Requeue
    | decide.Move
    | decide.Dequeue
    | decide.Tag
    | decide.Archive
    | decide.Unarchive
)
"""Commands that are carried out on all members, or refused."""

OF_ALL = (
    events.Assembled
    | events.Requeued
    | events.Moved
    | events.Dequeued
    | events.AbortRequested
    | events.Aborted
    | events.Tagged
    | events.Archived
    | events.Unarchived
)
"""Events that never happen to one member alone."""


def member_id(gang: str, rank: int) -> str:
    """The id of a member. Rank 0's is the gang's own: it is what people hold."""
    if rank == 0:
        return gang
    return task_id(hashlib.sha256(f"evq rank\0{gang}\0{rank}".encode()).digest())


def named_members(spec: Spec, gang: str) -> list[tuple[str, Spec]]:
    """The ids and specs of all members of the gang that `spec` asks for, by rank."""
    return [
        (member_id(gang, rank), replace(spec, gang=Gang(gang, rank))) for rank in range(spec.nodes)
    ]


def member_origin(task: Task, rank: int) -> int:
    """Where in the log another member of the task's gang was enqueued: they came in one batch."""
    assert task.spec.gang is not None
    return task.origin - task.spec.gang.rank + rank


def concerns_all(task: Task, event: Lifecycle) -> bool:
    """Whether an event of this member is written together with one for each of the others."""
    attempt = task.live
    if isinstance(event, OF_ALL):
        return True
    if attempt is None or attempt.disband or task.abort:
        # The others know already.
        return False
    match event:
        case events.Finished(outcome=outcome):
            return outcome is not Outcome.COMPLETED
        case events.Retry():
            return True
        case events.Lost(cause=cause):
            # Before they started, another agent may take its place while the others wait.
            return cause not in FREE or attempt.assembled is not None
        case _:
            return False


def decide_all(members: Sequence[Task], rank: int, command: Command) -> Mapping[int, Lifecycle]:
    """The events, by rank, that a command on one member leads to. Raises as `decide` does.

    Members that it makes no difference to are left out.
    """
    first = decide.decide(members[rank], command)
    if not concerns_all(members[rank], first):
        return {rank: first}
    found = {rank: first}
    for other, member in enumerate(members):
        if other == rank:
            continue
        if isinstance(command, TO_ALL):
            found[other] = decide.decide(member, command)
            continue
        wish = command if isinstance(command, decide.Abort) else _consequence(rank, first)
        try:
            found[other] = decide.decide(member, wish)
        except Rejected:
            # It has ended, or is being aborted already.
            continue
    return found


def _consequence(rank: int, end: Lifecycle) -> decide.Disband:
    """What the end of one member means for the others."""
    match end:
        case events.Finished():
            evidence = _words(rank, end.outcome, end.exit_code, end.evidence)
            return decide.Disband(rank, evidence, end.outcome, False, 0.0, None)
        case events.Retry():
            evidence = _words(rank, end.outcome, end.exit_code, end.evidence)
            return decide.Disband(rank, evidence, end.outcome, True, end.delay, "retries")
        case events.Lost():
            evidence = f"rank {rank} was lost: {end.why}"
            spent: Literal["losses"] | None = None if end.cause in FREE else "losses"
            return decide.Disband(rank, evidence, Outcome.FAILED, True, end.delay, spent)
        case _:
            raise AssertionError(f"{end} ends no attempt")


def _words(rank: int, outcome: Outcome, exit_code: int | None, evidence: str) -> str:
    status = f" with exit status {exit_code}" if exit_code and exit_code > 0 else ""
    return f"rank {rank} {outcome.phrase}{status}" + (f": {evidence}" if evidence else "")


def decisive(members: Sequence[Task]) -> Task:
    """The member whose state stands for all: the one that ended without success by its own doing,
    else one that has not ended, the one that is furthest first; of several the lowest rank."""

    def place(member: Task) -> int:
        match member.state:
            case state.Ended(outcome=Outcome.COMPLETED):
                return 5
            case state.Ended(cause=Cause.GANG):
                return 4
            case state.Ended():
                return 0
            case state.Running():
                return 1
            case state.Claimed():
                return 2
            case state.Held() | state.Queued():
                return 3

    return min(members, key=place)
