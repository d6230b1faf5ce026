"""Old logs keep working: each release's recorded log folds to the states it had then, for ever.

The files are frozen. `python tests/golden/test_golden.py VERSION` records the log of a new
release beside them and refuses to touch one that is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from evq.core import decide, events, state, subjects, wire
from evq.core.arrays.array import Array
from evq.core.arrays.turns import first_turns
from evq.core.decide import Holder
from evq.core.events import Cause, Envelope, Outcome
from evq.core.evolve import create
from evq.core.gangs.gather import GATHER
from evq.core.handle import absorb
from evq.core.ports import Stored
from evq.core.queueing import queues
from evq.core.queueing.permits import Permit, Permits
from evq.core.retention import Trimmed
from evq.core.saved_queries import QueryDeleted, QuerySaved
from evq.core.spec import After, Code, Command, Gang, Module, Script, Spec
from evq.core.state import Task

FOLDER = Path(__file__).parent
LOGS = sorted(FOLDER.glob("*.jsonl"))


class Line(msgspec.Struct):
    """A stored message. `data` is text, so that its bytes stay what they were."""

    seq: int
    subject: str
    data: str


def fold_log(path: Path) -> dict[str, Task]:
    """All tasks of a recorded log."""
    tasks: dict[str, Task] = {}
    for line in path.read_text().splitlines():
        message = msgspec.json.decode(line, type=Line)
        stored = Stored(message.seq, message.subject, message.data.encode())
        if lifecycle := subjects.parse_lifecycle(stored.subject):
            tasks[lifecycle[1]] = absorb(tasks[lifecycle[1]], stored)
        elif subjects.parse_hint(stored.subject):
            envelope = wire.decode(stored.data)
            assert isinstance(envelope, Envelope)
            if isinstance(envelope.event, events.Enqueued):
                task = create(stored.seq, envelope.at, envelope.by, envelope.event)
                tasks[task.id] = task
    return tasks


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_an_old_log_folds_to_the_states_it_had(path: Path) -> None:
    stored = msgspec.json.decode(path.with_suffix(".states.json").read_bytes())
    # Read into today's Structs, and written again: a field that was left out has its default.
    then = msgspec.to_builtins(msgspec.convert(stored, dict[str, Task]))
    now = msgspec.to_builtins(fold_log(path))
    assert as_told(now, stored) == as_told(then, stored)


def as_told(value: Any, told: Any) -> Any:
    """`value` without the fields that came later: what they say of an old task, nobody said."""
    if isinstance(told, dict) and isinstance(value, dict):
        return {name: as_told(value.get(name), inner) for name, inner in told.items()}
    if isinstance(told, list) and isinstance(value, list | tuple) and len(value) == len(told):
        return [as_told(one, inner) for one, inner in zip(value, told, strict=True)]
    return value


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_an_old_log_can_be_read_whole(path: Path) -> None:
    """All but what was put there to be unreadable."""
    lines = [msgspec.json.decode(line, type=Line) for line in path.read_text().splitlines()]
    read = [wire.decode(line.data.encode()) for line in lines]
    assert sum(not isinstance(message, Envelope) for message in read) == 3
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))


def test_there_is_a_log_for_the_first_release() -> None:
    assert FOLDER / "0.1.0.jsonl" in LOGS


# --- how they were recorded -------------------------------------------------------------------


class Recorder:
    """A log that is written by the heart itself, with a clock and ids of its own."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def put(self, subject: str, event: Any, by: str) -> Stored:
        number = len(self.lines) + 1
        at = 1_800_000_000_000_000 + number * 1_250_000
        return self.put_raw(
            subject, wire.encode(Envelope(id=f"{number:020x}", at=at, by=by, event=event))
        )

    def put_raw(self, subject: str, data: bytes) -> Stored:
        number = len(self.lines) + 1
        self.lines.append(Line(number, subject, data.decode()))
        return Stored(number, subject, data)


