"""Tasks that wait for others: told in the very batch of the end, whoever ends what they await."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from evq.agent.attempts.claim import Claimer
from evq.agent.config import Config
from evq.core import handle as handling
from evq.core import subjects, wire
from evq.core.decide import Abort, Claim, Finish, Holder, Rejected
from evq.core.errors import NotFound, UsageError
from evq.core.events import Again, Cause, DependenciesEnded, Envelope, Outcome
from evq.core.handle import find, handle, load_gang
from evq.core.ports import BusAway, Delivery, Entry
from evq.core.sdk.author import Author
from evq.core.sdk.client import Client
from evq.core.spec import MOST_AWAITED, After, Command, Spec
from evq.core.state import Ended, Queued, Task
from evq.core.subjects import Level

AUTHOR = Author("agent")
LEVEL = Level("q", 5)


def spec(*after: After, **more: Any) -> Spec:
    return Spec(entry=Command(("true",)), name="t", queue="q", after=after, **more)


class Stage:
    """A client, and an agent that is played by its events."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.client = Client(bus)
        self._had = 0

    async def enqueue(self, *after: After, **more: Any) -> str:
        return (await self.client.enqueue(spec(*after, **more))).task

    async def state(self, task: str) -> str:
        return (await self.client.get(task)).name_of_state

    async def claim(self, task: str) -> Holder:
        known = await self.client.get(task)
        failure = known.state.failure if isinstance(known.state, Queued) else 0
        claim = Claim("a", "i", 0, known.place.hint, 10.0, failure)
        written = await handle(self.bus.log, AUTHOR, known, claim)
        assert written.task.live
        return Holder("i", written.task.live.number)

    async def end(self, task: str, outcome: Outcome = Outcome.COMPLETED) -> Task:
        holder = await self.claim(task)
        known = await self.client.get(task)
        return (await handle(self.bus.log, AUTHOR, known, Finish(holder, outcome))).task

    async def taken(self) -> list[Delivery]:
        """The hints that wait in the queue. The server counts what it has stored a moment later,
        and until then it says that there is nothing."""
        newest = await self.bus.log.last(LEVEL.filter)
        found = list(await self.bus.hints.take(LEVEL, 2000))
        while max([self._had, *(one.seq for one in found)]) < newest.seq:
            found += await self.bus.hints.take(LEVEL, 2000)
        self._had = newest.seq
        return found

    async def hints(self) -> list[str]:
        """The tasks whose hints wait in the queue, each acknowledged."""
        found = await self.taken()
        for delivery in found:
            await delivery.done()
        return [delivery.task for delivery in found]

    async def kinds(self, task: str) -> list[str]:
        history = await self.bus.log.history(subjects.lifecycle("q", task))
        return [str(event_of(stored).__struct_config__.tag) for stored in history]


def event_of(stored: Any) -> Any:
    message = wire.decode(stored.data)
    assert isinstance(message, Envelope)
    return message.event


@pytest.fixture
async def stage(bus: Any) -> Stage:
    return Stage(bus)


async def test_what_awaits_a_task_is_held_until_it_has_completed(stage: Stage) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    assert await stage.state(second) == "held"
    with pytest.raises(Rejected, match="waits for other tasks"):
        await stage.claim(second)
    assert await stage.hints() == [first, second]
    await stage.end(first)
    assert await stage.state(second) == "queued"
    assert await stage.hints() == [second]
    assert (await stage.client.get(first)).awaited_by == (second,)


async def test_the_end_the_word_of_it_and_the_hint_are_one_batch(stage: Stage) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    ended = await stage.end(first)
    word = await stage.bus.log.last(subjects.lifecycle("q", second))
    hint = await stage.bus.log.last(subjects.hint(LEVEL, second))
    assert isinstance(event_of(word), DependenciesEnded) and isinstance(event_of(hint), Again)
    assert (word.seq, hint.seq) == (ended.seq + 1, ended.seq + 2)


@pytest.mark.parametrize(
    ("on", "outcome", "state"),
    [
        ("ok", Outcome.COMPLETED, "queued"),
        ("ok", Outcome.FAILED, "aborted"),
        ("ok", Outcome.ABORTED, "aborted"),
        ("failed", Outcome.COMPLETED, "aborted"),
        ("failed", Outcome.FAILED, "queued"),
        ("failed", Outcome.TIMED_OUT, "queued"),
        ("failed", Outcome.ABORTED, "queued"),
        ("any", Outcome.COMPLETED, "queued"),
        ("any", Outcome.TIMED_OUT, "queued"),
    ],
)
@pytest.mark.parametrize("before", [True, False])
async def test_each_condition_and_each_end(
    stage: Stage, on: Any, outcome: Outcome, state: str, before: bool
) -> None:
    """`before`: the task is there before the end of what it awaits, or enqueued after it."""
    first = await stage.enqueue()
    if before:
        second = await stage.enqueue(After(first, on))
        await stage.end(first, outcome)
    else:
        await stage.end(first, outcome)
        second = await stage.enqueue(After(first, on))
    task = await stage.client.get(second)
    assert task.name_of_state == state
    if state == "aborted":
        assert isinstance(task.state, Ended)
        assert (task.state.cause, first in task.state.evidence) == (Cause.DEPENDENCY, True)
    else:
        assert second in await stage.hints()


