"""A sweep whose controller and agents are killed: no trial is lost or repeated, the best is found.

Its trials are proposed and judged reproducibly, so all of it is the same as without any kill.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from contextlib import aclosing
from typing import Any

import psutil
import pytest
from processes import AgentProcess
from scene import WITNESS, Scene
from waiting import until

from evq.core.outcomes import Outcome
from evq.core.sdk.services import service
from evq.core.spec import Command, Spec
from evq.services.sweep.definition import make_definition
from evq.services.sweep.facts import Proposed, TrialEnded
from evq.services.sweep.state import SweepState, task_of
from evq.services.sweep.sweep import Sweep

TRIALS = 60
STEPS = 12
DEFINITION = make_definition(
    {
        "run": "witness",
        "space": {
            "lr": {"low": 1e-4, "high": 1.0, "log": True},
            "width": {"low": 8, "high": 128, "step": 8},
        },
        "objective": {"metric": "loss"},
        "prune": {"kind": "median", "startup": 4},
        "trials": TRIALS,
        "concurrency": 4,
        "seed": 11,
        "reproducible": True,
    }
)

CONTROLLER_KILLS = {4: "process", 13: "agent", 21: "process", 30: "agent", 38: "agent", 47: "agent"}
"""By how many trials have ended: whether the controller alone is killed, or its agent with it."""

AGENT_KILLS = {9: 0, 26: 1, 43: 2}


def base(scene: Scene) -> Spec:
    words = (f"loss={STEPS}", "lr=0.5", "width=8")
    argv = (sys.executable, "-S", str(WITNESS), str(scene.truth), *words)
    return Spec(entry=Command(argv), name="witness", queue="q", manager="none", losses=20)


async def fleet(scene: Scene) -> list[AgentProcess]:
    """Four agents for trials, and one for the controller, the last."""
    agents = [await scene.agent(f"w{n}") for n in range(4)]
    return [*agents, await services_agent(scene)]


async def services_agent(scene: Scene) -> AgentProcess:
    return await scene.agent("s", "--queues", "services", "--allow-client")


def story(state: SweepState) -> list[Any]:
    return [(one.number, one.params, one.end, one.values, one.points) for one in state.trials]


async def whole(scene: Scene, name: str) -> SweepState:
    """A sweep that nobody disturbs."""
    sweep = await Sweep.create(scene.client, name, DEFINITION, base(scene))
    async with aclosing(sweep.follow()) as facts:
        async for _ in facts:
            pass
    return sweep.state


async def controller_of(agent: AgentProcess, name: str) -> psutil.Process:
    """The controller's process, as soon as there is one."""

    def running() -> psutil.Process | None:
        for process in agent.look():
            try:
                if process.cmdline()[-3:] == ["-m", "evq.services.sweep", name]:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    found: psutil.Process = await until(running, "a controller runs")
    return found


@pytest.mark.timeout(600)
async def test_sixty_trials_over_kills_of_controller_and_agents(scene: Scene) -> None:
    agents = await fleet(scene)
    undisturbed = await whole(scene, "quiet")
    sweep = await Sweep.create(scene.client, "killed", DEFINITION, base(scene))
    facts = []
    controller_kills = agent_kills = 0
    async with asyncio.timeout(500), aclosing(sweep.follow()) as noted:
        async for one in noted:
            facts.append(one)
            if not isinstance(one.fact, TrialEnded):
                continue
            ended = sum(isinstance(other.fact, TrialEnded) for other in facts)
            if how := CONTROLLER_KILLS.get(ended):
                controller_kills += 1
                controller = await controller_of(agents[4], "killed")
                if how == "agent":
                    agents[4].kill()
                    agents[4] = await services_agent(scene)
                else:
                    controller.send_signal(signal.SIGKILL)
            if (number := AGENT_KILLS.get(ended)) is not None:
                agent_kills += 1
                agents[number].kill()
                agents[number] = await scene.agent(f"w{number}")
    state = sweep.state
    assert (controller_kills, agent_kills) == (6, 3)
    numbers = Counter(one.fact.number for one in facts if isinstance(one.fact, Proposed))
    assert numbers == Counter(range(TRIALS))
    assert len({task_of("killed", number) for number in range(TRIALS)}) == TRIALS
    assert story(state) == story(undisturbed)
    assert state.best[0].number == undisturbed.best[0].number
    ends = Counter(trial.end for trial in state.trials)
    assert ends["pruned"] > 5 and ends["complete"] + ends["pruned"] == TRIALS
    lost = sum("lost" in kind for n in range(TRIALS) for kind in scene.kinds(task_of("killed", n)))
    print(f"\n{TRIALS} trials, {dict(ends)}; controller killed {controller_kills} times, agents")
    print(f"{agent_kills} times, {lost} attempts lost; best trial {state.best[0].number} of both")
    for name, attempts in (("quiet", 1), ("killed", 7)):
        task = (await service(scene.client, "sweep", name)).task.id
        assert (await scene.end(task)).outcome is Outcome.COMPLETED
        assert len((await scene.client.get(task)).attempts) == attempts
    await scene.verdict()
