"""Workers and queues as they are now, out of the live fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import msgspec

from .....core.fleet.presence import AgentPresence, RunningTask
from .....core.fleet.resources import Device, lacks, parse_size
from .....core.fleet.samples import Figure, Gpus, Machine, Sample
from .....core.queueing.permits import limit_text
from .....core.queueing.workload import QueueLoad, busy_seconds, serving_slots
from .....core.sdk.author import now
from .....core.sdk.live import LiveAgent, LiveFleet, LiveQueue, LiveTask
from .....core.units import size_text
from .....core.words.agents import device_state, device_words
from .picture import Gpu, GpuState, Picture, Queue, Running, Waiting, Worker

MEBI, KIBI = 2**20, 2**10

LOOKED_AT = 20
"""Tasks of each queue among which a worker's next one is looked for."""

STATES: dict[str, GpuState] = {
    "broken": "offline",
    "foreign": "outside",
    "running": "busy",
    "shared": "busy",
    "drained": "drained",
    "free": "idle",
}


class Present:
    """Rows of the live fleet. GPUs of a worker that goes silent are kept, and told as offline."""

    def __init__(self, fleet: LiveFleet) -> None:
        self._fleet = fleet
        self._gpus: dict[str, tuple[Gpu, ...]] = {}

    def worker(self, name: str) -> Worker | None:
        """A worker; null if nobody has heard of it."""
        agent = self._fleet.agents.get(name)
        return self._worker(agent, self._loads(), self._slots()) if agent else None

    def workers(self, names: Iterable[str] | None = None) -> list[Worker]:
        """These workers as far as they are known, or all."""
        loads, slots, known = self._loads(), self._slots(), self._fleet.agents
        chosen = known if names is None else [name for name in names if name in known]
        return [self._worker(known[name], loads, slots) for name in chosen]

    def queue(self, name: str) -> Queue | None:
        """A queue; null if there is none."""
        found = self._fleet.queues.get(name)
        return queue_row(found, self._fleet) if found else None

    def queues(self) -> list[Queue]:
        """All queues but those that were deleted."""
        found = self._fleet.queues
        return [
            queue_row(found[name], self._fleet)
            for name in sorted(found)
            if found[name].state != "deleted" or found[name].queued + found[name].busy
        ]

    def line(self, queue: str, count: int) -> list[Waiting]:
        """The first tasks that wait in a queue."""
        tasks = self._fleet.line(queue, count)
        return [waiting_row(task, place) for place, task in enumerate(tasks, 1)]

    def picture(self, queue: str, count: int) -> Picture:
        """All workers and queues, and the first who wait in one of these."""
        return Picture(workers=self.workers(), queues=self.queues(), line=self.line(queue, count))

    def _slots(self) -> Mapping[str, int]:
        agents = self._fleet.agents.values()
        return serving_slots(one.presence for one in agents if one.presence)

    def _loads(self) -> dict[str, QueueLoad]:
        return {
            name: QueueLoad(queue.queued, queue.hold_median)
            for name, queue in self._fleet.queues.items()
        }

    def _worker(
        self, agent: LiveAgent, loads: dict[str, QueueLoad], slots: Mapping[str, int]
    ) -> Worker:
        presence, sample = agent.presence, agent.sample
        machine = sample.machine if sample else Machine()
        return Worker(
            name=agent.name,
            host=agent.host,
            labels=presence.offer.labels if presence else {},
            state=agent.state,
            why=agent.why,
            since=agent.since,
            queues=agent.queues,
            slots=agent.slots,
            services=presence.services if presence else False,
            running=running_rows(presence) if presence else (),
            gpus=self._gpus_of(agent),
            next_task=next(_named(self._coming(presence)), "") if presence else "",
            busy_seconds=busy_seconds(presence, slots, loads, now()) if presence else None,
            cpu=_mean(machine.cpu),
            load=_mean(machine.load),
            memory=_mean(machine.memory, MEBI),
            memory_total=_times(machine.memory_total, MEBI),
            disk=_mean(machine.disk, MEBI),
            disk_total=_times(machine.disk_total, MEBI),
            disk_read=_mean(machine.disk_read, KIBI),
            disk_write=_mean(machine.disk_write, KIBI),
            net_in=_mean(machine.net_in, KIBI),
            net_out=_mean(machine.net_out, KIBI),
            temperature=_mean(machine.temperature),
            version=(agent.record.version or "") if agent.record else "",
            trouble=sample.trouble if sample else "",
        )

    def _gpus_of(self, agent: LiveAgent) -> tuple[Gpu, ...]:
        if agent.presence is None:
            before = () if agent.state == "down" else self._gpus.get(agent.name, ())
            return tuple(
                msgspec.structs.replace(gpu, state="offline", utilisation=None, words="")
                for gpu in before
            )
        self._gpus[agent.name] = gpus = gpu_rows(agent.presence, agent.sample)
        return gpus

    def coming(self, name: str, count: int) -> list[Waiting]:
        """The first tasks that a worker could take, in the order of its queues."""
        agent = self._fleet.agents.get(name)
        found = self._coming(agent.presence) if agent and agent.presence else iter(())
        return [waiting_row(task, self._fleet.position(task) or 0) for task in islice(found, count)]

    def _coming(self, presence: AgentPresence) -> Iterator[LiveTask]:
        """The tasks of its queues, in their order, that it could take when it has room."""
        for queue in presence.queues if presence.takes else ():
            known = self._fleet.queues.get(queue)
            if known is None or known.state == "paused":
                continue
            for task in self._fleet.line(queue, LOOKED_AT):
                if not lacks(presence.request(parse_size(task.size), queue), presence.offer):
                    yield task


