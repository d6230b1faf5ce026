"""`evq why`: the first cause that has to change, and what each agent lacks."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from evq.core.fleet.kinds import MachineKind
from evq.core.fleet.presence import AgentPresence, PassedBy, RunningTask
from evq.core.fleet.resources import Device, Offer, Request
from evq.core.fleet.served import GpuCount
from evq.core.queueing.permits import Permit, Permits
from evq.core.queueing.queues import Pause, QueueState
from evq.core.sdk.autoscalers import Autoscaler
from evq.core.sdk.waiting.dependencies import Dependency, held_verdict
from evq.core.sdk.waiting.forecast import Before, Held, History
from evq.core.sdk.waiting.verdict import Facts, Reason, Verdict, verdict
from evq.core.spec import Command, Limits, Spec
from evq.core.state import Queued, Task

NOW = 1_000_000_000
SECOND = 1_000_000


def task(state: Queued | None = None, failures: int = 0, **spec: Any) -> Task:
    wanted = Spec(**{"entry": Command(("true",)), "name": "train", "queue": "q", **spec})
    return Task("k" * 12, wanted, "me", NOW, 7, state or Queued(NOW), failures=failures)


def agent(name: str = "one", slots: int = 2, busy: int = 0, **more: Any) -> AgentPresence:
    offer = more.pop("offer", Offer(slots=slots, cpus=8, memory=2**34))
    free = more.pop("free", Offer(offer.slots - busy, offer.cpus, offer.memory, offer.devices))
    known = {"instance": name, "host": "h", "pid": 1, "queues": ("q",), "order": "strict"}
    more = {"slots": offer.slots, "offer": offer, "free": free, **more}
    return AgentPresence(**{"agent": name, **known, **more})


def gpus(*free: bool, **more: Any) -> tuple[Device, ...]:
    return tuple(
        Device(id=f"GPU-{n}", index=n, memory=100, free_memory=100 if one else 0, **more)
        for n, one in enumerate(free)
    )


def asked(what: Task, *agents: AgentPresence, **facts: Any) -> Verdict:
    history = History([Held("q", "train", 10.0)] * 20)
    known = {"queue": QueueState("q"), "position": 1, "before": (), "history": history, "now": NOW}
    known["permits"] = Permits(queue="q", reason="")
    return verdict(Facts(**{"task": what, "agents": agents, **known, **facts}))


def text(found: Verdict) -> list[str]:
    return [one.text for one in found.reasons]


def test_nobody_serves_its_queue():
    found = asked(task(), agent(queues=("other",)))
    assert found.cause == "no_agent"
    assert found.text.startswith("no agent serves queue q; served are: other  (evq agent")
    assert text(found)[-1].startswith("one: could run it, but serves other  (evq move kkkk")
    assert found.start is None


def test_an_autoscaler_starts_a_machine_for_it():
    kinds = (MachineKind(queues=("q",)), MachineKind(queues=("q",), gpus=2))
    adds = "adds cloud-gpu-1: k3f9 waits in q for 2s"
    cloud = Autoscaler("cloud", kinds, adds, NOW - 3 * SECOND, None)
    found = asked(task(gpus=2), agent(draining=True), autoscalers=[cloud])
    assert found.cause == "machine"
    assert found.text == "it waits for a machine: autoscaler cloud starts them for queue q"
    assert found.reasons[-1] == Reason(
        True, f"autoscaler cloud: {adds} (3s ago)  (evq autoscaler show cloud)"
    )
    assert (found.start, found.start_unknown) == (None, "its machine is not there yet")
    waits = msgspec.structs.replace(cloud, controller=task())
    found = asked(task(gpus=2), autoscalers=[waits])
    assert found.cause == "machine"
    assert text(found)[-1].endswith(f"its controller, task {'k' * 12}, is queued")


def test_no_machine_of_an_autoscaler_could_run_it():
    kinds = (MachineKind(queues=("q",), labels={"gpu": "v100"}),)
    cloud = Autoscaler("cloud", kinds, "", NOW, None)
    found = asked(task(needs={"gpu": "a100"}), autoscalers=[cloud])
    assert found.cause == "no_agent"
    lacking = "none of its machines could run it, lacks label gpu=a100, is v100"
    assert text(found)[-1] == f"autoscaler cloud: {lacking}"
    assert asked(task(client=True), autoscalers=[cloud]).cause == "no_agent"


def test_as_many_run_as_may():
    held = tuple(Permit(f"{n:012}", "ann", "one", "i") for n in range(2))
    full = Permits(queue="q", reason="", most=2, held=held)
    found = asked(task(), agent(), permits=full)
    assert found.cause == "limit"
    assert found.text.startswith("limit: 2 of 2 of queue q run")
    assert "limit: 2 of 2 of queue q run" in text(found)
    each = Permits(queue="q", reason="", per_user=2, held=held)
    assert asked(task(user="bob"), agent(), permits=each).cause == "about_to_start"
    found = asked(task(user="ann"), agent(), permits=each)
    assert found.text.startswith("limit: 2 of 2 of user ann in queue q run")


def test_tasks_that_it_awaits_have_not_ended():
    awaited = [Dependency("a" * 12, "ok", "completed", "x", True)]
    awaited.append(Dependency("b" * 12, "failed", "running", "", None))
    found = held_verdict(awaited)
    assert (found.cause, found.text) == ("dependency", f"it waits for task {'b' * 12} to fail")
    assert [one.ok for one in found.reasons] == [True, False]
    assert found.reasons[1].text == f"task {'b' * 12} is to fail: running"


def test_its_queue_is_paused():
    state = QueueState("q", pause=Pause(NOW, "ann@head", "disk"))
    found = asked(task(), agent(), queue=state)
    assert found.cause == "queue_paused"
    assert "is paused by ann@head" in found.text
    assert ": disk  (evq queue resume q)" in found.text


def test_it_failed_a_moment_ago():
    found = asked(task(Queued(NOW - SECOND, delay=10), failures=2), agent())
    assert (found.cause, found.text) == ("retry_delay", "it failed 2 times and is due in 9.0s")


def test_no_machine_has_its_gpus():
    offer = Offer(slots=2, devices=gpus(True))
    found = asked(task(gpus=2), agent(offer=offer), agent("two"))
    assert found.cause == "no_machine"
    assert found.text == "none of the 2 agents that serve queue q can ever run it"
    assert text(found)[1:] == [
        "one: can never run it, lacks 2 GPUs, has 1",
        "two: can never run it, lacks 2 GPUs, has 0",
    ]


def test_the_label_is_missing():
    found = asked(task(needs={"gpu": "a100"}), agent(offer=Offer(labels={"gpu": "v100"})))
    assert found.cause == "no_machine"
    assert found.text == "agent one can never run it: it lacks label gpu=a100, is v100"


def test_what_a_queue_gets_counts_as_asked_for():
    given = {"q": GpuCount(2, 2)}
    found = asked(task(), agent(queue_gpus=given))
    assert found.text == "agent one can never run it: it lacks 2 GPUs, has 0"


def test_the_agent_is_closed():
    found = asked(task(), agent(draining=True), agent("two", offer=Offer(slots=0)))
    assert found.cause == "agents_closed"
    assert found.text.startswith("agent one could run it, but it is being stopped")
    found = asked(task(), agent(draining=True), agent("two", paused="disk: full"))
    assert found.text == "the 2 agents that could run it take nothing now"
    assert "two: has paused: disk: full" in text(found)


def test_others_go_before_it():
    before = [Before("train", "c0"), Before("big", "g8")]
    found = asked(task(), agent(busy=2), position=3, before=before)
    # Who could not run on its agents anyway does not keep it waiting.
    assert (found.cause, found.text) == ("behind", "1 task of queue q goes before it")
    assert text(found) == ["it stands at place 3 of queue q", "one: all its 2 slots are busy"]


def test_there_is_no_room_now():
    passed = PassedBy(
        task="x", queue="q", priority=5, size="g2", since=0, times=14, lacks=(), reserved=True
    )
    offer = Offer(slots=4, devices=gpus(True, True))
    free = Offer(slots=3, devices=gpus(True, False))
    found = asked(task(gpus=2), agent(offer=offer, free=free, passed=(passed,)))
    assert (found.cause, found.text) == ("no_room", "no agent has room for it now")
    assert "one: lacks 2 GPUs, has 1; 14 tasks went past its class there in" in text(found)[1]
    assert text(found)[1].endswith("it keeps room for it now")


def test_drained_gpus_are_named():
    offer = Offer(slots=4, devices=gpus(True, drained="by ann"))
    found = asked(task(gpus=1), agent(offer=offer))
    assert found.cause == "no_room"
    assert text(found)[1] == "one: lacks 1 GPU, has 0 (1 GPU drained)"


def test_the_room_is_kept_for_another():
    passed = PassedBy(
        task="bigbig",
        queue="p",
        priority=5,
        size="c8000",
        since=0,
        times=9,
        lacks=(),
        reserved=True,
    )
    wants = task(limits=Limits(cpus=2))
    found = asked(wants, agent(passed=(passed,), reserved="task bigbig of queue p"))
    assert (found.cause, found.text) == (
        "reserved",
        "the room that it needs is kept for task bigbig of queue p",
    )
    # What needs nothing of that room is not kept waiting by it.
    found = asked(task(), agent(passed=(passed,), reserved="task bigbig of queue p"))
    assert found.cause == "about_to_start"


def test_an_agent_may_serve_others_first():
    found = asked(task(), agent(queues=("first", "q")))
    assert (found.cause, found.text) == (
        "other_queues",
        "agent one has room, but takes from first first",
    )
    found = asked(task(), agent(queues=("first", "q"), order="round-robin"))
    assert found.cause == "about_to_start"


def test_a_fair_queue_says_who_has_how_much_of_it():
    has = tuple(
        RunningTask(task=f"t{n}", attempt=1, name="n", user=user, slot=n, since=NOW, queue="q")
        for n, user in enumerate(("ann", "ann", "bob"))
    )
    state, busy = QueueState("q", fair=True), agent(slots=3, busy=3, running=has)
    found = asked(task(user="ann", fair=True), busy, queue=state)
    text = "queue q is shared out evenly among users; running: ann 2, bob 1"
    assert Reason(False, text) in found.reasons
    found = asked(task(user="cyd", fair=True), busy, queue=state)
    assert Reason(True, f"{text}, cyd 0") in found.reasons


def test_it_is_next():
    found = asked(task(), agent(busy=1))
    assert (found.cause, found.text) == (
        "about_to_start",
        "it is next: agent one takes it any moment",
    )
    assert text(found) == [
        "it stands at place 1 of queue q",
        "one: has room, 1 of 2 slots are free",
    ]
    assert found.start is not None
    assert found.start.high == 0


# --- when it starts -------------------------------------------------------------------------------


def running(count: int, since: float, name: str = "train") -> tuple[RunningTask, ...]:
    return tuple(
        RunningTask(
            task=f"t{n}", attempt=1, name=name, user="", slot=n, since=round(since), queue="q"
        )
        for n in range(count)
    )


def test_the_start_is_when_those_before_it_have_run():
    busy = agent(slots=2, busy=2, running=running(2, NOW - 4 * SECOND))
    found = asked(task(), busy, position=4, before=[Before("train", "c0")] * 3)
    assert found.start is not None
    # Two end in 6 s, two more run 10 s, and it begins when the first of these has ended.
    assert (found.start.seconds, found.start.low, found.start.high) == (16, 16, 16)
    assert found.start.runs == 20


def test_a_wide_task_starts_when_all_its_processors_are_free():
    held = tuple(
        RunningTask(
            task=f"t{n}",
            attempt=1,
            name="train",
            user="",
            slot=n,
            since=NOW - n * SECOND,
            queue="q",
            size=Request(cpus=4).size,
        )
        for n in (1, 6)
    )
    busy = agent(slots=4, busy=2, free=Offer(slots=2, cpus=0), running=held)
    found = asked(task(limits=Limits(cpus=4)), busy)
    assert found.start is not None
    assert found.start.seconds == 4
    found = asked(task(limits=Limits(cpus=8)), busy)
    assert found.start is not None
    assert found.start.seconds == 9


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"history": None}, "no projector answers"),
        ({"position": None}, "no projector answers"),
        ({"history": History([]), "before": [Before("train", "c0")]}, "too few tasks of queue q"),
        ({"history": History([]), "agents": [agent(busy=2, running=running(2, NOW))]}, "too few"),
        ({"before": [Before("train", "c0")] * 500}, "more than 500 tasks"),
        ({"queue": QueueState("q", pause=Pause(1, "me", ""))}, "somebody has to do something"),
    ],
)
def test_a_start_that_nobody_can_know(facts, why):
    found = asked(task(), agent(busy=2), **facts)
    assert found.start is None
    assert why in found.start_unknown


def test_the_error_covers_what_then_happens():
    """Queues are played to their end, and the start that was foretold is held against the real."""
    chance, hits, rounds = random.Random(11), 0, 60
    for number in range(rounds):
        lengths = [chance.expovariate(1 / 60) for _ in range(200)]
        history = History([Held("q", "train", one) for one in lengths])
        ages = [chance.uniform(0, 30) for _ in range(4)]
        busy = agent(
            slots=4,
            busy=4,
            running=tuple(running(1, NOW - one * SECOND)[0] for one in ages),
        )
        before = 10
        what = task()
        found = verdict(
            Facts(
                task=Task(f"{number:012}", what.spec, "me", NOW, 7, Queued(NOW)),
                agents=[busy],
                queue=QueueState("q"),
                position=before + 1,
                before=[Before("train", "c0")] * before,
                history=history,
                now=NOW,
                permits=Permits(queue="q", reason=""),
            )
        )
        # What runs has no memory: its rest is as long as a whole one of such lengths.
        ends = sorted(chance.expovariate(1 / 60) for _ in ages)
        for _ in range(before):
            ends = sorted([*ends[1:], ends[0] + chance.expovariate(1 / 60)])
        assert found.start is not None
        hits += found.start.low <= ends[0] <= found.start.high
    # Eight of ten are to be expected between a tenth below and a tenth above.
    assert 0.65 < hits / rounds < 0.95