class Story:
    """One task's life, command by command."""

    def __init__(self, recorder: Recorder, id: str, **spec: Any) -> None:
        self._recorder = recorder
        self.spec = Spec(**{"entry": Command(("make", "all")), "name": id, "queue": "gpu"} | spec)
        event = events.Enqueued(id, self.spec)
        stored = recorder.put(subjects.hint(subjects.Level.of(self.spec), id), event, "ada@lab")
        envelope = wire.decode(stored.data)
        assert isinstance(envelope, Envelope)
        self.task = create(stored.seq, envelope.at, envelope.by, event)
        self.holder = Holder("", 0)

    def do(self, command: decide.Command, by: str = "w1") -> Story:
        event = decide.decide(self.task, command)
        subject = subjects.lifecycle(self.spec.queue, self.task.id)
        self.task = absorb(self.task, self._recorder.put(subject, event, by))
        return self

    def raw(self, data: bytes) -> Story:
        subject = subjects.lifecycle(self.spec.queue, self.task.id)
        self.task = absorb(self.task, self._recorder.put_raw(subject, data))
        return self

    def claim(self, agent: str = "w1") -> Story:
        instance = f"{agent}-6f1"
        self.holder = Holder(instance, len(self.task.attempts) + 1)
        task = self.task
        waited = task.state.failure if isinstance(task.state, state.Queued) else 0
        return self.do(decide.Claim(agent, instance, 0, task.place.hint, 10.0, waited), agent)

    def set_up(self) -> Story:
        packages = (events.Package("numpy", "2.1.0"), events.Package("torch", "2.6.0+cu126"))
        environment = state.EnvironmentRecord("uv", "3.12.4", "8c1f", packages)
        self.do(decide.BeginPhase(self.holder, "code"))
        self.do(decide.EndPhase(self.holder, "code", 0.31, False, "1f0c"))
        self.do(decide.EndPhase(self.holder, "environment", 12.5, True))
        return self.do(decide.TellEnvironment(self.holder, environment))

    def start(self) -> Story:
        at = 1_800_000_000_000_000 + len(self._recorder.lines) * 1_250_000
        launch = events.Launch(at, 4242, ("python", "x.py"), "node7", "/w/t-1")
        return self.do(decide.Start(self.holder, launch))

    def save(self, name: str) -> Story:
        saved = decide.SaveArtifact(self.holder, name, "5e" * 32, 1 << 30, False, "s3://lab/evq")
        return self.do(saved)

    def finish(self, outcome: Outcome, code: int | None = 0, cause: Cause | None = None) -> Story:
        usage = events.Usage(61.25, 58.5, 3_221_225_472)
        evidence = "" if cause is None else f"because of {cause.value}"
        return self.do(decide.Finish(self.holder, outcome, code, cause, evidence, usage))

    def fail(self) -> Story:
        return self.finish(Outcome.FAILED, 1, Cause.CODE)

    def lose(self) -> Story:
        number = self.holder.attempt
        return self.do(decide.DeclareLost(number, "silent for longer than its lease"), "w2")

    def abort(self) -> Story:
        return self.do(decide.Abort("wrong learning rate"), "ada@lab")

    def requeue(self) -> Story:
        return self.do(decide.Requeue("the data is there now"), "ada@lab").hint(None)

    def move(self, rank: float | None) -> Story:
        return self.do(decide.Move("night", 7, rank, "it is late"), "ada@lab").hint(rank)

    def hint(self, rank: float | None) -> Story:
        again = events.Again(self.task.id, self.task.origin, rank)
        place = self.task.place
        level = subjects.Level(place.queue, place.priority, express=rank is not None)
        self._recorder.put(subjects.hint(level, self.task.id), again, "ada@lab")
        return self

    def gather(self) -> Story:
        return self.do(decide.BeginPhase(self.holder, GATHER))

    def assemble(self) -> Story:
        return self.do(decide.Assemble("10.0.0.7", 29500))

    def disband(self, again: bool) -> Story:
        spent: Literal["retries"] | None = "retries" if again else None
        delay = 1.0 if again else 0.0
        return self.do(decide.Disband(1, "rank 1 failed", Outcome.FAILED, again, delay, spent))

    def tag(self, *add: str, without: tuple[str, ...] = ()) -> Story:
        return self.do(decide.Tag(add, without), "ada@lab")

    def archive(self) -> Story:
        return self.do(decide.Archive("the paper is out"), "ada@lab")

    def unarchive(self) -> Story:
        return self.do(decide.Unarchive("a reviewer asks"), "ada@lab")

    def dequeue(self) -> Story:
        return self.do(decide.Dequeue("not now"), "ada@lab")