async def test_what_can_never_run_takes_its_chain_along(stage: Stage) -> None:
    """first → second → third, and one that runs because the third did not."""
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    third = await stage.enqueue(After(second))
    cleaner = await stage.enqueue(After(third, "failed"))
    end = await stage.end(first, Outcome.FAILED)
    assert [await stage.state(one) for one in (second, third, cleaner)] == [
        "aborted", "aborted", "queued",
    ]  # fmt: skip
    assert await stage.bus.log.last_seq() == end.seq + 4


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED])
async def test_a_diamond(stage: Stage, outcome: Outcome) -> None:
    top = await stage.enqueue()
    left, right = await stage.enqueue(After(top)), await stage.enqueue(After(top))
    bottom = await stage.enqueue(After(left, "any"), After(right, "any"), After(top, "any"))
    await stage.hints()
    await stage.end(top, outcome)
    if outcome is Outcome.COMPLETED:
        assert await stage.state(bottom) == "held"
        await stage.end(left)
        assert await stage.state(bottom) == "held"
        await stage.end(right)
    assert await stage.state(bottom) == "queued"
    assert (await stage.hints()).count(bottom) == 1


async def test_ends_at_the_same_moment_let_a_task_go_once(stage: Stage, peer: Any) -> None:
    awaited = [await stage.enqueue() for _ in range(12)]
    last = await stage.enqueue(*map(After, awaited))
    await stage.hints()
    stages = [stage, Stage(peer)]
    await asyncio.gather(*(stages[n % 2].end(task) for n, task in enumerate(awaited)))
    assert await stage.state(last) == "queued"
    assert await stage.hints() == [last]
    assert await stage.kinds(last) == ["dependencies_ended"] * 12


async def test_an_end_that_races_an_enqueue_is_not_missed(stage: Stage, peer: Any) -> None:
    for _ in range(20):
        first = await stage.enqueue()
        _, second = await asyncio.gather(stage.end(first), Stage(peer).enqueue(After(first)))
        assert await stage.state(second) == "queued"
        assert second in await stage.hints()


async def test_an_awaited_task_that_runs_again_has_ended_for_those_who_waited(
    stage: Stage,
) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    await stage.end(first, Outcome.FAILED)
    await stage.client.retry(first, "once more")
    third = await stage.enqueue(After(first))
    assert (await stage.state(second), await stage.state(third)) == ("aborted", "held")
    await stage.end(first)
    assert (await stage.state(second), await stage.state(third)) == ("aborted", "queued")


async def test_a_task_with_retries_left_has_not_ended(stage: Stage) -> None:
    first = await stage.enqueue(retries=1)
    second = await stage.enqueue(After(first))
    await stage.end(first, Outcome.FAILED)
    assert await stage.state(second) == "held"
    await stage.end(first)
    assert await stage.state(second) == "queued"


async def test_a_task_that_is_held_can_be_aborted(stage: Stage) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    third = await stage.enqueue(After(second, "any"))
    await stage.client.abort(second, "never mind")
    assert (await stage.state(second), await stage.state(third)) == ("aborted", "queued")
    await stage.end(first)
    assert await stage.kinds(second) == ["awaited", "aborted"]


async def test_retry_lets_it_run_all_the_same(stage: Stage) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    await stage.client.abort(first, "never mind")
    await stage.client.retry(second, "all the same")
    assert await stage.state(second) == "queued"
    assert (await stage.end(second)).name_of_state == "completed"


async def test_many_at_once(stage: Stage) -> None:
    first, ended = await stage.enqueue(), await stage.enqueue()
    await stage.end(ended)
    specs = [spec(), spec(After(first)), spec(After(ended)), spec(After(ended), After(first))]
    receipts = await stage.client.enqueue_many(specs)
    assert [await stage.state(one.task) for one in receipts] == [
        "queued", "held", "queued", "held",
    ]  # fmt: skip
    assert [(await stage.client.get(one.task)).origin for one in receipts] == [
        one.seq for one in receipts
    ]
    await stage.end(first)
    assert await stage.state(receipts[3].task) == "queued"


async def test_more_than_a_batch_holds(stage: Stage) -> None:
    """A task that a thousand await: the first batch names those it has no room for in a hint."""
    first = await stage.enqueue()
    receipts = await stage.client.enqueue_many([spec(After(first))] * 1000)
    await stage.end(first)
    word = [await stage.state(one.task) for one in receipts[::97]]
    assert set(word) == {"queued"}
    hints = await stage.hints()
    assert {one.task for one in receipts} <= set(hints)
    assert hints.count(first) > 1


