"""The agents that are there, and what they are told."""

from __future__ import annotations

from .. import subjects, wire
from ..bus.connect import Bus
from ..events import AgentOrder
from ..fleet.presence import AgentPresence, decode_presence
from ..ports import BusAway, Entry
from .author import Author
from .levels import append


async def present(bus: Bus) -> list[AgentPresence]:
    """See `Client.agents`."""
    try:
        values = await bus.presence.all()
    except BusAway:
        return []
    found = [decode_presence(value) for value in values.values()]
    in_order = sorted((agent for agent in found if agent), key=lambda agent: agent.since)
    latest = {agent.agent: agent for agent in in_order}
    return [latest[name] for name in sorted(latest)]


async def order(bus: Bus, author: Author, order: AgentOrder) -> None:
    """See `Client.order`."""
    envelope = author.envelope(order)
    subject = subjects.agent_events(order.agent)
    await append(bus, Entry(subject, wire.encode(envelope), envelope.id))


async def is_known(bus: Bus, name: str) -> bool:
    """See `Client.is_agent`."""
    return await bus.log.last(subjects.agent_events(name)) is not None
