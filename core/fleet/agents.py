"""What happens to agents, and what their administrators ask of them, as events."""

from __future__ import annotations

import msgspec


class AgentUp(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_up", kw_only=True):
    """An agent started. `memory` is in bytes, `gpus` are the ids of those it offers.

    `services` says that its tasks are light ones, each a sub-agent of its own. `gpu_memory` are
    the bytes of each of `gpus`, in their order.
    """

    agent: str
    instance: str
    host: str
    pid: int
    queues: tuple[str, ...]
    order: str
    slots: int
    version: str
    cpus: int
    memory: int
    platform: str
    python: str
    gpus: tuple[str, ...] = ()
    services: bool = False
    gpu_memory: tuple[int, ...] = ()


class AgentDraining(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_draining"):
    """An agent claims nothing more and ends when its attempts have ended."""

    agent: str
    instance: str
    reason: str


class AgentDown(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_down"):
    """An agent ended in order."""

    agent: str
    instance: str
    reason: str


class AgentPaused(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_paused"):
    """An agent claims nothing more until `agent_resumed`; what runs goes on."""

    agent: str
    instance: str
    reason: str


class AgentResumed(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_resumed"):
    """An agent that had paused claims tasks again."""

    agent: str
    instance: str
    reason: str


class AgentLost(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_lost"):
    """An agent went without a word, as another one noticed. If it lives after all, it says so."""

    agent: str
    instance: str
    reason: str


class DrainRequested(
    msgspec.Struct, frozen=True, tag_field="kind", tag="drain_requested", omit_defaults=True
):
    """Somebody wants an agent, or these GPUs of it, to take nothing more until told otherwise."""

    agent: str
    reason: str = ""
    gpus: tuple[str, ...] = ()


class ResumeRequested(
    msgspec.Struct, frozen=True, tag_field="kind", tag="resume_requested", omit_defaults=True
):
    """Somebody wants a drained agent, or these GPUs of it, to take tasks again."""

    agent: str
    reason: str = ""
    gpus: tuple[str, ...] = ()


class StopRequested(
    msgspec.Struct, frozen=True, tag_field="kind", tag="stop_requested", omit_defaults=True
):
    """Somebody wants this instance of an agent to end: after its tasks, or `now`, which gives
    them back."""

    agent: str
    instance: str
    reason: str = ""
    now: bool = False


class PruneRequested(
    msgspec.Struct, frozen=True, tag_field="kind", tag="prune_requested", omit_defaults=True
):
    """Somebody wants an agent to remove what none of its tasks has used for `older` seconds from
    its caches, or from those of these `kinds`. An agent that is away does not hear it."""

    agent: str
    older: float
    kinds: tuple[str, ...] = ()
    reason: str = ""


class AgentPruned(msgspec.Struct, frozen=True, tag_field="kind", tag="agent_pruned", kw_only=True):
    """An agent has pruned its caches, as somebody wanted: so many entries, of `size` bytes, are
    gone. `kinds` tells how many of each kind."""

    agent: str
    instance: str
    entries: int
    size: int
    kinds: dict[str, int]
    reason: str


AgentOrder = DrainRequested | ResumeRequested | StopRequested | PruneRequested
"""What others want of an agent; all other events about it are its own, or tell of its loss."""

AgentNews = AgentUp | AgentDraining | AgentDown | AgentPaused | AgentResumed | AgentLost

AgentEvent = AgentNews | AgentPruned | AgentOrder
