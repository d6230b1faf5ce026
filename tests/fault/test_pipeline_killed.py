"""A pipeline of thirty parts while its controller and its agents are killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from scene import Scene
from waiting import until

from evq.core.events import Claimed, Decided, Envelope
from evq.core.sdk.services import start_service
from evq.core.subjects import service_events
from evq.core.wire import decode
from evq.services.pipeline.definition import define
from evq.services.pipeline.facts import Created
from evq.services.pipeline.graph import graph
from evq.services.pipeline.journals import create, open_run, run_of
from evq.services.pipeline.run import Done, Run

EFFECT = Path(__file__).parent / "effect.py"


def thirty(effects: Path) -> Created:
    """1 step, 9 for what it gave, 9 that go on with each, 1 for all of those, 9 more, and 1."""

    def command(name: str, value: str) -> list[str]:
        return [sys.executable, str(EFFECT), str(effects), name, value]

    spread = "[${index}]"
    steps = {
        "prepare": {"command": command("prepare", "1")},
        "train": {
            "each": "${steps.prepare.outputs.parts}",
            "command": command("train" + spread, "${item}"),
        },
        "test": {
            "each": "${steps.train}",
            "command": command("test" + spread, "${steps.train.outputs.value}"),
        },
        "merge": {"command": command("merge", "${steps.test.outputs.value}")},
        "publish": {
            "each": list(range(9)),
            "command": command("publish" + spread, "${item}"),
            "after": ["merge"],
        },
        "report": {"command": command("report", "${steps.publish.outputs.value}")},
    }
    whole = {"name": "thirty", "cache": True, "defaults": {"env": "none"}, "steps": steps}
    definition = define(whole, "thirty")
    return Created(definition, tree="t", queue="q", edges=graph(definition).parents)


class Stage:
    """One run, its controllers and its effects."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name
        self._started = 0

    def controller(self) -> subprocess.Popen[bytes]:
        """Start another one."""
        self._started += 1
        login = self.scene.server.login
        environment = {
            **os.environ,
            "EVQ_SERVER": login.server,
            "EVQ_TOKEN": login.token or "",
            "EVQ_TASK_ID": "controller",
            "EVQ_ATTEMPT": str(self._started),
        }
        argv = [sys.executable, "-P", "-m", "evq.services.pipeline", self.name]
        return subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)

    async def facts(self) -> list[Decided]:
        """What has been decided so far, taking over left out."""
        found = []
        subject = service_events("pipeline", self.name)
        for stored in await self.scene.client.bus.log.history(subject):
            message = decode(stored.data)
            assert isinstance(message, Envelope) and isinstance(message.event, Decided)
            if message.event.fact:
                found.append(message.event)
        return found

    async def decided(self, count: int) -> None:
        """Return when so much has been decided."""

        async def there() -> bool:
            return len(await self.facts()) >= count

        await until(there, f"{count} decisions")

    async def ended(self, controller: subprocess.Popen[bytes]) -> None:
        """Return when a controller has ended; as long as things are decided, that may take long."""
        while controller.poll() is None:
            known = len(await self.facts())

            async def goes_on(known: int = known) -> bool:
                return controller.poll() is not None or len(await self.facts()) > known

            await until(goes_on, "a decision, or the controller's end")

    async def run(self) -> Run:
        return run_of(await open_run(self.scene.client, self.name))


async def kill_agents(scene: Scene, claims: list[int]) -> None:
    """Kill an agent with what runs on it each time that so many claims have been made, and start
    it again."""
    made = 0
    places = iter(claims)
    wanted = next(places)
    async with scene.client.bus.log.follow(1, ["evq.t.q.*"]) as batches:
        async for batch in batches:
            for stored in batch:
                message = decode(stored.data)
                if not isinstance(message, Envelope) or not isinstance(message.event, Claimed):
                    continue
                made += 1
                if made != wanted:
                    continue
                agent = next(a for a in scene.agents if a.name == message.event.agent)
                scene.agents.remove(agent)
                agent.kill()
                await scene.agent(agent.name, "--slots", "2")
                wanted = next(places, 0)
                if not wanted:
                    return


@pytest.mark.timeout(240)
async def test_each_effect_counts_once_however_often_all_is_killed(scene: Scene) -> None:
    effects = scene.folder / "effects"
    for name in ("one", "two"):
        await scene.agent(name, "--slots", "2")
    journal = await create(scene.client, thirty(effects))
    stage = Stage(scene, journal.name)
    killing = asyncio.ensure_future(kill_agents(scene, [3, 12, 22]))
    for count in (2, 4, 7, 11, 16, 20):
        controller = stage.controller()
        await stage.decided(count)
        assert controller.poll() is None, "it ended by itself"
        controller.kill()
        controller.wait()
    last = stage.controller()
    await stage.ended(last)
    await killing

    run = await stage.run()
    assert run.state == "completed" and last.returncode == 0
    results = [one["part"] for fact in await stage.facts() for one in fact.fact.get("results", ())]
    assert len(run.parts) == 30
    assert Counter(results) == dict.fromkeys(run.parts, 1)
    completed = {one.result.task for one in run.parts.values() if isinstance(one, Done)}
    lines = [line.split() for line in effects.read_text().splitlines()]
    assert {(name, task) for name, task, _ in lines} == {
        (name, one.result.task) for name, one in run.parts.items() if isinstance(one, Done)
    }, "a part ran as two tasks"
    for task in completed:
        known = await scene.client.get(task)
        assert known.name_of_state == "completed"
        attempts = [int(number) for _, name, number in lines if name == task]
        # An attempt whose agent died may have done its work, too; what counts is the one that the
        # log has the end of.
        assert attempts[-1] == known.past[-1].number
        assert all(one.end and one.end.outcome is None for one in known.past[:-1])
    await scene.verdict()

    again = await create(scene.client, thirty(effects))
    second = Stage(scene, again.name)
    controller = second.controller()
    await second.ended(controller)
    run = await second.run()
    assert run.state == "completed"
    assert all(isinstance(one, Done) and one.result.reused for one in run.parts.values())
    assert len(effects.read_text().splitlines()) == len(lines)


async def test_a_controller_that_another_has_followed_decides_nothing_more(scene: Scene) -> None:
    effects = scene.folder / "effects"
    journal = await create(scene.client, thirty(effects))
    stage = Stage(scene, journal.name)
    first = stage.controller()
    await stage.decided(2)
    second = stage.controller()
    agent = await scene.agent("one", "--slots", "2")
    await stage.ended(first)
    await stage.ended(second)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (await stage.run()).state == "completed"
    speakers = [fact.holder for fact in await stage.facts() if fact.holder]
    assert speakers == sorted(speakers)
    assert agent.process.poll() is None


async def test_a_controller_is_a_task_that_is_started_again(scene: Scene) -> None:
    """As a user's run has it: by an agent for services, which is killed, too."""
    effects = scene.folder / "effects"
    await scene.agent("one", "--slots", "2")
    light = await scene.agent("light", "--queues", "services", "--slots", "2", "--allow-client")
    journal = await create(scene.client, thirty(effects))
    stage = Stage(scene, journal.name)
    service = await start_service(scene.client, "pipeline", journal.name)
    await stage.decided(4)
    light.kill()
    await scene.agent("light", "--queues", "services", "--slots", "2", "--allow-client")
    await scene.end(service.task.id)
    assert (await stage.run()).state == "completed"
    assert len({fact.holder for fact in await stage.facts() if fact.holder}) == 2
