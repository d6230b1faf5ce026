"""Schedules, triggers, alerts whose controllers are killed: nothing missed, nothing doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest
from receiver import receiving

from evq.core import wire
from evq.core.events import Enqueued, Started
from evq.core.fleet.services import QUEUE
from evq.core.queueing.queues import QueuePaused, QueueResumed
from evq.core.sdk.author import now
from evq.core.sdk.client import Client
from evq.core.sdk.services import service, start_service
from evq.core.spec import Command, Spec
from evq.services.alert import controller as alerts
from evq.services.alert.facts import Defined as AlertDefined
from evq.services.alert.facts import Told
from evq.services.schedule import controller as schedules
from evq.services.schedule.due import due_between
from evq.services.schedule.facts import Defined, Due, Ran, Skipped
from evq.services.schedule.when import Every
from evq.services.trigger import controller as triggers
from evq.services.trigger.conditions import Events
from evq.services.trigger.facts import Defined as TriggerDefined
from evq.services.trigger.facts import Do, Enqueue, Tell, Webhook

SECOND = 1_000_000
EVENTS = 100


class Receiver:
    """A local web server that keeps what it is sent, in order: path, key, body."""

    address: str

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, Any]]] = []

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        self.got.append((path, headers.get("idempotency-key", ""), msgspec.json.decode(body)))
        return 200


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiving(receiver.take) as receiver.address:
        yield receiver


@pytest.fixture
def served(
    apart: Any,
    start_agent: Callable[..., Any],
    own_nats_server: Any,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The queue for services on a server of its own, and an agent that serves it."""
    monkeypatch.setenv("EVQ_SECRET_TEAM", f"json://{receiver.address}/alert")
    queue = type(apart)(apart.client, QUEUE)
    options = ("--services", "--slots=5", "--allow-client", "--lease=300", "--drain-timeout=0.1")
    start_agent([queue], *options, login=own_nats_server.login).ready()
    return queue


async def kill(served: Any, kind: str, name: str, attempt: int) -> None:
    """kill -9 a controller in this attempt, by the number of its process."""
    task = (await service(served.client, kind, name)).task.id
    started: Started = await served.event(task, Started, attempt)
    os.kill(started.pid, signal.SIGKILL)


def spec(queue: str) -> Spec:
    return Spec(entry=Command(("true",)), name="made", queue=queue, manager="none")


async def made(client: Client, queue: str) -> list[Spec]:
    """The specs of all that was ever enqueued to a queue."""
    history = await client.bus.log.history(f"evq.q.{queue}.*.*.*")
    found = [wire.decode(stored.data) for stored in history]
    return [one.event.spec for one in found if isinstance(one.event, Enqueued)]  # type: ignore[union-attr]


POLICIES: dict[str, dict[str, Any]] = {
    "none": {"catch_up": "none"},
    "last": {"catch_up": "last"},
    "all": {"catch_up": "all", "most": 3},
}


async def test_a_schedule_catches_up_by_its_policy(served: Any, until: Any) -> None:
    client = served.client
    journals = {}
    for name, policy in POLICIES.items():
        journals[name] = journal = schedules.open_journal(client, name)
        # Two seconds are longer than the controller is late, and shorter than a test's patience.
        when = Every(seconds=2.0, start=now(), zone="UTC")
        defined = Defined(when=when, spec=spec(f"made-{name}"), overlap="several", **policy)
        await journal.load()
        await journal.decide(lambda _, defined=defined: (defined, "is defined"))
    controller = await start_service(client, "schedule", schedules.CONTROLLER)

    async def each_ran() -> bool:
        for journal in journals.values():
            await journal.catch_up()
        return all(journal.state.runs for journal in journals.values())

    await until(each_ran)
    await client.change_queue(QueuePaused(QUEUE, "an outage"))
    await kill(served, "schedule", schedules.CONTROLLER, 1)
    down = now()
    # Five due times pass while nobody looks.
    await until(lambda: now() > down + 11 * SECOND)
    await client.change_queue(QueueResumed(QUEUE, "over"))
    await served.event(controller.task.id, Started, 2)
    back = (await client.get(controller.task.id)).attempts[1].launch.at

    async def each_goes_on() -> bool:
        for journal in journals.values():
            await journal.catch_up()
        return all((one.state.last and one.state.last.at > back) for one in journals.values())

    await until(each_goes_on)
    await client.abort(controller.task.id, "nothing more is to be due while it is judged")
    await served.ended(controller.task.id)
    for name, journal in journals.items():
        await judge(client, name, journal.state.definition, down, back)


