"""Small histories for reports: events at given seconds, folded into a database by the projector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evq.core import events, subjects, wire
from evq.core.events import Cause, Envelope, Launch, Outcome
from evq.core.fleet.samples import Gpus, Machine, Sample, Shares
from evq.core.ports import Stored
from evq.core.questions import Named
from evq.core.sdk.author import now
from evq.core.spec import Command, Spec
from evq.core.subjects import LIFECYCLE_STREAM, SAMPLES_STREAM, TELEMETRY_STREAM, Level
from evq.projector.answers import parameters_for
from evq.projector.projection import Batch, Projection
from evq.projector.store import Database

HOUR = 3600
GIB = 2**30
SPEC = Spec(entry=Command(("train",)), name="train", queue="q", user="ann", project="p")


class History:
    """Writes events at given seconds after a moment `hours` ago, and asks: reports look back from
    now."""

    def __init__(self, folder: Path, hours: float = 1) -> None:
        self.database = Database(folder / "test.duckdb")
        for stream in (LIFECYCLE_STREAM, TELEMETRY_STREAM, SAMPLES_STREAM):
            self.database.start(stream, "then")
        self._projection = Projection(self.database)
        self._messages: list[Stored] = []
        self._samples: list[Stored] = []
        self._queues: dict[str, str] = {}
        self.start = now() - round(hours * HOUR * 1e6)

    def say(self, second: float, subject: str, event: events.Event, by: str = "x") -> int:
        """Append an event; its sequence."""
        seq = len(self._messages) + 1
        envelope = Envelope(id=f"e{seq}", at=self.at(second), by=by, event=event)
        self._messages.append(Stored(seq, subject, wire.encode(envelope)))
        return seq

    def at(self, second: float) -> int:
        """A second of this history as a time."""
        return self.start + round(second * 1e6)

    def enqueue(self, second: float, task: str, spec: Spec = SPEC) -> None:
        self._queues[task] = spec.queue
        self.say(second, subjects.hint(Level.of(spec), task), events.Enqueued(task, spec))

    def of(self, task: str, *happened: tuple[float, events.Lifecycle]) -> int:
        """Append what happened to a task; the last event's sequence."""
        subject = subjects.lifecycle(self._queues[task], task)
        return [self.say(second, subject, event) for second, event in happened][-1]

    def agent(self, second: float, event: events.AgentEvent) -> None:
        self.say(second, subjects.agent_events(event.agent), event)

    def runs(
        self,
        task: str,
        claim: float,
        start: float | None,
        end: float | None,
        outcome: Outcome = Outcome.COMPLETED,
        cause: Cause | None = None,
        *,
        spec: Spec = SPEC,
        enqueue: float | None = None,
        attempt: int = 1,
        agent: str = "w",
        host: str = "h",
        gpus: tuple[str, ...] = (),
        gpu_memory: int | None = None,
    ) -> int:
        """A whole attempt, with the task before its first one; its claim."""
        if task not in self._queues:
            self.enqueue(claim if enqueue is None else enqueue, task, spec)
        given = claimed(attempt, *gpus, agent=agent, gpu_memory=gpu_memory)
        token = self.of(task, (claim, given))
        if start is not None:
            self.of(task, (start, started(attempt, host)))
        if end is not None:
            self.of(task, (end, finished(attempt, outcome, cause)))
        return token

    def sample(
        self,
        second: float,
        seconds: float,
        agent: str = "w",
        machine: Machine | None = None,
        **parts: Any,
    ) -> None:
        """What an agent saw of its machine in the `seconds` before `second`."""
        sample = Sample(
            agent=agent,
            instance="i",
            number=len(self._samples),
            at=self.at(second),
            seconds=seconds,
            readings=1,
            machine=machine or Machine(),
            **parts,
        )
        seq = len(self._samples) + 1
        self._samples.append(Stored(seq, subjects.samples(agent), wire.encode_sample(sample)))

    def project(self) -> None:
        """Fold what was written since the last time."""
        position = self._projection.position
        self._projection.apply(
            Batch(
                [one for one in self._messages if one.seq > position[0]],
                samples=[one for one in self._samples if one.seq > position[2]],
            )
        )

    def ask(self, question: str, **params: Any) -> list[dict[str, Any]]:
        """A report's rows."""
        self.project()
        sql, given = parameters_for(Named(question, params))
        answer = self.database.answer(sql, given)
        names = [name for name, _ in answer.columns]
        return [dict(zip(names, row, strict=True)) for row in answer.rows]

    def column(self, question: str, *names: str, **params: Any) -> list[Any]:
        """Some of a report's columns: values, or tuples of them."""
        rows = [tuple(row[name] for name in names) for row in self.ask(question, **params)]
        return [row[0] for row in rows] if len(names) == 1 else rows

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        self.project()
        return self.database.rows(sql)


