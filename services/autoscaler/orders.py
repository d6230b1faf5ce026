"""Why an autoscaler gives orders to agents, in words by which it knows its own again."""

from __future__ import annotations

from ...core.queueing.orders import Drains
from .journal import SERVICE


def reason_of(name: str, why: object) -> str:
    """The reason of an order of the autoscaler `name`."""
    return f"{SERVICE} {name}: {why}"


def is_ours(name: str, drains: Drains) -> bool:
    """Whether the autoscaler `name` drained an agent, and nobody else anything of it: only then
    may it resume the agent, which ends all drains."""
    return len(drains) == 1 and drains[0].reason.startswith(reason_of(name, ""))
