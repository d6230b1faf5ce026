"""`evq workers` and `evq worker NAME`: the agents that are there now, and what they do.

Who is there is asked of the server itself. What waits, how long an agent will be busy, and what its
machine does come from a projector; without one they are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..core.errors import NotFound
from ..core.ids import check_name
from ..core.presence import AgentPresence, RunningTask
from ..core.units import size_text
from ..core.workload import busy_seconds, waiting
from . import figures, output
from .completion import complete_agent
from .figures import Figures, Loads, fleet, mean, part, percent, size
from .gpus import device_facts, say_gpus
from .options import json_option
from .output import Column
from .render import age, colored, iso, now, span
from .session import call


@click.command()
@json_option
def workers(as_json: bool) -> None:
    """Print the agents that are there now: what they run, what waits for them, how busy they are.

    BUSY FOR is how long what runs and their share of what waits will take, by what the tasks of
    their queues took lately. The tasks of an agent for services are its sub-agents, one a line.

    \b
    Examples:
      evq workers
      evq workers --json | jq -r '.[] | select(.state == "idle").host'
    """
    agents, loads, used = call(fleet)
    if as_json:
        output.say_json([facts(one, agents, loads, used) for one in agents])
    elif agents:
        _say_agents(agents, loads, used)
    else:
        output.note("no agent is there; evq agent starts one on this machine")


@click.command()
@click.argument("agent", shell_complete=complete_agent)
@json_option
def worker(agent: str, as_json: bool) -> None:
    """Everything about one agent that is there: its tasks, its queues, its machine, its GPUs.

    \b
    Examples:
      evq worker gpu-01
      evq worker gpu-01 --json | jq '.tasks[].task'
    """
    check_name(agent, "agent")
    agents, loads, used = call(fleet)
    found = next((one for one in agents if one.agent == agent), None)
    if found is None:
        raise NotFound(
            f"no agent {agent} is there",
            why=f"there are {', '.join(one.agent for one in agents) or 'none at all'}",
            fix=f"evq sql \"select * from agents where agent = '{agent}'\" has what is past",
        )
    if as_json:
        output.say_json(facts(found, agents, loads, used))
    else:
<<<<<<< HEAD
        _say_agent(found, agents, loads)


@click.command()
@json_option
def gpus(as_json: bool) -> None:
    """Print every GPU of the agents that are there, who has it, and which nobody can have.

    \b
    Examples:
      evq gpus
      evq gpus --json | jq '[.[] | select(.state == "free")] | length'
    """
    agents, _ = call(_fleet)
    found = [(agent, device) for agent in agents for device in agent.free.devices]
    if as_json:
        output.say_json(
            [{"agent": agent.agent, "host": agent.host, **device_facts(agent, device)}
             for agent, device in found]
        )  # fmt: skip
    elif found:
        _say_gpus(found, with_agent=True)
    else:
        output.note("no agent that is there has a GPU")


async def _fleet(client: Client) -> tuple[list[AgentPresence], Loads]:
    """The agents that are there, and what is known of their queues."""
    agents = await client.agents()
    try:
        rows = [row async for row in client.rows(Named("workload"))]
    except ProjectorAway:
        return agents, None
    return agents, {row["queue"]: msgspec.convert(row, QueueLoad) for row in rows}
=======
        _say_agent(found, agents, loads, used)
>>>>>>> main


# --- in words -----------------------------------------------------------------------------------


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


def _why(agent: AgentPresence) -> str:
    """Why it takes nothing, if somebody or something keeps it from that."""
    return str(agent.drained or agent.paused)


<<<<<<< HEAD
def _say_agents(agents: Sequence[AgentPresence], loads: Loads) -> None:
    with_gpus = any(agent.free.devices for agent in agents)
=======
def _say_agents(agents: Sequence[AgentPresence], loads: Loads, used: Figures) -> None:
    with_gpus = any(agent.devices for agent in agents)
>>>>>>> main
    busy_for = [_busy_for(agent, agents, loads) for agent in agents]
    with_load, with_busy = loads is not None, any(busy_for)
    with_use = any(used.machine(agent) for agent in agents)
    columns = [
        Column("AGENT", style=output.bold),
        Column("HOST", soft=True),
        Column("STATE", style=colored),
        Column("TASKS", right=True),
        *([Column("GPUS", right=True)] * with_gpus),
        *([Column("CPU", right=True), Column("MEM", right=True)] * with_use),
        *([Column("WAITING", right=True)] * with_load),
        *([Column("BUSY FOR", right=True)] * with_busy),
        Column("UP", right=True),
        Column("QUEUES", soft=True),
    ]
    rows: list[tuple[object, ...]] = []
    for one, seconds in zip(agents, busy_for, strict=True):
<<<<<<< HEAD
        devices = one.free.devices
=======
        devices = one.devices
>>>>>>> main
        free = sum(device.takes(None) for device in devices)
        rows.append(
            (
                one.agent,
                one.host,
                state_of(one),
                f"{len(one.claims)}/{one.slots}",
                *([f"{len(devices) - free}/{len(devices)}" if devices else ""] * with_gpus),
                *(_machine_use(used, one) * with_use),
                *(() if loads is None else (waiting(one, loads),)),
                *([seconds] * with_busy),
                age(one.since) if one.since else "",
                ", ".join(one.queues),
            )
        )
        before, after = [""] * with_gpus, [""] * (with_load + with_busy)
        rows += [
            (
                one.sub_agent(task),
                one.host,
                "running",
                task.task,
                *before,
                *(_task_use(used, task) * with_use),
                *after,
                age(task.since),
                task.queue,
            )
            for task in one.running * one.services
        ]
    output.say_table(columns, rows)
    for one in agents:
        if why := _why(one):
            output.say(output.dim(f"{one.agent}: {why}"))
        elif one.drained_gpus:
            output.say(output.dim(f"{one.agent}: {_drained_gpus(one)}"))


def _busy_for(agent: AgentPresence, agents: Sequence[AgentPresence], loads: Loads) -> str:
    seconds = None if loads is None else busy_seconds(agent, agents, loads, now())
    return span(seconds) if seconds else ""


def _drained_gpus(agent: AgentPresence) -> str:
<<<<<<< HEAD
    numbers = {device.id: str(device.index) for device in agent.free.devices}
=======
    numbers = {device.id: str(device.index) for device in agent.devices}
>>>>>>> main
    return "; ".join(
        f"GPU {','.join(numbers.get(gpu, gpu) for gpu in drain.gpus)} {drain}"
        for drain in agent.drains
        if drain.gpus
    )


def _machine_use(used: Figures, agent: AgentPresence) -> tuple[str, str]:
    machine = used.machine(agent)
    return percent(mean(machine, "cpu")), percent(part(machine, "memory"))


def _task_use(used: Figures, running: RunningTask) -> tuple[str, str]:
    task = used.task(running)
    return percent(mean(task, "cpu")), size(mean(task, "memory"))


def _say_agent(
    agent: AgentPresence, agents: Sequence[AgentPresence], loads: Loads, used: Figures
) -> None:
    up = f", up {age(agent.since)}" if agent.since else ""
    output.say(f"agent {output.bold(agent.agent)} on {agent.host} (pid {agent.pid}){up}")
    for title, text in _lines(agent, agents, loads, used):
        output.say(f"  {output.dim(f'{title:<9}')} {text}")
    if agent.running:
        output.say()
<<<<<<< HEAD
        _say_tasks(agent)
    if agent.free.devices:
        output.say()
        _say_gpus([(agent, device) for device in agent.free.devices], with_agent=False)
=======
        _say_tasks(agent, used)
    if agent.devices:
        output.say()
        say_gpus([(agent, device) for device in agent.devices], used, with_agent=False)
>>>>>>> main


def _lines(
    agent: AgentPresence, agents: Sequence[AgentPresence], loads: Loads, used: Figures
) -> Iterable[tuple[str, str]]:
    why = _why(agent)
    yield "state", colored(state_of(agent)) + (f"  {why}" if why else "")
    if agent.drained_gpus:
        yield "drained", _drained_gpus(agent)
    yield (
        "tasks",
        f"{len(agent.claims)} of {agent.slots} slots"
        + (", services mode" if agent.services else ""),
    )
    yield "queues", f"{', '.join(_queue(name, loads) for name in agent.queues)} ({agent.order})"
    if text := _busy_for(agent, agents, loads):
        yield "busy for", f"about {text}, by what the tasks of its queues took lately"
    if agent.reserved:
        yield "reserved", agent.reserved
    if machine := used.machine(agent):
        yield "machine", figures.machine_text(machine)
    offer, free = agent.offer, agent.free
    if offer.cpus:
        has = f"{free.cpus:g} of {offer.cpus:g} CPUs, {size_text(max(0, free.memory))} of "
        yield "free", f"{has}{size_text(offer.memory)} of memory not asked for"
    if offer.labels:
        yield "labels", ", ".join(f"{name}={value}" for name, value in offer.labels.items())


def _queue(name: str, loads: Loads) -> str:
    load = (loads or {}).get(name)
    return f"{name} ({load.queued} wait)" if load and load.queued else name


def _say_tasks(agent: AgentPresence, used: Figures) -> None:
    with_gpus = any(one.gpus for one in agent.running)
    with_use = any(used.task(one) for one in agent.running)
    columns = [
        Column("TASK"),
        Column("NAME", soft=True, style=output.bold),
        Column("USER", soft=True),
        Column("FOR", right=True),
        *([Column("CPU", right=True), Column("MEM", right=True)] * with_use),
        Column("SLOT", right=True),
        *([Column("GPUS")] * with_gpus),
        Column("QUEUE", soft=True),
    ]
<<<<<<< HEAD
    numbers = {device.id: device.index for device in agent.free.devices}
=======
    numbers = {device.id: device.index for device in agent.devices}
>>>>>>> main
    rows = [
        (
            one.task,
            agent.sub_agent(one) if agent.services else one.name,
            one.user,
            age(one.since),
            *(_task_use(used, one) * with_use),
            one.slot,
            *([",".join(str(numbers.get(gpu, gpu)) for gpu in one.gpus)] * with_gpus),
            one.queue,
        )
        for one in sorted(agent.running, key=lambda one: one.slot)
    ]
    output.say_table(columns, rows)


# --- as JSON ------------------------------------------------------------------------------------


def facts(
    agent: AgentPresence, agents: Sequence[AgentPresence], loads: Loads, used: Figures
) -> dict[str, Any]:
    """An agent as `evq workers --json` has it; docs/cli.md says what the fields mean."""
    seconds = None if loads is None else busy_seconds(agent, agents, loads, now())
    drain = agent.drained
    return {
        "agent": agent.agent,
        "host": agent.host,
        "pid": agent.pid,
        "queues": agent.queues,
        "order": agent.order,
        "slots": agent.slots,
        "busy": len(agent.claims),
        "state": state_of(agent),
        "paused": agent.paused,
        "drained": drain and {"by": drain.by, "reason": drain.reason, "since": iso(drain.at)},
        "since": iso(agent.since) if agent.since else None,
        "claims": agent.claims,
        "services": agent.services,
        "labels": agent.offer.labels,
        "reserved": agent.reserved,
        "cpus": {"all": agent.offer.cpus, "free": agent.free.cpus},
        "memory": {"all": agent.offer.memory, "free": agent.free.memory},
        "waiting": None if loads is None else waiting(agent, loads),
        "busy_seconds": None if seconds is None else round(seconds, 1),
<<<<<<< HEAD
        "tasks": [_task_facts(agent, one) for one in agent.running],
        "gpus": [device_facts(agent, device) for device in agent.free.devices],
=======
        "machine": figures.machine_facts(used.machine(agent)),
        "tasks": [_task_facts(agent, one, used) for one in agent.running],
        "gpus": [device_facts(agent, device, used) for device in agent.devices],
>>>>>>> main
    }


def _task_facts(agent: AgentPresence, one: RunningTask, used: Figures) -> dict[str, Any]:
    return {
        "task": one.task,
        "attempt": one.attempt,
        "name": one.name,
        "user": one.user,
        "queue": one.queue,
        "slot": one.slot,
        "since": iso(one.since),
        "gpus": one.gpus,
        "sub_agent": agent.sub_agent(one) if agent.services else None,
        "use": figures.use_facts(used.task(one), "cpu", "memory", "gpu", "gpu_memory"),
    }
