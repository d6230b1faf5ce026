"""The life of a fleet and its users over weeks, as the messages that they would have written.

People enqueue by day more than by night, tasks wait where all GPUs are taken, are prepared, run,
say points and lines, and end, as they do: some fail, are tried again, lost or aborted. One runs
for most of the time and says one metric of millions of points.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Generator, Iterator
from typing import Any

import msgspec
from machines import Held, Machines
from voice import SECOND, Voice
from words import CAUSES, PROJECTS, USERS, Project, evidence, packages, tags

from evq.core import events, subjects, wire
from evq.core.events import Cause, Outcome
from evq.core.fleet.agents import AgentPaused, AgentResumed, AgentUp
from evq.core.ids import task_id
from evq.core.spec import Code, Module, Spec

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is: `points` in all, of which the longest metric has `longest`; `end` is
    when it ends, in microseconds since 1970."""

    end: int
    tasks: int = 100_000
    machines: int = 200
    gpus: int = 8
    days: float = 28.0
    points: int = 50_000_000
    longest: int = 10_000_000
    lines: int = 4_000_000

    @property
    def start(self) -> int:
        """When it begins."""
        return self.end - int(self.days * DAY)

    @property
    def nodes(self) -> int:
        """How many machines run one task at a time, which has all their GPUs."""
        return max(1, self.machines // 5)


class Job(msgspec.Struct):
    """A task, and what will become of it. `seconds` is how long it runs, `fate` how its attempts
    end, the last of them for ever."""

    task: str
    spec: Spec
    seconds: float
    fate: tuple[Cause | None, ...]
    points: int
    lines: int
    hint: int = 0
    attempts: int = 0


class Slot(msgspec.Struct, frozen=True):
    """Where one task runs at a time."""

    machine: int
    number: int
    gpus: tuple[int, ...]


class Tenure(msgspec.Struct):
    """Who had a slot, from when to when."""

    held: Held
    since: int
    until: int


Message = tuple[str, bytes]
Told = tuple[int, Message | None]
"""When it is said (microseconds), and what; nothing is a pause."""
Life = Generator[Told, None, Callable[[int], None] | None]
"""What somebody says, in order; it ends with what happens then."""


class History:
    """Tells everything once, in the order of its time. `seq` counts the lifecycle messages, which
    is what the stream will do."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seq = 0
        self.machines = Machines(plan.machines, plan.gpus)
        self.tenures: dict[tuple[int, int], list[Tenure]] = {}
        """By machine and GPU, from the first to the last."""
        self.longest_task = ""
        self._chance = random.Random(7)
        self._voice = Voice(self._chance)
        self._count = 0
        self._left = plan.tasks
        self._lives: list[tuple[int, int, Life, Message | None]] = []
        self._waiting: dict[bool, list[tuple[int, int, Job]]] = {False: [], True: []}
        self._idle = {
            False: [
                Slot(machine, gpu, (gpu,))
                for machine in range(plan.nodes, plan.machines)
                for gpu in range(plan.gpus)
            ],
            True: [Slot(machine, 0, tuple(range(plan.gpus))) for machine in range(plan.nodes)],
        }

    def messages(self) -> Iterator[Message]:
        """All of it. Between two of them `seq` is that of the last."""
        for machine in range(self.plan.machines):
            self._begin(self._agent(machine))
        self._begin(self._users())
        while self._lives:
            at, _, life, message = heapq.heappop(self._lives)
            if at > self.plan.end:
                return
            if message:
                self.seq += message[0].startswith("evq.")
                yield message
            self._go_on(life, at)

    def _begin(self, life: Life) -> None:
        self._go_on(life, self.plan.start)

    def _go_on(self, life: Life, at: int) -> None:
        try:
            when, message = next(life)
        except StopIteration as end:
            if end.value:
                end.value(at)
            return
        self._count += 1
        heapq.heappush(self._lives, (when, self._count, life, message))

    def _fact(self, subject: str, at: int, by: str, event: events.Event) -> Told:
        self._count += 1
        envelope = events.Envelope(id=f"{self._count:020x}", at=at, by=by, event=event)
        return at, (subject, wire.encode(envelope))

    # --- agents -------------------------------------------------------------------------------

    def _agent(self, machine: int) -> Life:
        plan, chance = self.plan, self._chance
        agent, instance = self.machines.names[machine], self.machines.instances[machine]
        node = machine < plan.nodes
        own = subjects.agent_events(agent)
        up = AgentUp(
            agent=agent,
            instance=instance,
            host=agent,
            pid=4000 + machine,
            queues=("big",) if node else ("urgent", "default", "eval", "sweeps"),
            order="strict",
            slots=1 if node else plan.gpus,
            version="0.1.0",
            cpus=64,
            memory=1_031_000 * 2**20,
            platform="Linux-6.8.0-x86_64",
            python="3.11.9",
            gpus=tuple(self.machines.ids[machine]),
        )
        yield self._fact(own, plan.start, agent, up)
        at = plan.start
        while True:
            at += int(chance.expovariate(1 / (10 * DAY)))
            yield self._fact(own, at, agent, AgentPaused(agent, instance, "the disk is full"))
            at += int(chance.uniform(60, 1800) * SECOND)
            yield self._fact(own, at, agent, AgentResumed(agent, instance, ""))

    # --- users --------------------------------------------------------------------------------

    def _users(self) -> Life:
        plan, chance = self.plan, self._chance
        mean = plan.days * DAY / plan.tasks
        at = float(plan.start)
        for number in range(plan.tasks):
            day = math.sin(2 * math.pi * (at % DAY) / DAY - math.pi / 2)
            at += chance.expovariate((1 + 0.8 * day) / mean)
            left = plan.tasks - number
            if left < plan.tasks / 100:
                at = max(at, plan.end - HOUR)  # a crowd that still waits at the end
            when = min(int(at), plan.end - left)  # all are there, however the dice fell
            job = self._job(number)
            level = subjects.Level.of(job.spec)
            enqueued = events.Enqueued(job.task, job.spec)
            yield self._fact(subjects.hint(level, job.task), when, f"{job.spec.user}@box", enqueued)
            job.hint = self.seq
            self._wait(job, when)
        return None

    def _job(self, number: int) -> Job:
        plan, chance = self.plan, self._chance
        longest = number == plan.tasks // 20
        project = chance.choice(PROJECTS)
        big = not longest and chance.random() < 0.05
        slots = (plan.nodes if big else (plan.machines - plan.nodes) * plan.gpus) / (
            0.05 if big else 0.95
        )
        mean = 0.9 * slots * plan.days * 86_400 / plan.tasks
        left, self._left = self._left, self._left - 1
        usual = 1.1 * (plan.points - plan.longest - self._voice.made) / max(left, 1)
        weight = chance.lognormvariate(-0.72, 1.2)
        job = Job(
            task_id(chance.getrandbits(64).to_bytes(8, "big")),
            self._spec(project, big, number),
            plan.days * 0.7 * 86_400 if longest else mean * chance.lognormvariate(-0.5, 1.0),
            () if longest else self._fate(),
            plan.longest if longest else int(max(usual, 0) * weight),
            int(plan.lines / plan.tasks * weight),
        )
        if longest:
            self.longest_task = job.task
        return job

    def _spec(self, project: Project, big: bool, number: int) -> Spec:
        chance = self._chance
        name, module, params = chance.choice(project.programs)
        return Spec(
            entry=Module(module, ("--config", f"configs/{name}.yaml")),
            name=name,
            queue="big" if big else chance.choices(*project.queues)[0],
            priority=chance.choices((3, 5, 7), (1, 8, 1))[0],
            tags=tags(chance),
            code=Code(
                snapshot=f"{chance.getrandbits(160):040x}",
                blobs=(),
                commit=f"{number // 40:040x}",
                branch=chance.choice(("main", "main", "lr-schedule", "bf16", "new-data")),
            ),
            params={key: choose(chance) for key, choose in params.items()},
            retries=chance.choice((0, 0, 1, 2)),
            gpus=self.plan.gpus if big else 1,
            project=project.name,
            user=chance.choice(USERS),
            host="box",
        )

    def _fate(self) -> tuple[Cause | None, ...]:
        """A cause for each attempt that fails, and none for one that completes."""
        fate: list[Cause | None] = []
        while len(fate) < 4 and self._chance.random() < 0.12:
            fate.append(self._chance.choices(*CAUSES)[0])
        return (*fate, None)

    def _wait(self, job: Job, at: int) -> None:
        big = job.spec.queue == "big"
        heapq.heappush(self._waiting[big], (-job.spec.priority, job.hint, job))
        if self._idle[big]:
            self._free(self._idle[big].pop(), at)

    # --- attempts -----------------------------------------------------------------------------

    def _free(self, slot: Slot, at: int) -> None:
        """Give a slot the next task, or let it idle."""
        big = len(slot.gpus) > 1
        if not self._waiting[big]:
            self._idle[big].append(slot)
            return
        job = heapq.heappop(self._waiting[big])[2]
        self._go_on(self._attempt(job, slot, at + int(self._chance.uniform(0.001, 0.05) * 1e6)), at)

    def _attempt(self, job: Job, slot: Slot, at: int) -> Life:
        chance, number = self._chance, job.attempts + 1
        job.attempts = number
        agent = self.machines.names[slot.machine]
        own = subjects.lifecycle(job.spec.queue, job.task)
        cause = job.fate[min(number, len(job.fate)) - 1] if job.fate else None
        claimed = events.Claimed(
            attempt=number,
            agent=agent,
            instance=self.machines.instances[slot.machine],
            slot=slot.number,
            hint=job.hint,
            lease=10.0,
            gpus=tuple(self.machines.ids[slot.machine][gpu] for gpu in slot.gpus),
        )
        yield self._fact(own, at, agent, claimed)
        tenure = Tenure(Held(self.seq, job.task, number), at, self.plan.end)
        for gpu in slot.gpus:
            self.tenures.setdefault((slot.machine, gpu), []).append(tenure)
        for name, mean in (("source", 1.0), ("environment", 25.0)):
            cached = chance.random() < 0.9
            seconds = round(chance.expovariate(1 / mean) * (0.1 if cached else 1), 3)
            at += int(seconds * SECOND)
            phase = events.Phase(attempt=number, name=name, seconds=seconds, cached=cached)
            yield self._fact(own, at, agent, phase)
        if cause not in (Cause.SOURCE, Cause.ENVIRONMENT):
            key, installed = packages(chance)
            environment = events.Environment(
                attempt=number, manager="uv", python="3.11.9", key=key, packages=installed
            )
            yield self._fact(own, at, agent, environment)
            started = events.Started(
                attempt=number,
                pid=chance.randrange(1000, 4_000_000),
                argv=("python", "-m", job.spec.name),
                host=agent,
                folder=f"/var/lib/evq/work/{job.task}",
            )
            at += 300_000
            yield self._fact(own, at, agent, started)
            length = job.seconds * (chance.random() if cause else 1)
            said = self._said(job, tenure.held.claim, at, length)
            subject = subjects.telemetry(job.spec.queue, job.task, agent)
            for when, record in said:
                yield when, (subject, record)
            at += int(length * SECOND)
        again = yield from self._end(job, own, agent, at, cause, tenure)
        tenure.until = at

        def then(now: int) -> None:
            if again:
                self._go_on(self._later(job, now + 10 * SECOND), now)
            self._free(slot, now)

        return then

    def _later(self, job: Job, at: int) -> Life:
        yield at, None
        return lambda now: self._wait(job, now)

    def _said(self, job: Job, claim: int, at: int, seconds: float) -> Iterator[tuple[int, bytes]]:
        if job.task == self.longest_task:
            return self._voice.say_long(job.attempts, claim, at, seconds, job.points)
        return self._voice.say(job.attempts, claim, at, seconds, job.points, job.lines)

    def _end(
        self, job: Job, own: str, agent: str, at: int, cause: Cause | None, tenure: Tenure
    ) -> Generator[Told, None, bool]:
        """The event that ends the attempt; whether the task waits again."""
        chance, number = self._chance, job.attempts
        wall = (at - tenure.since) / SECOND
        ended: dict[str, Any] = {
            "attempt": number,
            "exit_code": 0 if cause is None else 1,
            "cause": cause,
            "evidence": evidence(cause, chance),
            "usage": events.Usage(wall=wall, cpu=wall * 0.9, max_rss=chance.randrange(2**36)),
        }
        if cause is Cause.LOST_AGENT:
            lost = events.Lost(attempt=number, cause=cause, why="it was silent for a lease")
            yield self._fact(own, at, chance.choice(self.machines.names), lost)
            return number < job.spec.losses
        if cause is Cause.ABORT:
            asked = events.AbortRequested("not needed any more")
            yield self._fact(own, at - SECOND, f"{job.spec.user}@box", asked)
            yield self._fact(own, at, agent, events.Finished(outcome=Outcome.ABORTED, **ended))
            return False
        outcome = Outcome.TIMED_OUT if cause is Cause.TIME else Outcome.FAILED
        if cause and number <= job.spec.retries:
            yield self._fact(own, at, agent, events.Retry(outcome=outcome, delay=10.0, **ended))
            return True
        outcome = outcome if cause else Outcome.COMPLETED
        yield self._fact(own, at, agent, events.Finished(outcome=outcome, **ended))
        return False