async def test_whoever_dies_in_between_leaves_a_hint(
    stage: Stage, peer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = await stage.enqueue()
    receipts = await stage.client.enqueue_many([spec(After(first, "failed"))] * 900)

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    await stage.hints()
    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(handling, "tell_the_rest", die)
        await stage.end(first, Outcome.FAILED)
    states = [await stage.state(one.task) for one in receipts[::50]]
    assert {"queued", "held"} == set(states)
    config = Config(name="b", queues=("q",), state=tmp_path, cache=tmp_path)
    claimer = Claimer(peer, Author("b"), config, "j", lambda: 0.0)
    for delivery in await Stage(peer).taken():
        if delivery.task == first:
            assert await claimer.claim(delivery, 0) is None
    assert {await stage.state(one.task) for one in receipts} == {"queued"}


async def test_a_lost_answer_changes_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is stored, and whoever sent it does not hear of it."""
    log, append_all = stage.bus.log, stage.bus.log.append_all
    lost: list[int] = []

    async def losing(entries: list[Entry]) -> int:
        seq = await append_all(entries)
        if len(entries) > 1 and len(lost) < 1:
            lost.append(seq)
            raise BusAway("the answer was lost")
        return int(seq)

    async def patience(_: BusAway) -> None:
        return

    first = await stage.enqueue()
    monkeypatch.setattr(log, "append_all", losing)
    second = await stage.enqueue(After(first))
    assert len(lost) == 1 and await stage.state(second) == "held"
    lost.clear()
    holder = await stage.claim(first)
    known = await stage.client.get(first)
    written = await handle(log, AUTHOR, known, Finish(holder, Outcome.COMPLETED), patience)
    assert written.task == await find(log, first)
    assert len(lost) == 1 and await stage.kinds(second) == ["dependencies_ended"]


async def test_a_key_that_was_used_gives_that_task(stage: Stage) -> None:
    first = await stage.enqueue()
    one = await stage.client.enqueue(spec(After(first), key="k"))
    other = await stage.client.enqueue(spec(After(first), key="k"))
    assert (one.task, one.seq, one.new, other.new) == (other.task, other.seq, True, False)
    assert (await stage.client.get(first)).awaited_by == (one.task,)


async def test_a_hint_of_a_held_task_is_dropped(stage: Stage, tmp_path: Path) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first))
    config = Config(name="a", queues=("q",), state=tmp_path, cache=tmp_path)
    claimer = Claimer(stage.bus, AUTHOR, config, "i", lambda: 0.0)
    ours, others = await stage.taken()
    assert (ours.task, others.task) == (first, second)
    assert await claimer.claim(others, 0) is None
    claimed = await claimer.claim(ours, 0)
    assert claimed
    await handle(stage.bus.log, AUTHOR, claimed, Finish(Holder("i", 1), Outcome.COMPLETED))
    (again,) = await stage.taken()
    assert await claimer.claim(again, 0)


async def test_only_tasks_that_exist_can_be_awaited(stage: Stage) -> None:
    with pytest.raises(NotFound):
        await stage.enqueue(After("0" * 12))
    with pytest.raises(UsageError, match="can be awaited"):
        await stage.enqueue(After("abc"))
    first = await stage.enqueue()
    with pytest.raises(UsageError, match="twice"):
        await stage.enqueue(After(first), After(first, "any"))
    many = [After(f"{n:012}") for n in range(MOST_AWAITED + 1)]
    with pytest.raises(UsageError, match="cannot await"):
        await stage.enqueue(*many)


async def test_an_abort_of_what_is_awaited_is_told_by_the_client(stage: Stage) -> None:
    first = await stage.enqueue()
    second = await stage.enqueue(After(first, "any"))
    written = await handle(stage.bus.log, AUTHOR, await stage.client.get(first), Abort("no"))
    assert isinstance(written.task.state, Ended)
    assert await stage.state(second) == "queued"


async def test_the_abort_of_a_gang_is_told_in_its_batch(stage: Stage) -> None:
    gang = await stage.enqueue(nodes=3)
    members = [member.id for member in await load_gang(stage.bus.log, await stage.client.get(gang))]
    after = await stage.enqueue(*(After(member, "any") for member in members))
    before = await stage.bus.log.last_seq()
    await stage.client.abort(gang, "never mind")
    assert await stage.state(after) == "queued"
    kinds = await stage.kinds(after)
    assert kinds == ["dependencies_ended"] * 3
    # An event for each member and each word of it, and one queue message.
    assert await stage.bus.log.last_seq() == before + 7


async def test_a_gang_that_waits_is_let_go_as_a_whole(stage: Stage) -> None:
    first = await stage.enqueue()
    gang = await stage.enqueue(After(first), nodes=3)
    members = await load_gang(stage.bus.log, await stage.client.get(gang))
    assert [one.name_of_state for one in members] == ["held"] * 3
    await stage.end(first)
    members = await load_gang(stage.bus.log, await stage.client.get(gang))
    assert [one.name_of_state for one in members] == ["queued"] * 3
