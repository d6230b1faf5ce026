"""What controllers do while they live: overlap, metrics, long queues, webhooks that fail."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from projecting import Projector
from receiver import receiving

from evq.core.events import Cause, Started
from evq.core.fleet.services import QUEUE
from evq.core.journal import Decided
from evq.core.ports import Entry
from evq.core.sdk.author import now
from evq.core.sdk.services import start_service
from evq.core.spec import Command, Inline, Spec
from evq.core.state import Ended, Held
from evq.core.subjects import service_events
from evq.core.wire import encode
from evq.services.schedule import controller as schedules
from evq.services.schedule.facts import Asked, Defined, Refused
from evq.services.schedule.last import unended
from evq.services.schedule.when import Once
from evq.services.trigger import controller as triggers
from evq.services.trigger.conditions import Condition, Crossing, Events, Filter, LongQueue
from evq.services.trigger.facts import Defined as TriggerDefined
from evq.services.trigger.facts import Do, Done, Enqueue, Webhook

FAR = 10**15
"""Microseconds: so far ahead that nothing is due by itself."""


@pytest.fixture
def served(apart: Any, start_agent: Callable[..., Any], own_nats_server: Any) -> Any:
    """A queue for tasks on a server of its own; an agent serves it and that for services."""
    queues = [type(apart)(apart.client, QUEUE), apart]
    options = ("--services", "--slots=6", "--allow-client", "--lease=300", "--drain-timeout=0.1")
    start_agent(queues, *options, login=own_nats_server.login).ready()
    return apart


def spec(queue: str, *argv: str, **more: Any) -> Spec:
    return Spec(entry=Command(argv), name="made", queue=queue, manager="none", **more)


class Board:
    """Schedules that run when they are asked to."""

    def __init__(self, served: Any, until: Any) -> None:
        self.client = served.client
        self._until = until

    async def define(self, name: str, task: Spec, **more: Any) -> Any:
        journal = schedules.open_journal(self.client, name)
        await journal.load()
        defined = Defined(when=Once(at=now() + FAR, zone="UTC"), spec=task, **more)
        await journal.decide(lambda _: (defined, "is defined"))
        await start_service(self.client, "schedule", schedules.CONTROLLER)
        return journal

    async def ask(self, journal: Any) -> str:
        """Let it run now; the task that it has enqueued then."""
        before = journal.state.runs
        await journal.decide(lambda _: (Asked("now"), "is to run now"))

        async def ran() -> bool:
            await journal.catch_up()
            return bool(journal.state.runs > before)

        await self._until(ran)
        return str(journal.state.last.task)


async def test_while_the_last_one_runs_the_next_waits_or_takes_its_place(
    served: Any, until: Any
) -> None:
    board = Board(served, until)
    replaces = await board.define("replaces", spec(served.name, "sleep", "1000"), overlap="replace")
    waits = await board.define("waits", spec(served.name, "sleep", "1000"), overlap="queue")
    first, second = await board.ask(replaces), await board.ask(waits)
    await served.event(first, Started)
    third, fourth = await board.ask(replaces), await board.ask(waits)
    assert len({first, second, third, fourth}) == 4
    assert (await served.ended(first)).name_of_state == "aborted"
    await served.event(third, Started)
    assert isinstance((await served.client.get(fourth)).state, Held)
    await served.client.abort(second, "enough")
    await served.event(fourth, Started)
    for task in (third, fourth):
        await served.client.abort(task, "enough")
        await served.ended(task)


async def test_each_time_an_array_is_enqueued(served: Any, until: Any) -> None:
    board, client = Board(served, until), served.client
    sleeps = spec(served.name, "sleep", "100{index}")
    journal = await board.define("seeds", sleeps, overlap="replace", array="2-4%1")
    first = await client.members(await board.ask(journal))
    assert [one.spec.entry.argv[1] for one in first] == ["1002", "1003", "1004"]
    assert {one.spec.tags for one in first} == {("schedule:seeds",)}
    await served.event(first[0].id, Started)
    last = journal.state.last
    assert await unended(client, last, all_of_them=True) == [one.id for one in first[::-1]]
    # All at once: no member that is held gets its turn when the one before it is aborted.
    second = await client.members(await board.ask(journal))
    ended = [await served.ended(one.id) for one in first]
    assert {one.name_of_state for one in ended} == {"aborted"}
    assert [len(one.attempts) for one in ended] == [1, 0, 0]
    assert await unended(client, last, all_of_them=False) == []
    for one in second[::-1]:
        await client.abort(one.id, "enough")
    for one in second:
        await served.ended(one.id)
    words = [one.words for one in await schedules.open_journal(client, "seeds").catch_up()]
    assert words[-1].startswith(f"enqueued array {journal.state.last.task}; next ")


async def test_an_array_waits_for_all_of_the_last_one(served: Any, until: Any) -> None:
    board, client = Board(served, until), served.client
    sleeps = spec(served.name, "sleep", "1000")
    journal = await board.define("line", sleeps, overlap="queue", array="0-1")
    first = await client.members(await board.ask(journal))
    second = await client.members(await board.ask(journal))
    for one in second:
        assert isinstance(one.state, Held)
        assert {known.task for known in one.spec.after} == {member.id for member in first}
    for one in first:
        await client.abort(one.id, "enough")
    for one in second:
        await served.event(one.id, Started)
        await client.abort(one.id, "enough")
        await served.ended(one.id)


async def test_a_trigger_enqueues_an_array_for_each_match(served: Any, until: Any) -> None:
    do = Enqueue(spec("made", "echo", "{index}"), "0-2%1")
    on = Events(("completed",), Filter(queue=served.name))
    journal, _ = await trigger(served.client, "sweeps", on, do)
    task = await served.run("true")
    await done(journal, until)
    (array,) = [
        one.fact.task
        for one in await triggers.open_journal(served.client, "sweeps").catch_up()
        if isinstance(one.fact, Done)
    ]
    assert f"enqueued array {array}" in await journal_words(served.client, "sweeps")
    members = await served.client.members(array)
    assert [one.spec.entry.argv[1] for one in members] == ["0", "1", "2"]
    assert {one.spec.variables["EVQ_TRIGGER_TASK"] for one in members} == {task.id}


async def test_a_schedule_that_cannot_be_read_or_enqueued_harms_no_other(
    served: Any, until: Any
) -> None:
    board = Board(served, until)
    unknown = Decided(service="schedule", name="newer", words="?", fact={"type": "moon phase"})
    envelope = served.client.author.envelope(unknown)
    subject = service_events("schedule", "newer")
    await served.client.bus.log.append(Entry(subject, encode(envelope), envelope.id))
    wrong = await board.define("wrong", spec(served.name, "true", priority=77))
    right = await board.define("right", spec(served.name, "true"))
    await wrong.decide(lambda _: (Asked("now"), "is to run now"))
    task = await board.ask(right)
    assert (await served.ended(task)).name_of_state == "completed"
    assert (await served.client.get(task)).spec.tags == ("schedule:right",)

    async def refused() -> list[Any]:
        noted = await schedules.open_journal(served.client, "wrong").catch_up()
        return [one for one in noted if isinstance(one.fact, Refused)]

    (one,) = await until(refused)
    assert "priority 77 is out of range" in one.words


async def trigger(client: Any, name: str, on: Condition, do: Do) -> Any:
    journal = triggers.open_journal(client, name)
    await journal.load()
    telemetry = await client.bus.telemetry.last_seq()
    defined = TriggerDefined(on=on, do=do, telemetry=telemetry)
    await journal.decide(lambda _: (defined, "is defined"))
    controller = await start_service(client, "trigger", triggers.CONTROLLER)
    return journal, controller.task.id


async def done(journal: Any, until: Any, count: int = 1) -> None:
    async def all_done() -> bool:
        await journal.catch_up()
        return bool(journal.state.done + journal.state.gave_up >= count)

    await until(all_done)


async def test_a_metric_that_crosses_a_line_ends_its_task(served: Any, until: Any) -> None:
    """As docs/triggers.md has it: the command finds `evq`, a login, and the task."""
    command = spec(QUEUE, "sh", "-c", 'evq abort "$EVQ_TRIGGER_TASK"', client=True)
    do = Enqueue(replace(command, manager="agent"))
    on = Crossing(metric="loss", op=">", value=100.0, which=Filter(queue=served.name))
    journal, _ = await trigger(served.client, "diverged", on, do)
    fine = await served.run(entry=Inline("import evq; evq.log({'loss': 1})"))
    code = (
        "import evq, time; evq.log({'loss': 5}); evq.log({'loss': 500}, step=7); time.sleep(1000)"
    )
    task = await served.ended(await served.enqueue(entry=Inline(code)))
    assert isinstance(task.state, Ended) and task.state.cause is Cause.ABORT
    await done(journal, until)
    assert journal.state.matches == 1 and fine.id != task.id
    assert f"task {task.id}" in (await journal_words(served.client, "diverged"))[-2]
    assert "loss is 500 at step 7" in (await journal_words(served.client, "diverged"))[-2]


async def journal_words(client: Any, name: str) -> list[str]:
    return [one.words for one in await triggers.open_journal(client, name).catch_up()]


async def test_a_queue_that_is_too_long_is_told_once(
    served: Any, until: Any, own_nats_server: Any, tmp_path: Path
) -> None:
    projector = Projector(own_nats_server.login, tmp_path / "projector", until)
    await projector.start()
    try:
        on = LongQueue(queue="busy", more_than=2)
        journal, _ = await trigger(served.client, "busy", on, Enqueue(spec("made", "true")))
        tasks = [(await served.client.enqueue(spec("busy", "true"))).task for _ in range(3)]
        await done(journal, until)
        assert journal.state.long
        assert "matches: queue busy has 3 tasks" in await journal_words(served.client, "busy")
        await served.client.abort(tasks[0], "fewer")

        async def shorter() -> bool:
            await journal.catch_up()
            return not journal.state.long

        await until(shorter)
        assert journal.state.matches == 1
        await served.client.enqueue(spec("busy", "true"))
        await done(journal, until, 2)
    finally:
        projector.end(signal.SIGTERM)


async def test_a_webhook_that_fails_is_called_again_under_its_key(served: Any, until: Any) -> None:
    calls: list[str] = []

    def take(path: str, headers: Mapping[str, str], body: bytes) -> int:
        calls.append(headers["idempotency-key"])
        return 503 if len(calls) < 3 else 204

    with receiving(take) as address:
        on = Events(("failed",), Filter(queue=served.name))
        journal, _ = await trigger(served.client, "hook", on, Webhook(f"http://{address}/hook"))
        await served.run("sh", "-c", "echo gone wrong >&2; exit 3")
        await done(journal, until)
    assert journal.state.done == 1 and len(calls) == 3 and len(set(calls)) == 1
    assert calls[0].startswith("trigger-hook-")
    assert "the webhook answered 204" in await journal_words(served.client, "hook")
