"""`evq workers` and `evq worker NAME`: the agents that are there now, and what they do.

Who is there is asked of the server itself. What waits, how long an agent will be busy, and what its
machine does come from a projector; without one they are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ...core.errors import NotFound
from ...core.fleet.presence import AgentPresence, RunningTask
from ...core.fleet.quiet import quiet_words
from ...core.ids import check_name
from ...core.queueing.workload import busy_seconds, serving_slots, waiting
from ...core.units import size_text
from ...core.words.agents import state_of, why_closed
from .. import output
from ..calling import call
from ..completion import complete_agent
from ..options import as_of_option, json_option
from ..output import Column
from ..tasks import figures
from ..tasks.figures import Figures, Loads, fleet, mean, part, percent, size
from ..tasks.render import age, colored, iso, now, span
from .gpus import device_facts, say_gpus

if TYPE_CHECKING:
    from ...core.past import When


@click.command()
@as_of_option
@json_option
def workers(as_of: When | None, as_json: bool) -> None:
    """Print the agents that are there now: what they run, what waits for them, how busy they are.

    BUSY FOR is how long what runs and their share of what waits will take, by what the tasks of
    their queues took lately. The tasks of an agent for services are its sub-agents, one a line.

    \b
    Examples:
      evq workers
      evq workers --as-of "monday 09:00"
      evq workers --json | jq -r '.[] | select(.state == "idle").host'
    """
    agents, loads, used = call(fleet, as_of=as_of)
    if as_json:
        slots = serving_slots(agents)
        output.say_json([facts(one, slots, loads, used) for one in agents])
    elif agents:
        _say_agents(agents, loads, used)
    elif as_of:
        output.note("no agent was there")
    else:
        output.note("no agent is there; evq agent starts one on this machine")


@click.command()
@click.argument("agent", shell_complete=complete_agent)
@as_of_option
@json_option
def worker(agent: str, as_of: When | None, as_json: bool) -> None:
    """Everything about one agent that is there: its tasks, its queues, its machine, its GPUs.

    \b
    Examples:
      evq worker gpu-01
      evq worker gpu-01 --json | jq '.tasks[].task'
    """
    check_name(agent, "agent")
    agents, loads, used = call(fleet, as_of=as_of)
    found = next((one for one in agents if one.agent == agent), None)
    if found is None:
        names = ", ".join(one.agent for one in agents) or "none at all"
        raise NotFound(
            f"no agent {agent} was there" if as_of else f"no agent {agent} is there",
            why=f"there were {names}" if as_of else f"there are {names}",
            fix=f"evq sql \"select * from agents where agent = '{agent}'\" has what is past",
        )
    if as_json:
        output.say_json(facts(found, serving_slots(agents), loads, used))
    else:
        _say_agent(found, serving_slots(agents), loads, used)


# --- in words -----------------------------------------------------------------------------------


def _say_agents(agents: Sequence[AgentPresence], loads: Loads, used: Figures) -> None:
    columns = [
        Column("AGENT", style=output.bold),
        Column("HOST", soft=True),
        Column("STATE", style=colored),
        *(Column(name, right=True) for name in ("TASKS", "GPUS", "CPU", "MEM", "WAITING")),
        Column("BUSY FOR", right=True),
        Column("UP", right=True),
        Column("QUEUES", soft=True),
    ]
    rows: list[Sequence[object]] = []
    slots = serving_slots(agents)
    for one in agents:
        rows.append(_agent_cells(one, slots, loads, used))
        rows += [_sub_agent_cells(one, task, used) for task in one.running * one.services]
    output.say_known(columns, rows)
    for one in agents:
        if why := why_closed(one) or _drained_gpus(one):
            output.say(output.dim(f"{one.agent}: {why}"))


def _agent_cells(
    one: AgentPresence, slots: Mapping[str, int], loads: Loads, used: Figures
) -> Sequence[object]:
    devices = one.devices
    taken = sum(not device.takes(None) for device in devices)
    machine = used.machine(one)
    return (
        one.agent,
        one.host,
        state_of(one),
        f"{len(one.claims)}/{one.slots}",
        f"{taken}/{len(devices)}" if devices else "",
        percent(mean(machine, "cpu")),
        percent(part(machine, "memory")),
        None if loads is None else waiting(one, loads),
        _busy_for(one, slots, loads),
        age(one.since) if one.since else "",
        ", ".join(one.queues),
    )


def _sub_agent_cells(one: AgentPresence, task: RunningTask, used: Figures) -> Sequence[object]:
    name, use = one.sub_agent(task), _task_use(used, task)
    return name, one.host, "running", task.task, "", *use, "", "", age(task.since), task.queue


def _busy_for(agent: AgentPresence, slots: Mapping[str, int], loads: Loads) -> str:
    seconds = None if loads is None else busy_seconds(agent, slots, loads, now())
    return span(seconds) if seconds else ""


def _drained_gpus(agent: AgentPresence) -> str:
    numbers = {device.id: str(device.index) for device in agent.devices}
    return "; ".join(
        f"GPU {','.join(numbers.get(gpu, gpu) for gpu in drain.gpus)} {drain}"
        for drain in agent.drains
        if drain.gpus
    )


def _task_use(used: Figures, running: RunningTask) -> tuple[str, str]:
    task = used.task(running)
    return percent(mean(task, "cpu")), size(mean(task, "memory"))


def _say_agent(agent: AgentPresence, slots: Mapping[str, int], loads: Loads, used: Figures) -> None:
    up = f", up {age(agent.since)}" if agent.since else ""
    output.say(f"agent {output.bold(agent.agent)} on {agent.host} (pid {agent.pid}){up}")
    for title, text in _lines(agent, slots, loads, used):
        output.say(f"  {output.dim(f'{title:<9}')} {text}")
    if agent.running:
        output.say()
        _say_tasks(agent, used)
    if agent.devices:
        output.say()
        say_gpus([(agent, device) for device in agent.devices], used)


def _lines(
    agent: AgentPresence, slots: Mapping[str, int], loads: Loads, used: Figures
) -> Iterable[tuple[str, str]]:
    why = why_closed(agent)
    yield "state", colored(state_of(agent)) + (f"  {why}" if why else "")
    if agent.drained_gpus:
        yield "drained", _drained_gpus(agent)
    yield (
        "tasks",
        f"{len(agent.claims)} of {agent.slots} slots"
        + (", services mode" if agent.services else "")
        + (", may give tasks a login to the server" if agent.client else ""),
    )
    yield "queues", f"{', '.join(_queue(name, loads) for name in agent.queues)} ({agent.order})"
    if text := _busy_for(agent, slots, loads):
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
    columns = [
        Column("TASK"),
        Column("NAME", soft=True, style=output.bold),
        Column("USER", soft=True),
        *(Column(name, right=True) for name in ("FOR", "CPU", "MEM", "SLOT")),
        Column("GPUS"),
        Column("QUEUE", soft=True),
        Column("QUIET"),
    ]
    numbers = {device.id: device.index for device in agent.devices}
    rows = [
        (
            one.task,
            agent.sub_agent(one) if agent.services else one.name,
            one.user,
            age(one.since),
            *_task_use(used, one),
            one.slot,
            ",".join(str(numbers.get(gpu, gpu)) for gpu in one.gpus),
            one.queue,
            quiet_words(one.quiet, now()),
        )
        for one in sorted(agent.running, key=lambda one: one.slot)
    ]
    output.say_known(columns, rows)


# --- as JSON ------------------------------------------------------------------------------------


def facts(
    agent: AgentPresence, slots: Mapping[str, int], loads: Loads, used: Figures
) -> dict[str, Any]:
    """An agent as `evq workers --json` has it; docs/cli.md says what the fields mean."""
    seconds = None if loads is None else busy_seconds(agent, slots, loads, now())
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
        "client": agent.client,
        "labels": agent.offer.labels,
        "reserved": agent.reserved,
        "cpus": {"all": agent.offer.cpus, "free": agent.free.cpus},
        "memory": {"all": agent.offer.memory, "free": agent.free.memory},
        "waiting": None if loads is None else waiting(agent, loads),
        "busy_seconds": None if seconds is None else round(seconds, 1),
        "machine": figures.machine_facts(used.machine(agent)),
        "tasks": [_task_facts(agent, one, used) for one in agent.running],
        "gpus": [device_facts(agent, device, used) for device in agent.devices],
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
