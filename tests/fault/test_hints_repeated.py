"""A task may have many hints, at any time: it runs once, and they all are used up."""

from __future__ import annotations

import secrets

import msgspec
from scene import LEASE, Scene
from waiting import until

from evq.core import wire
from evq.core.events import Again, Claimed, Finished, Outcome, Retry, Started
from evq.core.ports import Entry
from evq.core.subjects import LIFECYCLE_STREAM, Level, hint

LEVEL = Level("q", 5)


async def repeat_hint(scene: Scene, task: str) -> None:
    """Append one more hint for the task."""
    origin = dict(scene.acked)[task]
    envelope = scene.client.author.envelope(Again(task, origin))
    entry = Entry(hint(LEVEL, task), wire.encode(envelope), secrets.token_hex(4))
    await scene.client.bus.log.append(entry)


async def used_up(scene: Scene) -> bool:
    """Whether no hint waits, and none is in anybody's hands."""
    where = f"{LIFECYCLE_STREAM}.{LEVEL.consumer}"
    info = msgspec.json.decode(await scene.client.bus.requests.api(f"CONSUMER.INFO.{where}"))
    return bool(info["num_pending"] == 0 and info["num_ack_pending"] == 0)


async def test_repeated_hints_of_a_running_task_are_dropped(scene: Scene) -> None:
    go = scene.gate("go")
    await scene.agent("one", "--slots", "2")
    await scene.agent("two", "--slots", "2")
    task = await scene.enqueue(f"until={go}")
    await scene.event(task, Started)
    for _ in range(4):
        await repeat_hint(scene, task)
    # Longer than a lease: a hint that is taken for the task's own would take the task over.
    await scene.passes(LEASE + 3.0)
    assert scene.kinds(task) == ["claimed1", "started1"]
    go.touch()
    await scene.end(task)
    await repeat_hint(scene, task)
    await until(lambda: used_up(scene), "no hint left")
    assert scene.kinds(task) == ["claimed1", "started1", "finished1"]
    await scene.verdict()


async def test_repeated_hints_of_a_waiting_task_make_one_run(scene: Scene) -> None:
    tasks = [await scene.enqueue("seconds=0.1") for _ in range(6)]
    for task in tasks * 2:
        await repeat_hint(scene, task)
    await scene.agent("one", "--slots", "3")
    await scene.agent("two", "--slots", "3")
    for task in tasks:
        assert isinstance(await scene.end(task), Finished)
    await until(lambda: used_up(scene), "no hint left")
    for task in tasks:
        assert scene.kinds(task) == ["claimed1", "started1", "finished1"]
    await scene.verdict()


async def test_a_repeated_hint_does_not_shorten_the_delay_before_a_retry(scene: Scene) -> None:
    await scene.agent("one", "--slots", "2")
    await scene.agent("two", "--slots", "2")
    task = await scene.enqueue("exit=1", retries=2)
    retry = await scene.event(task, Retry)
    for _ in range(3):
        await repeat_hint(scene, task)
    await scene.event(task, Claimed, 2)
    claimed = await age(scene, Claimed, 2)
    assert await age(scene, Retry) - claimed >= retry.delay
    await scene.end(task)
    await until(lambda: used_up(scene), "no hint left")
    await scene.verdict()


async def age(scene: Scene, kind: type, attempt: int = 1) -> float:
    """How old the attempt's event of that kind is by the server's clock, in seconds."""
    log = scene.client.bus.log
    for seq in range(1, await log.last_seq() + 1):
        stored = await log.get(seq)
        message = wire.decode(stored.data) if stored else None
        event = message.event if isinstance(message, wire.Envelope) else None
        if isinstance(event, kind) and getattr(event, "attempt", 0) == attempt:
            return await log.age(seq)
    raise AssertionError(f"no {kind.__name__} of attempt {attempt}")


async def test_a_repeated_hint_does_not_hide_a_dead_holder(scene: Scene) -> None:
    go = scene.gate("go")
    one = await scene.agent("one")
    task = await scene.enqueue(f"until={go}")
    await scene.runs(task)
    await scene.agent("two")
    await repeat_hint(scene, task)
    await until(lambda: used_up_but_one(scene))
    one.kill()
    await scene.runs(task, attempt=2)
    go.touch()
    assert (await scene.end(task)).outcome is Outcome.COMPLETED
    await until(lambda: used_up(scene), "no hint left")
    await scene.verdict()


async def used_up_but_one(scene: Scene) -> bool:
    """Whether the only hint left is the one in its holder's hands."""
    where = f"{LIFECYCLE_STREAM}.{LEVEL.consumer}"
    info = msgspec.json.decode(await scene.client.bus.requests.api(f"CONSUMER.INFO.{where}"))
    return bool(info["num_pending"] == 0 and info["num_ack_pending"] == 1)
