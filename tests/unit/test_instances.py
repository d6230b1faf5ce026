"""What a run of an agent leaves, and what the next one makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evq.agent.attempts.claim import Claimer
from evq.agent.config import Config
from evq.agent.gpus.ledger import Claim, Left
from evq.agent.gpus.pool import Assignment
from evq.agent.gpus.port import Gpu
from evq.agent.instances.diary import PAGE, Diary, Note, former
from evq.agent.instances.settle import Settler
from evq.core import state
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.decide import Finish, Holder
from evq.core.events import Cause, Outcome
from evq.core.handle import handle, load
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec
from evq.core.subjects import Level

LEVEL = Level("q", 5)
GPUS = Assignment((Gpu(id="GPU-0", index=0, name="A100", memory=80),))


# --- the diary ------------------------------------------------------------------------------------

LEAVE = """
import sys
from pathlib import Path
from evq.agent.instances.diary import Diary, Note
diary = Diary(Path(sys.argv[1]), "dead")
diary.begin(0, Note(5, "token-5"))
diary.begin(3, Note(7, "x" * 1000))
diary.begin(0, Note(6, "token-6"))
print("left", flush=True)
input()
"""


def test_the_notes_of_a_dead_run_are_found_and_those_of_a_living_one_are_not(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline()
    ours = Diary(tmp_path, "ours")
    (run,) = former(tmp_path, "ours")
    assert run.instance == "dead" and run.lives
    process.kill()
    process.communicate()
    assert not run.lives
    assert list(run.notes()) == [Note(6, "token-6"), Note(7)], (
        "a token that is too long is left out"
    )
    run.forget()
    assert former(tmp_path, "ours") == []
    ours.over()
    ours.close()


def test_a_note_that_was_not_written_to_its_end_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "dead").write_bytes(b'{"hint": 1'.ljust(PAGE) + b'{"hint": 2}'.ljust(PAGE))
    (run,) = former(tmp_path, "ours")
    assert list(run.notes()) == [Note(2)]


# --- the log --------------------------------------------------------------------------------------


class World:
    """A task that a dead run had claimed, its diary, and the run after it."""

    def __init__(self, folder: Path) -> None:
        self.bus: Any = MemoryBus(MemoryServer())
        self.runs = folder / "runs"
        config = Config(name="a", queues=("q",), state=folder, cache=folder)
        clock = lambda: 0.0  # noqa: E731
        self.dead = Claimer(self.bus, Author("a"), config, "dead", clock)
        self.ours = Claimer(self.bus, Author("a"), config, "ours", clock)
        self.settler = Settler(self.bus, Author("a"), "a", config.lease)

    async def enqueue(self, **settings: Any) -> int:
        spec = Spec(entry=Command(("true",)), name="t", queue="q", **settings)
        return (await Client(self.bus).enqueue(spec)).seq

    async def claim(self, claimer: Claimer) -> Any:
        (delivery,) = await self.bus.hints.take(LEVEL, 1)
        return await claimer.claim(delivery, 0, GPUS), delivery

    def note(self, delivery: Any) -> None:
        diary = Diary(self.runs, "dead")
        diary.begin(0, Note(delivery.seq, delivery.token))
        diary.close()

    def left(self, hint: int, *, token: int = 0, age: float = 0.0) -> Left:
        claim = Claim(task="t", hint=hint, agent="a", instance="dead", gpus=("GPU-0",), token=token)
        return Left(Path("/nowhere"), claim, age)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_dead_runs_task_is_taken_again_at_once(world: World) -> None:
    origin = await world.enqueue()
    task, delivery = await world.claim(world.dead)
    assert task.live.gpus == ("GPU-0",)
    world.note(delivery)
    assert await world.bus.hints.take(LEVEL, 1) == [], "its message is out"
    await world.settler.former_runs(world.runs, "ours")
    task = await load(world.bus.log, origin)
    assert isinstance(task.state, state.Queued) and task.losses == 1
    assert task.past[0].end.cause is Cause.LOST_AGENT
    assert former(world.runs, "ours") == []
    again, _ = await world.claim(world.ours)
    assert again.live.number == 2


async def test_what_the_dead_run_had_ended_is_left_as_it_is(world: World) -> None:
    origin = await world.enqueue()
    task, delivery = await world.claim(world.dead)
    world.note(delivery)
    end = Finish(Holder("dead", 1), Outcome.COMPLETED, 0)
    await handle(world.bus.log, Author("a"), task, end)
    before = await load(world.bus.log, origin)
    await world.settler.former_runs(world.runs, "ours")
    assert await load(world.bus.log, origin) == before


async def test_what_another_agent_took_over_is_left_to_it(world: World) -> None:
    origin = await world.enqueue()
    task, delivery = await world.claim(world.dead)
    world.note(delivery)
    lost = Finish(Holder("dead", 1), Outcome.FAILED, cause=Cause.INFRASTRUCTURE)
    await handle(world.bus.log, Author("a"), task, lost)
    await delivery.later(0)
    await world.claim(world.ours)
    before = await load(world.bus.log, origin)
    await world.settler.former_runs(world.runs, "newest")
    assert await load(world.bus.log, origin) == before


async def test_a_run_whose_processes_live_is_not_declared_lost(world: World) -> None:
    origin = await world.enqueue()
    _, delivery = await world.claim(world.dead)
    diary = Diary(world.runs, "dead")
    diary.begin(0, Note(delivery.seq, delivery.token))
    (run,) = former(world.runs, "ours")
    assert run.lives
    assert (await load(world.bus.log, origin)).live
    diary.close()
    await world.settler.former_runs(world.runs, "ours")
    assert (await load(world.bus.log, origin)).live is None


async def test_gpus_of_a_dead_attempt_are_free_when_it_is_lost_in_the_log(world: World) -> None:
    origin = await world.enqueue()
    task, delivery = await world.claim(world.dead)
    assert await world.settler.claim_of_gpus(world.left(delivery.seq, token=task.seq))
    assert (await load(world.bus.log, origin)).live is None
    assert await world.settler.claim_of_gpus(world.left(delivery.seq, token=task.seq))


async def test_a_claim_of_which_the_log_does_not_know_is_waited_for(world: World) -> None:
    origin = await world.enqueue()
    assert not await world.settler.claim_of_gpus(world.left(origin, age=9.0))
    assert await world.settler.claim_of_gpus(world.left(origin, age=11.0))
    _, delivery = await world.claim(world.dead)
    assert await world.settler.claim_of_gpus(world.left(delivery.seq)), "it has arrived"
    assert (await load(world.bus.log, origin)).live is None


async def test_a_claim_of_a_task_that_is_not_there_is_nobodys(world: World) -> None:
    assert await world.settler.claim_of_gpus(world.left(99))
