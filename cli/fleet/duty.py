"""`evq drain`, `evq resume`, `evq stop`: an agent in its administrator's hands.

Each is an event about the agent, with who and why. The agent hears it at once, or when it starts.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from ...core.errors import Conflict, NotFound, UsageError
from ...core.events import DrainRequested, ResumeRequested, StopRequested
from ...core.fleet.presence import AgentPresence
from ...core.ids import check_name
from .. import output
from ..calling import call
from ..completion import complete_agent
from ..options import json_option

if TYPE_CHECKING:
    from ...core.sdk.client import Client

LOOK_EVERY = 0.1
HEARD_SECONDS = 5.0
"""An agent that lives hears an order within a few milliseconds."""

agent_argument = click.argument("agent", shell_complete=complete_agent)
reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why; everybody who looks is told."
)
gpus_option = click.option("--gpus", metavar="1,3", help="Only these GPUs of it, by number or id.")


@click.command()
@agent_argument
@gpus_option
@reason_option
@click.option("--wait", is_flag=True, help="Return when what runs there has ended.")
@json_option
def drain(agent: str, gpus: str | None, reason: str, wait: bool, as_json: bool) -> None:
    """Let an agent take nothing more; what runs goes on, and the agent stays.

    It stays drained over restarts, until evq resume. An agent that is not there now will be
    drained when it starts.

    \b
    Examples:
      evq drain gpu-01 --reason "new driver"
      evq drain gpu-01 --gpus 1,3 --wait
    """

    async def work(client: Client) -> tuple[AgentPresence | None, tuple[str, ...]]:
        there, ids = await _target(client, agent, gpus)
        await client.order(DrainRequested(agent, reason, ids))
        if there:
            there = await _until(client, agent, lambda one: _is_drained(one, ids), HEARD_SECONDS)
        if wait and there:
            if not as_json and (busy := _busy(there, ids)):
                output.note(f"{_tasks(busy)} still on {agent}; ^C stops the waiting only")
            there = await _until(client, agent, lambda one: not _busy(one, ids))
        return there, ids

    there, ids = call(work)
    _report(agent, there, ids, as_json, drained=True)


@click.command()
@agent_argument
@gpus_option
@reason_option
@json_option
def resume(agent: str, gpus: str | None, reason: str, as_json: bool) -> None:
    """Let a drained agent take tasks again, with all of its GPUs or some of them.

    \b
    Examples:
      evq resume gpu-01
      evq resume gpu-01 --gpus 3
    """

    async def work(client: Client) -> tuple[AgentPresence | None, tuple[str, ...]]:
        there, ids = await _target(client, agent, gpus)
        if there and not _out_of_use(there, ids):
            raise Conflict(
                f"agent {agent} is not drained",
                why=f"it has paused by itself: {there.paused}" if there.paused else "",
                fix=f"evq worker {agent}",
            )
        await client.order(ResumeRequested(agent, reason, ids))
        if there:
            there = await _until(client, agent, lambda o: not _out_of_use(o, ids), HEARD_SECONDS)
        return there, ids

    there, ids = call(work)
    _report(agent, there, ids, as_json, drained=False)


@click.command()
@agent_argument
@reason_option
@click.option("--now", is_flag=True, help="Give its tasks back, so that others run them.")
@click.option("--wait", is_flag=True, help="Return when it has ended.")
@json_option
def stop(agent: str, reason: str, now: bool, wait: bool, as_json: bool) -> None:
    """End an agent: after the tasks that it runs now, or at once.

    What it gives back costs a task none of its budget. Neither evq up nor the unit of evq agent
    --install-service starts an agent again that was stopped so.

    \b
    Examples:
      evq stop gpu-01 --reason "moves to the other rack"
      evq stop gpu-01 --now --wait
    """

    async def work(client: Client) -> AgentPresence:
        there, _ = await _target(client, agent, None)
        if there is None:
            raise Conflict(
                f"agent {agent} is not there",
                why="nothing that could be stopped says that it lives",
                fix="evq workers lists those that are",
            )
        await client.order(StopRequested(agent, there.instance, reason, now))
        if wait:
            await _until(client, agent, lambda one: one.instance != there.instance)
        return there

    there = call(work)
    if as_json:
        output.say_json({"agent": agent, "stopped": wait, "tasks": [t.task for t in there.running]})
    elif wait:
        output.say(f"agent {output.bold(agent)} has ended")
    elif there.running:
        after = "gives back" if now else "ends after"
        output.say(f"agent {output.bold(agent)} {after} {_tasks([t.task for t in there.running])}")
    else:
        output.say(f"agent {output.bold(agent)} ends")


# --- which agent, which GPUs --------------------------------------------------------------------


async def _target(
    client: Client, agent: str, gpus: str | None
) -> tuple[AgentPresence | None, tuple[str, ...]]:
    """The agent, if it is there now, and the ids of the GPUs that are meant; none means all."""
    check_name(agent, "agent")
    there = await _present(client, agent)
    if there is None and not await client.is_agent(agent):
        raise _no_agent(agent, [one.agent for one in await client.agents()])
    if gpus is None:
        return there, ()
    if there is None:
        raise Conflict(
            f"agent {agent} is not there",
            why="only an agent that is there can say which GPUs it has",
            fix=f"evq drain {agent}, all of it",
        )
    return there, tuple(_gpu(there, word.strip()) for word in gpus.split(","))


def _gpu(agent: AgentPresence, word: str) -> str:
    for device in agent.devices:
        if word in (str(device.index), device.id):
            return device.id
    has = ", ".join(str(device.index) for device in agent.devices)
    raise UsageError(
        f"agent {agent.agent} has no GPU {word}",
        why=f"it has {has}" if has else "it has none",
        fix="evq gpus lists them",
    )


def _no_agent(name: str, there: list[str]) -> NotFound:
    import difflib

    near = difflib.get_close_matches(name, there, n=1)
    return NotFound(
        f"there is no agent {name}" + (f"; did you mean {near[0]}?" if near else ""),
        why="no event in the log names it",
        fix="evq workers lists those that are there",
    )


async def _present(client: Client, agent: str) -> AgentPresence | None:
    return next((one for one in await client.agents() if one.agent == agent), None)


# --- what became of it --------------------------------------------------------------------------


async def _until(
    client: Client, agent: str, done: Any, seconds: float = float("inf")
) -> AgentPresence | None:
    """The agent as soon as it says that `done` holds, after `seconds` in any case; None if it
    has gone."""
    end = time.monotonic() + seconds
    while (there := await _present(client, agent)) and not done(there):
        if time.monotonic() > end:
            break
        await asyncio.sleep(LOOK_EVERY)
    return there


def _is_drained(agent: AgentPresence, gpus: tuple[str, ...]) -> bool:
    return set(gpus) <= set(agent.drained_gpus) if gpus else agent.drained is not None


def _out_of_use(agent: AgentPresence, gpus: tuple[str, ...]) -> bool:
    """Whether there is something to be resumed."""
    return bool(set(gpus) & set(agent.drained_gpus)) if gpus else bool(agent.drains)


def _busy(agent: AgentPresence, gpus: tuple[str, ...]) -> list[str]:
    """The tasks that run on what was drained. A claim that is not told of yet is one, too."""
    tasks = [one.task for one in agent.running if not gpus or set(gpus) & set(one.gpus)]
    return tasks or (["a task"] if agent.claims and not gpus else [])


def _tasks(tasks: list[str]) -> str:
    return tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks ({', '.join(tasks)})"


def _report(
    agent: str,
    there: AgentPresence | None,
    gpus: tuple[str, ...],
    as_json: bool,
    *,
    drained: bool,
) -> None:
    busy = _busy(there, gpus) if there else []
    if as_json:
        output.say_json(
            {"agent": agent, "there": there is not None, "drained": drained, "gpus": gpus}
            | {"tasks": busy}
        )
        return
    many = len(gpus) > 1
    what = f"agent {output.bold(agent)}"
    if gpus and there:
        numbers = [str(device.index) for device in there.devices if device.id in gpus]
        what = f"GPU{'s' * many} {','.join(numbers)} of {what}"
    if not drained:
        output.say(f"{what} may take tasks again" + ("" if there else ", when it is there"))
        return
    if there is None:
        output.say(f"{what} is not there now; it will be drained when it starts")
    elif busy:
        output.say(f"{what} drain{'' if many else 's'}: {_tasks(busy)} to go")
    else:
        output.say(f"{what} {'are' if many else 'is'} drained: nothing runs there")
    output.note(output.dim(f"evq resume {agent}   when it may work again"))