def record() -> list[Line]:
    """The log of this release: every event, every end, and what a later release may leave."""
    recorder = Recorder()
    up = events.AgentUp(
        agent="w1",
        instance="w1-6f1",
        host="node7",
        pid=77,
        queues=("gpu", "cpu"),
        order="strict",
        slots=2,
        version="0.1.0",
        cpus=64,
        memory=2**38,
        platform="linux",
        python="3.12.4",
    )
    recorder.put(subjects.agent_events("w1"), up, "w1")
    story: Callable[..., Story] = lambda id, **spec: Story(recorder, id, **spec)  # noqa: E731
    code = Code("1f0c", ("b-1", "b-2"), "exp", "77aa", "main", "lab:x.git", {"modified": 2}, 3)
    script = Script("train.py", ("--lr", "0.1"))
    story(
        "completed001", entry=script, code=code, tags=("mnist",), params={"lr": "0.1"}, user="ada"
    ).claim().set_up().start().save("model.pt").save("best/model.pt").finish(Outcome.COMPLETED)
    story("retried00001", retries=2, priority=9).claim().start().fail().claim().start().finish(
        Outcome.COMPLETED
    )
    story("failed000001", retries=1, entry=Module("x", ())).claim().fail().claim().fail()
    story("lostonce0001").claim().start().lose().claim("w2").start().finish(Outcome.COMPLETED)
    story("poison000001", losses=1).claim().start().lose().claim("w2").start().lose()
    story("abortearly01").abort()
    story("abortlate001", retries=3).claim().start().abort().finish(
        Outcome.FAILED, -15, Cause.SIGNAL
    )
    story("abortlost001").claim().start().abort().lose()
    story("requeued0001").claim().start().fail().requeue().claim().start().finish(Outcome.COMPLETED)
    story("moved0000001").move(1.5).claim().start().finish(Outcome.COMPLETED)
    story("moved0000002", retries=1).claim().fail().move(None).claim("w2")
    story("dequeued0001").dequeue()
    later = Array("array0000001", 1, 2, most=1)
    story("array0000002", array=later).do(decide.Release()).claim().start().fail().do(
        decide.Requeue("again", held=True), "ada@lab"
    )
    turns = first_turns("array0000001", 2, 1)
    recorder.put(subjects.array_events("array0000001"), turns, "ada@lab")
    story("tagged000001", tags=("draft",)).tag("paper", without=("draft",)).claim().tag("best")
    story("archived0001").claim().start().fail().archive()
    story("archived0002").abort().archive().unarchive()
    story("archived0003").claim().start().fail().archive().requeue().dequeue()
    story("cleaned00001").claim().start().save("model.pt").finish(Outcome.COMPLETED).do(
        decide.Clean(what=("logs", "artifacts"), reason="old", before=2**60, telemetry=5, size=7),
        "ada@lab",
    ).requeue()
    gang = {"nodes": 2, "gang": Gang("gang00000001", 0)}
    story("gang00000001", **gang, retries=1).claim().gather().assemble().start().disband(
        again=True
    ).finish(Outcome.FAILED, -15, Cause.GANG)
    story("gang00000002", **gang).claim().gather().assemble().start().disband(again=False).finish(
        Outcome.FAILED, -15, Cause.GANG
    )
    story("gang00000003", **gang).disband(again=False)
    story("dequeued0002").claim().start().fail().requeue().move(0.25).dequeue()
    story("timedout0001", timeout=60.0, grace=5.0).claim().start().finish(
        Outcome.TIMED_OUT, -9, Cause.TIME
    )
    drained = story("drained00001").claim().start()
    drained.do(decide.GiveBack(drained.holder, "its agent was stopped"))
    story("fulldisk0001").claim().finish(Outcome.FAILED, None, Cause.INFRASTRUCTURE).claim("w2")
    story("running00001", queue="cpu").claim().set_up().start()
    story("waiting00001", key="nightly", variables={"A": "b"}, parent="completed001")
    awaited = story("awaited00001")
    held = [
        story(name, after=(After("awaited00001"),)) for name in ("held00000001", "never0000001")
    ]
    awaited.do(decide.Await(tuple(one.task.id for one in held)), "ada@lab").claim().start()
    done = awaited.finish(Outcome.COMPLETED).task.id
    held[0].do(decide.EndDependencies((events.DependencyEnd(done, Outcome.COMPLETED),)))
    held[1].do(decide.EndDependencies((events.DependencyEnd(done, Outcome.FAILED),)))
    story("future000001").claim().raw(
        b'{"id":"f1","at":1800000000000000,"by":"w9","event":{"kind":"paused","until":5}}'
    ).raw(b'{"id":"f2","at":1,"by":"w9","v":2,"event":{"kind":"aborted","reason":"newer"}}')
    story("broken000001").claim().raw(b'{"id":"f3","at":1,"by":"w9","event":{"kind":"sta')
    for done in (
        queues.QueueCreated("night", "what may wait", "so that days are free"),
        queues.QueueDescribed("night", "what must wait", "it was too full"),
        queues.QueuePaused("night", "the machines are moved"),
        queues.QueueResumed("night", "they are there"),
        queues.QueueRuled("night", "there are many of us", fair=True),
        queues.QueueDeleted("night", "they are sold"),
    ):
        recorder.put(subjects.queue_events("night"), done, "ada@lab")
    permit = Permit("running00001", "ada", "w1", "w1-6f1")
    limit = Permits(queue="cpu", reason="a small machine", most=1, held=(permit,))
    recorder.put(subjects.permits("cpu"), limit, "ada@lab")
    for change in (events.AgentPaused, events.AgentResumed):
        recorder.put(subjects.agent_events("w1"), change("w1", "w1-6f1", "disk"), "w1")
    recorder.put(subjects.agent_events("w1"), events.AgentLost("w1", "w1-6f1", "silent"), "w2")
    for order in (
        events.DrainRequested("w1", "new bios", ("GPU-1",)),
        events.ResumeRequested("w1", "it is in"),
        events.StopRequested("w1", "w1-6f1", "sold", now=True),
        events.PruneRequested("w1", 1_209_600.0, ("environments",), "the disk is small"),
    ):
        recorder.put(subjects.agent_events("w1"), order, "ada@lab")
    pruned = events.AgentPruned(
        agent="w1", instance="w1-6f1", entries=2, size=9, kinds={"environments": 2}, reason="small"
    )
    recorder.put(subjects.agent_events("w1"), pruned, "w1")
    saved = QuerySaved("slow", "select $s", "What is slow", (), {"s": 3}, "bar:a,b")
    recorder.put(subjects.query_events("slow"), saved, "ada@lab")
    recorder.put(subjects.query_events("slow"), QueryDeleted("slow", "fast now"), "ada@lab")
    decided = events.Decided(
        service="sweep",
        name="lr",
        words="trial 0 begins",
        fact={"what": "x", "n": [1]},
        holder="t.1",
    )
    recorder.put(subjects.service_events("sweep", "lr"), decided, "ada@lab")
    trimmed = Trimmed(reason="the disk is full", telemetry=7, metrics=1_700_000_000_000_000)
    recorder.put(subjects.HISTORY_EVENTS, trimmed, "ada@lab")
    recorder.put(subjects.agent_events("w1"), events.AgentDraining("w1", "w1-6f1", "TERM"), "w1")
    recorder.put(subjects.agent_events("w1"), events.AgentDown("w1", "w1-6f1", "TERM"), "w1")
    return recorder.lines


def test_the_recorder_leaves_out_no_event() -> None:
    def kinds() -> Iterator[str]:
        for line in record():
            message = wire.decode(line.data.encode())
            if isinstance(message, Envelope):
                yield str(message.event.__struct_config__.tag)

    assert set(kinds()) == wire.KINDS


def write(version: str) -> None:
    """Record the log of a release. Raises `FileExistsError`: a golden file never changes."""
    log = FOLDER / f"{version}.jsonl"
    with log.open("xb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in record())
    states = msgspec.json.format(msgspec.json.encode(fold_log(log)), indent=1)
    with log.with_suffix(".states.json").open("xb") as file:
        file.write(states + b"\n")


if __name__ == "__main__":
    write(sys.argv[1])
