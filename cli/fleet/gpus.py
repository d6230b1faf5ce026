"""`evq gpus`: every GPU of the agents that are there, and who has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...core.fleet.presence import AgentPresence
from ...core.fleet.resources import Device
from ...core.units import size_text
from ...core.words.agents import device_state, device_users, device_words
from .. import output
from ..calling import call
from ..options import as_of_option, json_option
from ..output import Column
from ..tasks import figures
from ..tasks.figures import Figures, fleet, mean, percent, size
from ..tasks.render import colored

if TYPE_CHECKING:
    from ...core.past import When


@click.command()
@as_of_option
@json_option
def gpus(as_of: When | None, as_json: bool) -> None:
    """Print every GPU of the agents that are there, who has it, and which nobody can have.

    \b
    Examples:
      evq gpus
      evq gpus --json | jq '[.[] | select(.state == "free")] | length'
    """
    agents, _, used = call(fleet, as_of=as_of)
    found = [(agent, device) for agent in agents for device in agent.devices]
    if as_json:
        output.say_json(
            [{"agent": agent.agent, "host": agent.host, **device_facts(agent, device, used)}
             for agent, device in found]
        )  # fmt: skip
    elif found:
        say_gpus(found, used, with_agent=True)
    else:
        output.note("no agent that is there has a GPU")


def say_gpus(
    found: Sequence[tuple[AgentPresence, Device]], used: Figures, *, with_agent: bool = False
) -> None:
    """Print GPUs and who has them."""
    columns = [
        Column("AGENT", style=output.bold),
        Column("GPU", right=True),
        Column("NAME", soft=True),
        *(Column(title, right=True) for title in ("MEMORY", "USED", "UTIL", "TEMP", "POWER")),
        Column("STATE", style=colored),
        Column("BY", soft=True),
    ]
    rows = [
        (
            agent.agent if with_agent else "",
            device.index,
            device.name,
            size_text(device.memory) if device.memory else "",
            *_device_use(used, agent, device),
            device_state(agent, device),
            device_words(agent, device),
        )
        for agent, device in found
    ]
    output.say_known(columns, rows)


def _device_use(used: Figures, agent: AgentPresence, device: Device) -> tuple[str, ...]:
    row = used.gpu(agent, device)
    temperature, power = mean(row, "temperature"), mean(row, "power")
    return (
        size(mean(row, "memory")),
        percent(mean(row, "utilisation")),
        "" if temperature is None else f"{temperature:.0f}°",
        "" if power is None else f"{power:.0f}W",
    )


def device_facts(agent: AgentPresence, device: Device, used: Figures) -> dict[str, Any]:
    """A GPU: what it is, its state, and the tasks that have it."""
    return {
        "index": device.index,
        "id": device.id,
        "name": device.name,
        "memory": device.memory,
        "free_memory": device.free_memory,
        "state": device_state(agent, device),
        "why": device_words(agent, device),
        "tasks": [one.task for one in device_users(agent, device)],
        "use": figures.use_facts(
            used.gpu(agent, device), "utilisation", "memory", "temperature", "power", "outside"
        ),
    }
