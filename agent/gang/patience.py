"""How long a gang may keep places from others while it is not complete.

While it is young it keeps none: its members are taken when there is room for all. When it has
waited for longer than the setting `gather`, it keeps what becomes free, so that it cannot be
starved by a stream of smaller tasks: for a quarter of the time that it has waited, then it pauses
for half of that. So it comes to run in the end, and never idles more than its share.
"""

from __future__ import annotations

from ...core.gangs.gather import withdrawals
from ...core.state import Task

SHARE = 0.25
LONGEST_HOLD = 3600.0
LONGEST_PAUSE = 15.0
LONGEST_PUT_OFF = 10.0

SETTLED = 4.0
"""Seconds after which what all agents say of themselves is as new as what this one knows."""


def is_old(waited: float, gather: float) -> bool:
    """Whether a gang that has waited so long may keep places while others are missing."""
    return waited >= gather


def longest_hold(waited: float, gather: float) -> float:
    """For how many seconds a member may wait for others whom nobody has."""
    return max(gather, min(waited * SHARE, LONGEST_HOLD))


def pause_after_hold(hold: float) -> float:
    """Seconds for which the places are left to others after that."""
    return hold / 2


def pause_after_withdrawal(task: Task) -> float:
    """Seconds until a member that found no room, or gave way, may be taken again: 1, 2, 4 …"""
    return min(LONGEST_PAUSE, 2.0 ** min(withdrawals(task), 10))


def put_off(waited: float) -> float:
    """Seconds until the next look at a member for which there is no room."""
    return min(LONGEST_PUT_OFF, max(1.0, waited / 10))


def waits_since(task: Task) -> int:
    """The sequence of the event since which the task has waited for its gang to be complete."""
    served = len(task.past) - withdrawals(task)
    return task.past[served - 1].claim if served else task.origin
