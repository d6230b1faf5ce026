"""Agents and their GPUs in words."""

from __future__ import annotations

from ..fleet.presence import AgentPresence, RunningTask
from ..fleet.resources import Device


def state_of(agent: AgentPresence) -> str:
    """What an agent does, in one word."""
    busy = bool(agent.claims)
    if agent.draining:
        return "stopping"
    if agent.drained:
        return "draining" if busy else "drained"
    if agent.paused:
        return "paused"
    return "busy" if busy else "idle"


def why_closed(agent: AgentPresence) -> str:
    """Why it takes nothing, if somebody or something keeps it from that."""
    return str(agent.drained or agent.paused)


def device_state(agent: AgentPresence, device: Device) -> str:
    """What a GPU does, in one word."""
    if device.broken:
        return "broken"
    if device.foreign:
        return "foreign"
    if device_users(agent, device):
        return "running" if device.held else "shared"
    return "drained" if device.drained or device.id in agent.drained_gpus else "free"


def device_words(agent: AgentPresence, device: Device) -> str:
    """Who has a GPU, or why nobody can have it."""
    tasks = ", ".join(
        " ".join(filter(None, (one.task, one.user, one.name)))
        for one in device_users(agent, device)
    )
    drains = [str(drain) for drain in agent.drains if device.id in drain.gpus]
    return "; ".join(filter(None, (device.broken, device.foreign, tasks, *drains)))


def device_users(agent: AgentPresence, device: Device) -> list[RunningTask]:
    """The tasks that have a GPU now."""
    return [one for one in agent.running if device.id in one.gpus]
