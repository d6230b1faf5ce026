"""When a running task is *quiet*: for long it has said nothing and used nothing, so it may hang.

Its agent finds out, because it hears what the task says and looks at what it uses, and tells it
with its presence; screens only say it. A task that waits for something and is right to do so is
quiet, too: it is a hint for people, and nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..words.phrases import ago
from .presence import AgentPresence

IDLE_CPU = 5.0
"""Percent of one processor below which nobody works: threads that only look at a clock use some."""

IDLE_GPU = 5.0
"""Percent of utilisation of its GPUs."""


def is_idle(cpu: float | None, gpu: float | None) -> bool:
    """Whether an attempt uses as good as nothing; `gpu` is null if it has no GPU open. Of one whose
    use of processors is not known nobody says so."""
    return cpu is not None and cpu < IDLE_CPU and (gpu is None or gpu < IDLE_GPU)


def quiet_since(said: int, idle: int | None, now: int, after: float) -> int | None:
    """Since when an attempt is quiet; null if it is not, or for less than `after` seconds.

    It spoke last at `said` and is idle since `idle`, null if it is not; an `after` of 0 is never.
    """
    if idle is None or not after:
        return None
    since = max(said, idle)
    return since if now - since >= after * 1e6 else None


def quiet_tasks(agents: Iterable[AgentPresence]) -> dict[str, int]:
    """The tasks of these agents that are quiet, and since when."""
    return {
        one.task: one.quiet for agent in agents for one in agent.running if one.quiet is not None
    }


def quiet_words(since: int | None, now: int) -> str:
    """`quiet for 3h`; empty for one that is not. Both are in microseconds."""
    return f"quiet for {ago(since, now)}" if since is not None else ""
