"""Results that outlive the agent that could not hand them in."""

import pytest

from evq.agent.attempts.results import Result, Results
from evq.core import state
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.decide import Claim, DeclareLost, Finish, Holder
from evq.core.events import Outcome
from evq.core.handle import handle, load
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import Command, Spec

HOLDER = Holder("one", 1)


@pytest.fixture
def memory():
    return MemoryBus(MemoryServer())


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


async def claimed(bus):
    """A task that instance `one` of an agent has claimed."""
    spec = Spec(entry=Command(("true",)), name="t", queue="q")
    receipt = await Client(bus).enqueue(spec)
    claim = Claim("agent", "one", 0, receipt.seq, 10.0)
    return (await handle(bus.log, Author("agent"), await load(bus.log, receipt.seq), claim)).task


def done(task) -> Result:
    return Result(task.origin, Finish(HOLDER, Outcome.COMPLETED, 0))


async def test_the_next_agent_hands_a_result_in(memory, results, tmp_path):
    task = await claimed(memory)
    results.keep(f"{task.id}-1", done(task))
    await Results(tmp_path / "results").hand_in(memory, Author("agent"))
    ended = await load(memory.log, task.origin)
    assert isinstance(ended.state, state.Ended) and ended.state.exit_code == 0
    assert list((tmp_path / "results").iterdir()) == []


async def test_a_result_that_is_in_the_log_is_forgotten(results, tmp_path, memory):
    task = await claimed(memory)
    results.keep(f"{task.id}-1", done(task))
    results.keep(f"{task.id}-1", done(task))
    results.forget(f"{task.id}-1")
    results.forget("never-kept")
    assert list((tmp_path / "results").iterdir()) == []


async def test_a_result_that_comes_too_late_changes_nothing(memory, results, tmp_path):
    task = await claimed(memory)
    results.keep(f"{task.id}-1", done(task))
    await handle(memory.log, Author("other"), task, DeclareLost(1, "silent"))
    before = await memory.log.last_seq()
    await results.hand_in(memory, Author("agent"))
    assert await memory.log.last_seq() == before
    assert list((tmp_path / "results").iterdir()) == []


async def test_what_cannot_be_read_does_not_stand_in_the_way(memory, results, tmp_path):
    task = await claimed(memory)
    (tmp_path / "results" / "a.json").write_bytes(b"{\xff")
    (tmp_path / "results" / "b.json").write_bytes(b'{"origin": 999, "finish": {}}')
    (tmp_path / "results" / "c.part").write_bytes(b"half")
    results.keep("z-1", done(task))
    unknown = Result(999, done(task).finish)
    results.keep("y-1", unknown)
    await results.hand_in(memory, Author("agent"))
    assert isinstance((await load(memory.log, task.origin)).state, state.Ended)
    assert not list((tmp_path / "results").glob("*.json"))