async def judge(client: Client, name: str, definition: Any, down: int, back: int) -> None:
    """Each due time was decided exactly once, and those of the outage by the policy."""
    noted = await schedules.open_journal(client, name).catch_up()
    begin = noted[0].at
    ran = [one.fact.at for one in noted if isinstance(one.fact, Due)]
    skipped = [
        at
        for one in noted
        if isinstance(one.fact, Skipped)
        for at in due_between(definition.when, one.fact.first - 1, one.fact.last)
    ]
    decided = sorted(ran + skipped)
    assert decided == due_between(definition.when, begin, decided[-1]), name
    assert sum(one.fact.count for one in noted if isinstance(one.fact, Skipped)) == len(skipped)
    # An attempt that is killed may leave the last due time before the outage undone.
    missed = [at for at in ran if down < at <= back]
    assert len(missed) <= {"none": 1, "last": 1, "all": 3}[name], (name, missed)
    assert len([at for at in skipped if down < at <= back]) >= 2
    specs = await made(client, f"made-{name}")
    keys = [one.key for one in specs]
    done = [one.fact.at for one in noted if isinstance(one.fact, Ran)]
    assert len(set(keys)) == len(keys) and len(keys) - len(done) in (0, 1)
    assert len(set(done)) == len(done)


async def test_no_event_is_missed_and_none_acted_on_twice(
    served: Any, receiver: Receiver, until: Any
) -> None:
    client = served.client
    await start_alert(client, "team", most=3)
    actions: dict[str, Do] = {
        "made": Enqueue(spec("made")),
        "called": Webhook(f"http://{receiver.address}/hook"),
        "told": Tell(("team",)),
    }
    for name, do in actions.items():
        journal = triggers.open_journal(client, name)
        await journal.load()
        defined = TriggerDefined(on=Events(("aborted",)), do=do)
        await journal.decide(lambda _, defined=defined: (defined, "is defined"))
    controller = await start_service(client, "trigger", triggers.CONTROLLER)
    await served.event(controller.task.id, Started)
    await client.change_queue(QueuePaused(QUEUE, "an outage"))
    await kill(served, "trigger", triggers.CONTROLLER, 1)
    tasks = [(await client.enqueue(spec("victims"))).task for _ in range(EVENTS)]
    for task in tasks:
        await client.abort(task, "for a trigger")
    await client.change_queue(QueueResumed(QUEUE, "over"))
    for attempt, share in ((2, 0.1), (3, 0.5)):

        async def far_enough(share: float = share) -> bool:
            return len(await made(client, "made")) >= share * EVENTS

        await until(far_enough)
        await kill(served, "trigger", triggers.CONTROLLER, attempt)

    async def all_done() -> bool:
        states = (await triggers.all_triggers(client)).values()
        return all(one.done == EVENTS and not one.pending for one in states)

    await until(all_done)
    specs = await made(client, "made")
    assert sorted(one.variables["EVQ_TRIGGER_TASK"] for one in specs) == sorted(tasks)
    assert len({one.key for one in specs}) == EVENTS
    # A webhook is called at least once; by its key the receiver knows a second time.
    calls = {key: body["task"] for path, key, body in receiver.got if path == "/hook"}
    assert sorted(calls.values()) == sorted(tasks) and len(calls) == EVENTS
    alert = await alerts.load_journal(client, "team")
    assert len(alert.state.keys) == EVENTS
    for name in actions:
        noted = await triggers.open_journal(client, name).catch_up()
        matched = [
            one.fact.id for one in noted if hasattr(one.fact, "seq") and one.words[:7] == "matches"
        ]
        assert len(matched) == len(set(matched)) == EVENTS


async def start_alert(client: Client, name: str, **more: Any) -> str:
    journal = alerts.open_journal(client, name)
    await journal.load()
    defined = AlertDefined(secret="TEAM", **more)
    await journal.decide(lambda _: (defined, "is defined"))
    return (await alerts.start(client, name, "TEAM")).task.id


async def test_a_flood_of_alerts_arrives_as_few_messages(
    served: Any, receiver: Receiver, until: Any
) -> None:
    client = served.client
    task = await start_alert(client, "team", most=1, seconds=5.0, dashboard="http://host")
    await alerts.tell(client, "team", Told(key="first", title="first", body="why", task="k3f9"))
    await until(lambda: receiver.got)
    _, _, body = receiver.got[0]
    assert body["title"] == "first" and body["message"] == "why\nhttp://host/tasks/k3f9"
    for number in range(30):
        await alerts.tell(client, "team", Told(key=f"m{number}", title=f"message {number}"))
        await alerts.tell(client, "team", Told(key=f"m{number}", title=f"message {number}"))
    await kill(served, "alert", "team", 1)

    async def delivered() -> bool:
        state = (await alerts.load_journal(client, "team")).state
        return state.sent == 31

    await until(delivered)
    titles = [body["title"] for _, _, body in receiver.got]
    assert titles[0] == "first" and len(titles) <= 10
    assert any(title.endswith("messages") for title in titles)
    told = b"".join(stored.data for stored in await client.bus.log.history("evq.>"))
    assert receiver.address.encode() not in told
    assert not [line for line in await served.lines(task) if receiver.address in line]