def gpu_rows(presence: AgentPresence, sample: Sample | None) -> tuple[Gpu, ...]:
    """The GPUs that an agent has for tasks, with what was seen of them last."""
    columns = sample.gpus if sample else None
    seen = {name: place for place, name in enumerate(columns.id)} if columns else {}
    return tuple(
        _gpu(presence, device, columns, seen.get(device.id)) for device in presence.devices
    )


def _gpu(presence: AgentPresence, device: Device, columns: Gpus | None, place: int | None) -> Gpu:
    state = STATES[device_state(presence, device)]
    words = device_words(presence, device)
    if columns is None or place is None:
        return Gpu(
            id=device.id,
            index=device.index,
            name=device.name,
            state=state,
            words=words,
            memory_total=device.memory or None,
        )
    return Gpu(
        id=device.id,
        index=device.index,
        name=device.name,
        state="offline" if columns.trouble[place] and state == "idle" else state,
        words=words or columns.trouble[place],
        utilisation=_mean(columns.utilisation[place]),
        memory=_mean(columns.memory[place], MEBI),
        memory_total=columns.total[place] * MEBI or None,
        temperature=_mean(columns.temperature[place]),
        power=_mean(columns.power[place]),
    )


def _named(tasks: Iterable[LiveTask]) -> Iterator[str]:
    return (f"{task.id} {task.name}" for task in tasks)


def running_rows(presence: AgentPresence) -> tuple[Running, ...]:
    """The tasks that an agent has, by slot."""
    numbers = {device.id: device.index for device in presence.devices}

    def row(one: RunningTask) -> Running:
        return Running(
            task=one.task,
            attempt=one.attempt,
            name=one.name,
            user=one.user,
            queue=one.queue,
            since=one.since,
            gpus=tuple(numbers[gpu] for gpu in one.gpus if gpu in numbers),
            quiet=one.quiet,
        )

    return tuple(map(row, sorted(presence.running, key=lambda one: one.slot)))


def queue_row(queue: LiveQueue, fleet: LiveFleet) -> Queue:
    """A queue of the live fleet."""
    following = fleet.tasks.get(queue.next_task) if queue.next_task else None
    return Queue(
        name=queue.name,
        state=queue.state,
        why=f"by {queue.by}: {queue.reason}" if queue.state == "paused" else "",
        description=queue.description,
        limit=limit_text(queue.permits) if queue.permits.limited else "",
        queued=queue.queued,
        busy=queue.busy,
        workers=len(queue.agents),
        slots=queue.slots,
        oldest=queue.oldest,
        wait_median=queue.wait_median,
        hold_median=queue.hold_median,
        next_task=f"{following.id} {following.name}" if following else "",
    )


def waiting_row(task: LiveTask, place: int) -> Waiting:
    """A task of the live fleet that waits."""
    return Waiting(
        task=task.id,
        queue=task.queue,
        place=place,
        name=task.name,
        user=task.user,
        priority=task.priority,
        asks=asks(task.size),
        since=task.waits_since,
    )


def asks(size: str) -> str:
    """What a class asks of a machine, in words: `2 GPUs, 4 CPUs, 16 GiB`."""
    request = parse_size(size)
    gpus = f"{request.gpus} GPU{'s' * (request.gpus > 1)}" if request.gpus else ""
    if request.gpu_memory:
        gpus += f" with {size_text(request.gpu_memory)}"
    parts = [
        gpus,
        f"{request.cpus:g} CPUs" if request.cpus else "",
        size_text(request.memory) if request.memory else "",
        *(f"{name}={value}" for name, value in request.labels.items()),
    ]
    return ", ".join(filter(None, parts))


def _mean(figure: Figure | None, factor: int = 1) -> float | None:
    return None if figure is None else figure[0] * factor


def _times(value: int | None, factor: int) -> float | None:
    return None if value is None else value * factor