def up(agent: str = "w", *gpus: str, memory: int = 0, slots: int = 2) -> events.AgentUp:
    """An agent that comes up; each of its GPUs has so many bytes of `memory`."""
    return events.AgentUp(
        agent=agent,
        instance="i",
        host=f"{agent}-host",
        pid=1,
        queues=("q",),
        order="strict",
        slots=slots,
        version="1",
        cpus=2,
        memory=3,
        platform="linux",
        python="3.11",
        gpus=gpus,
        gpu_memory=(memory,) * len(gpus) if memory else (),
    )


def claimed(
    attempt: int, *gpus: str, agent: str = "w", gpu_memory: int | None = None
) -> events.Claimed:
    return events.Claimed(
        attempt=attempt,
        agent=agent,
        instance="i",
        slot=0,
        hint=1,
        lease=10.0,
        gpus=gpus,
        gpu_memory=gpu_memory,
    )


def started(attempt: int, host: str = "h") -> events.Started:
    return events.Started(attempt=attempt, pid=1, argv=("train",), host=host, folder="/")


def finished(
    attempt: int,
    outcome: Outcome = Outcome.COMPLETED,
    cause: Cause | None = None,
    launch: Launch | None = None,
) -> events.Finished:
    return events.Finished(attempt=attempt, outcome=outcome, cause=cause, launch=launch)


def retry(
    attempt: int, cause: Cause | None = Cause.CODE, delay: float = 0.0, evidence: str = ""
) -> events.Retry:
    return events.Retry(
        attempt=attempt, outcome=Outcome.FAILED, delay=delay, cause=cause, evidence=evidence
    )


def lost(attempt: int, cause: Cause = Cause.LOST_AGENT) -> events.Lost:
    return events.Lost(attempt=attempt, cause=cause, why="silent")


def phase(
    attempt: int, name: str, seconds: float | None = None, cached: bool | None = None
) -> events.Phase:
    return events.Phase(attempt=attempt, name=name, seconds=seconds, cached=cached, detail=name)


def using(claim: int, task: str, gpu: float | None) -> Shares:
    """An attempt's share, as a sample tells it: its GPUs compute so many percent of the time."""
    figure = None if gpu is None else (gpu, gpu, gpu)
    return Shares(
        claim=(claim,),
        task=(task,),
        attempt=(1,),
        cpu=((100.0, 100.0, 100.0),),
        memory=((1.0, 1.0, 1.0),),
        processes=((1.0, 1.0, 1.0),),
        gpu=(figure,),
        gpu_memory=(None,),
    )


def machine(cpu: float, memory: float) -> Machine:
    """A machine's figures; `memory` in MiB of 1024."""
    return Machine(cpu=(cpu, cpu, cpu), memory=(memory, memory, memory), memory_total=1024)


def gpu_readings(*gpus: str, utilisation: float, power: float) -> Gpus:
    """What a sample tells of GPUs that all do the same; each has 1024 MiB, half of them taken."""
    count = len(gpus)

    def same(value: float) -> tuple[Any, ...]:
        return ((value, value, value),) * count

    return Gpus(
        index=tuple(range(count)),
        id=gpus,
        name=("H100",) * count,
        total=(1024,) * count,
        limit=(700,) * count,
        utilisation=same(utilisation),
        memory_utilisation=same(0),
        memory=same(512),
        temperature=same(60),
        power=same(power),
        clock=same(1000),
        memory_clock=same(1000),
        outside=same(0),
        trouble=("",) * count,
    )
