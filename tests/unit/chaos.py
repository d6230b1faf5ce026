"""Logs of anything that can happen, with damage and words of a newer evq in between."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

import msgspec

from evq.core import events, subjects, wire
from evq.core.events import Cause, Envelope, Outcome
from evq.core.evolve import create
from evq.core.handle import absorb
from evq.core.journal import Decided
from evq.core.ports import Stored
from evq.core.queueing import queues
from evq.core.queueing.permits import Permit, Permits
from evq.core.saved_queries import QueryDeleted, QuerySaved
from evq.core.spec import After, Command, Spec
from evq.core.state import Ended, Held, Queued, Task

BEGIN = 1_780_000_000_000_000
SECOND = 1_000_000
QUEUES = ("q", "r")
AGENTS = ("a", "b")

T = TypeVar("T")


def time_of(seq: int) -> int:
    """When the event at `seq` was written, and stored: one a second."""
    return BEGIN + seq * SECOND


class Chaos:
    """A log as it grows, and the tasks in it, so that most of what happens makes sense."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.messages: list[Stored] = []
        self.tasks: dict[str, Task] = {}

    def _one(self, *choices: T) -> T:
        return self._chance.choice(choices)

    def step(self) -> None:
        """Something happens."""
        acts = [self.enqueue] * 3 + [self.live] * 12 + [self.agent, self.agent, self.queue]
        acts += [self.permits, self.query, self.decision, self.strange, self.strange]
        self._one(*acts)()

    def _store(self, subject: str, event: events.Event) -> Stored:
        seq = len(self.messages) + 1
        envelope = Envelope(id=f"e{seq}", at=time_of(seq), by="ada@box", event=event)
        return self._keep(subject, wire.encode(envelope))

    def _keep(self, subject: str, data: bytes) -> Stored:
        stored = Stored(len(self.messages) + 1, subject, data)
        self.messages.append(stored)
        return stored

    def enqueue(self) -> None:
        task = f"{len(self.tasks):012}"
        queue = self._one(*QUEUES)
        awaited = self._one(True, False) and self.tasks
        spec = Spec(
            entry=Command(("train", "--lr", "0.1")),
            name=f"n{len(self.tasks)}",
            queue=queue,
            priority=self._one(3, 5),
            user=self._one("ada", "bob"),
            after=(After(min(self.tasks)),) if awaited else (),
        )
        level = subjects.Level.of(spec)
        stored = self._store(subjects.hint(level, task), events.Enqueued(task, spec))
        self.tasks[task] = create(
            stored.seq, time_of(stored.seq), "ada@box", events.Enqueued(task, spec)
        )

    def live(self) -> None:
        """One task goes on."""
        if not self.tasks:
            return self.enqueue()
        task = self.tasks[self._one(*self.tasks)]
        subject = subjects.lifecycle(task.spec.queue, task.id)
        event = self._one(*self._next(task))
        stored = self._store(subject, event)
        self.tasks[task.id] = absorb(task, stored)
        if self.tasks[task.id].place.hint == stored.seq + 1:
            level = subjects.Level(task.place.queue, task.place.priority)
            self._store(subjects.hint(level, task.id), events.Again(task.id, task.origin))

    def _next(self, task: Task) -> Sequence[events.Lifecycle]:
        moved = events.Moved(
            queue=self._one(*QUEUES),
            priority=self._one(1, 5, 9),
            rank=self._one(None, self._chance.random() * 100),
            reason="why not",
        )
        tagged = events.Tagged(add=(self._one("a", "b"),), remove=(self._one("c", "d"),))
        match task.state:
            case Held():
                end = events.DependencyEnd(min(self.tasks), Outcome.COMPLETED)
                return [events.DependenciesEnded((end,)), events.Aborted("no")]
            case Queued():
                claim = events.Claimed(
                    attempt=len(task.attempts) + 1,
                    agent=self._one(*AGENTS),
                    instance=self._one("i1", "i2"),
                    slot=0,
                    hint=task.place.hint,
                    lease=3.0,
                    gpus=self._one((), ("GPU-1",), ("GPU-1", "GPU-2")),
                )
                return [claim, claim, claim, moved, moved, events.Aborted("no"),
                        events.Dequeued("out"), events.Awaited(("z" * 12,)), tagged]  # fmt: skip
            case Ended() if task.archived:
                return [events.Requeued("again"), tagged, events.Unarchived("back")]
            case Ended():
                again, awaited = events.Requeued("again"), events.Awaited(("z" * 12,))
                return [again, awaited, tagged, events.Archived("done with")]
        attempt = task.attempts[-1].number
        usage = events.Usage(wall=1.0, cpu=0.5, max_rss=7)
        packages = (events.Package("numpy", self._one("1", "2")),)
        return [
            events.Phase(attempt=attempt, name="code"),
            events.Phase(attempt=attempt, name="code", seconds=0.5, commit="c" * 40),
            events.Environment(attempt=attempt, manager="uv", packages=packages),
            events.Started(attempt=attempt, pid=7, argv=("train",), host="h", folder="/f"),
            events.Finished(attempt=attempt, outcome=Outcome.COMPLETED, exit_code=0, usage=usage),
            events.Finished(attempt=attempt, outcome=Outcome.FAILED, cause=Cause.CODE, exit_code=3),
            events.Retry(attempt=attempt, outcome=Outcome.FAILED, delay=2.0, exit_code=1),
            events.Lost(attempt=attempt, cause=Cause.LOST_AGENT, why="silent"),
            events.Lost(attempt=attempt + 1, cause=Cause.LOST_AGENT, why="of another"),
            events.AbortRequested("enough"),
            tagged,
        ]

    def agent(self) -> None:
        agent, instance = self._one(*AGENTS), self._one("i1", "i2")
        up = events.AgentUp(
            agent=agent, instance=instance, host="h", pid=1, queues=QUEUES, order="strict",
            slots=2, version="1", cpus=4, memory=2**30, platform="linux", python="3.11",
            gpus=("GPU-1", "GPU-2"),
        )  # fmt: skip
        happened = self._one(
            up, up,
            events.AgentDraining(agent, instance, "asked"),
            events.AgentDown(agent, instance, "asked"),
            events.AgentPaused(agent, instance, "disk"),
            events.AgentResumed(agent, instance, "room"),
            events.AgentLost(agent, instance, "silent"),
            events.DrainRequested(agent, "driver"),
            events.DrainRequested(agent, "fan", ("GPU-1",)),
            events.ResumeRequested(agent),
            events.StopRequested(agent, instance),
        )  # fmt: skip
        self._store(subjects.agent_events(agent), happened)

    def queue(self) -> None:
        queue = self._one(*QUEUES)
        happened = self._one(
            queues.QueueCreated(queue, "for it", "made"),
            queues.QueueDescribed(queue, "for that", "said"),
            queues.QueuePaused(queue, "maintenance"),
            queues.QueueResumed(queue, "done"),
            queues.QueueDeleted(queue, "gone"),
            queues.QueueRuled(queue, "fair", True),
        )
        self._store(subjects.queue_events(queue), happened)

    def permits(self) -> None:
        queue = self._one(*QUEUES)
        held = tuple(Permit(task, "ada", "a", "i1") for task in list(self.tasks)[:1])
        event = Permits(queue=queue, reason="set", most=self._one(None, 1, 4), held=held)
        self._store(subjects.permits(queue), event)

    def query(self) -> None:
        saved = QuerySaved("slow", "from tasks where run_seconds > $n", optional={"n": 3})
        event = self._one(saved, saved, QueryDeleted("slow"))
        self._store(subjects.query_events("slow"), event)

    def decision(self) -> None:
        event = Decided(service="sweep", name="s", words="on", fact={"what": "go"}, holder="t.1")
        self._store(subjects.service_events("sweep", "s"), event)

    def strange(self) -> None:
        """Damage, words of a newer evq, and facts that stand where they do not belong."""
        places = [subjects.agent_events("a"), subjects.queue_events("q"), subjects.permits("q")]
        for task in self.tasks.values():
            places.append(subjects.lifecycle(task.spec.queue, task.id))
            places.append(subjects.lifecycle("elsewhere", task.id))
            places.append(subjects.hint(subjects.Level.of(task.spec), task.id))
        place = self._one(*places)
        newer = {"id": "x", "at": 5, "by": "b", "event": {"kind": "danced", "why": "joy"}}
        known = {"id": "x", "at": 5, "by": "b", "v": 2, "event": {"kind": "aborted", "reason": ""}}
        data = self._one(b"?", msgspec.json.encode(newer), msgspec.json.encode(known))
        stored = self._keep(place, data)
        for task in self.tasks.values():
            if place == subjects.lifecycle(task.spec.queue, task.id):
                self.tasks[task.id] = absorb(task, stored)


def log_of(chance: Random, steps: int) -> list[Stored]:
    """The messages of a chaotic log."""
    chaos = Chaos(chance)
    for _ in range(steps):
        chaos.step()
    return chaos.messages
