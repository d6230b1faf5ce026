"""Who is there, and what machines, GPUs and tasks use now, by their agents' last samples.

What nobody knows is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...core.errors import EvqError, ProjectorAway
from ...core.fleet.presence import AgentPresence, RunningTask
from ...core.fleet.resources import Device
from ...core.questions import Named
from ...core.queueing.workload import QueueLoad
from ...core.units import size_text

if TYPE_CHECKING:
    from ...core.sdk.client import Client

Row = Mapping[str, Any]

Loads = Mapping[str, QueueLoad] | None
"""By queue; None while no projector answers."""


class Figures(msgspec.Struct, frozen=True):
    """The last samples: machines by their agent's instance, GPUs by agent and id, tasks by id and
    attempt."""

    machines: dict[str, Row] = {}
    gpus: dict[tuple[str, str], Row] = {}
    tasks: dict[tuple[str, int], Row] = {}

    def machine(self, agent: AgentPresence) -> Row | None:
        """What the agent's machine does; one that was started again has not said so yet."""
        return self.machines.get(agent.instance)

    def gpu(self, agent: AgentPresence, device: Device) -> Row | None:
        """What a GPU does."""
        return self.gpus.get((agent.agent, device.id)) if self.machine(agent) else None

    def task(self, running: RunningTask) -> Row | None:
        """What a task's processes use."""
        return self.tasks.get((running.task, running.attempt))


async def fleet(client: Client) -> tuple[list[AgentPresence], Loads, Figures]:
    """The agents that are there, and what is known of their queues and machines."""
    agents, used = await asyncio.gather(client.agents(), last_figures(client))
    try:
        rows = [row async for row in client.rows(Named("workload"))]
    except ProjectorAway:
        return agents, None, used
    return agents, {row["queue"]: msgspec.convert(row, QueueLoad) for row in rows}, used


async def last_figures(client: Client) -> Figures:
    """What a projector knows; without one, or with an older one, nothing."""
    names = ("machine", "machine_gpus", "machine_tasks")
    machines, gpus, tasks = await asyncio.gather(*(_rows(client, name) for name in names))
    return Figures(
        {row["instance"]: row for row in machines},
        {(row["agent"], row["gpu"]): row for row in gpus},
        {(row["task"], row["attempt"]): row for row in tasks},
    )


async def _rows(client: Client, name: str) -> list[Row]:
    try:
        return [row async for row in client.rows(Named(name))]
    except EvqError:
        return []


def mean(row: Row | None, name: str) -> float | None:
    """The mean of a figure; None where it is not known."""
    figure = row.get(name) if row else None
    return figure["mean"] if figure else None


def percent(value: float | None) -> str:
    """A share for people, such as `97%`."""
    return "" if value is None else f"{value:.0f}%"


def size(value: float | None) -> str:
    """Bytes for people."""
    return "" if value is None else size_text(round(value))


def part(row: Row | None, name: str) -> float | None:
    """What is in use of something, as percent of all there is of it."""
    used, total = mean(row, name), row.get(f"{name}_total") if row else None
    return 100 * used / total if used is not None and total else None


def machine_text(row: Row) -> str:
    """A machine in one line: `CPU 90%, load 6.2, memory 1GiB of 23.5GiB, disk 31GiB of 101GiB`."""
    shares = [
        f"{name} {size(mean(row, name))} of {size(row[f'{name}_total'])}"
        for name in ("memory", "disk")
        if part(row, name) is not None
    ]
    load, temperature = mean(row, "load"), mean(row, "temperature")
    words = [
        f"CPU {percent(mean(row, 'cpu'))}" if mean(row, "cpu") is not None else "",
        f"load {load:.1f}" if load is not None else "",
        f"{temperature:.0f} °C" if temperature is not None else "",
        *shares,
        str(row.get("trouble") or ""),
    ]
    return ", ".join(filter(None, words))


def machine_facts(row: Row | None) -> dict[str, Any] | None:
    """The same for JSON: means of the last period."""
    if row is None:
        return None
    machine = ("cpu", "load", "temperature", "memory", "swap", "disk")
    names = (*machine, "disk_read", "disk_write", "net_in", "net_out")
    totals = {name: row.get(name) for name in ("memory_total", "swap_total", "disk_total")}
    means = {name: mean(row, name) for name in names}
    return {"ts": row["ts"], **means, **totals, "trouble": row.get("trouble") or ""}


def use_facts(row: Row | None, *names: str) -> dict[str, float | None] | None:
    """Some figures of a GPU or a task, their means; null if none is known."""
    return {name: mean(row, name) for name in names} if row else None
