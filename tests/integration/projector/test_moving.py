"""Tasks moved by what a projector knows of the line: they stand where they were put, and back."""

from __future__ import annotations

import random
import shlex
from typing import Any

import pytest
from msgspec.structs import replace
from projecting import caught_up

from evq.cli.fleet.move import move as verb
from evq.cli.fleet.move import undo
from evq.core.errors import NotFound, UsageError
from evq.core.sdk.moving import Back, Before, End, Front, Mover, Outcome, Step, Where
from evq.core.spec import Command, Spec

SPEC = Spec(entry=Command(("true",)), name="t", queue="q")


@pytest.fixture
async def line(projector: Any, user: Any) -> Any:
    """Six tasks that wait in `q`: two of priority 7, then four of priority 5."""
    await projector.start()
    specs = [replace(SPEC, priority=priority) for priority in (7, 7, 5, 5, 5, 5)]
    return [receipt.task for receipt in await user.enqueue_many(specs)]


async def stand(user: Any, queue: str = "q") -> list[tuple[str, int]]:
    """Who waits in the queue, with which priority, in order."""
    return [(row["task"], row["priority"]) for row in await user.ask("line", queue=queue)]


async def moved(user: Any, tasks: list[str], where: Where, **there: Any) -> list[Outcome]:
    await caught_up(user)
    done = await Mover(user, "a test", **there).move(tasks, where)
    assert not any(one.error for one in done), done
    return done


async def run(user: Any, command: str) -> None:
    """Carry a printed `evq move …` out as the command line would."""
    evq, name, *words = shlex.split(command)
    assert (evq, name) == ("evq", "move")
    given = verb.make_context("move", words).params
    where: Where = End()
    if given["up"] or given["down"]:
        where = Step(given["down"] or -given["up"])
    elif given["before"]:
        where = Before(given["before"])
    await moved(user, list(given["tasks"]), where, queue=given["queue"], priority=given["priority"])


async def test_places(user: Any, line: list[str]) -> None:
    a, b, c, d, e, f = line
    await moved(user, [e], Front())
    assert await stand(user) == [(e, 7), (a, 7), (b, 7), (c, 5), (d, 5), (f, 5)]
    (done,) = await moved(user, [c], Step(-1))
    assert (done.before.position, done.after.position, done.after.total) == (4, 3, 6)
    assert await stand(user) == [(e, 7), (a, 7), (c, 7), (b, 7), (d, 5), (f, 5)]
    await moved(user, [e, a], Step(3))
    assert await stand(user) == [(c, 7), (b, 7), (d, 5), (e, 5), (a, 5), (f, 5)]
    await moved(user, [c], Back())
    assert await stand(user) == [(b, 7), (d, 5), (e, 5), (a, 5), (f, 5), (c, 5)]
    await moved(user, [c, f], Before(b))
    assert await stand(user) == [(c, 7), (f, 7), (b, 7), (d, 5), (e, 5), (a, 5)]
    await moved(user, [d, c], Back(), priority=7)
    assert await stand(user) == [(f, 7), (b, 7), (d, 7), (c, 7), (e, 5), (a, 5)]


async def test_another_queue(user: Any, line: list[str]) -> None:
    a, b, c, *_ = line
    await moved(user, [a, c], End(), queue="r")
    assert await stand(user, "r") == [(a, 7), (c, 5)]
    await moved(user, [b], Front(), queue="r", priority=5)
    assert await stand(user, "r") == [(a, 7), (b, 5), (c, 5)]
    (done,) = await moved(user, [line[3]], Before(c))
    assert (done.after.queue, done.after.position) == ("r", 3)


async def test_what_cannot_be(user: Any, line: list[str]) -> None:
    a, b, c, *_ = line
    await user.dequeue(b, "not now")
    mover = Mover(user, "a test")
    for where in (Front(), Step(-1), End()):
        one, other = await mover.move([b, c], where)
        assert (one.task, other.task) == (b, c)
        assert one.error and "waits in no queue" in one.error.what and one.now is None
        assert other.now and not other.error
    with pytest.raises(NotFound, match="waits in no queue"):
        await mover.move([a], Before(b))
    with pytest.raises(UsageError, match="before itself"):
        await mover.move([a], Before(a))
    with pytest.raises(UsageError, match="does not stand there"):
        await Mover(user, "a test", priority=9).move([a], Before(c))


async def test_the_same_gap_again_and_again(user: Any, line: list[str]) -> None:
    """After some fifty halvings no number is left between two ranks; there is always room."""
    target = line[-1]
    tasks = [receipt.task for receipt in await user.enqueue_many([SPEC] * 70)]
    for task in tasks:
        await moved(user, [task], Before(target))
    order = [task for task, _ in await stand(user)]
    assert (await user.ask("line", queue="q", limit=100))[-1]["task"] == target
    rows = await user.ask("line", queue="q", limit=100)
    assert [row["task"] for row in rows] == [*line[:-1], *tasks, target]
    assert len({row["rank"] for row in rows if row["priority"] == 5}) == 74
    assert order[:5] == line[:5]


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_printed_undoes_it(user: Any, line: list[str], seed: int) -> None:
    chance = random.Random(seed)
    await user.enqueue_many([replace(SPEC, queue="r", priority=priority) for priority in (9, 5)])
    for _ in range(8):
        before = await stand(user), await stand(user, "r")
        tasks = [
            task for task, _ in chance.sample(before[0] or before[1], chance.choice((1, 1, 3)))
        ]
        others = [task for task, _ in before[0] + before[1] if task not in tasks]
        where: Where = chance.choice(
            (Front(), Back(), Step(chance.choice((-9, -2, -1, 1, 2, 9))), Before(others[0]), End())
        )
        there: dict[str, Any] = {}
        if isinstance(where, End | Front | Back):
            there = chance.choice(({"queue": "r"}, {"priority": chance.randrange(10)}, {}))
        done = await moved(user, tasks, where, **there)
        for command in undo(done):
            await run(user, command)
        assert (await stand(user), await stand(user, "r")) == before, (tasks, where, there)
        await moved(user, tasks[:1], chance.choice((Front(), Back())))  # go on from elsewhere
