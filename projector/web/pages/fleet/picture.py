"""What the page shows of workers and queues, now or as it was: rows of plain values.

Two sources make them: `present.py` out of the live fleet, `past.py` out of a projector's answers.
Times are microseconds since 1970, sizes bytes, shares percent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

GpuState = Literal["busy", "idle", "outside", "drained", "offline"]
GPU_STATES: tuple[GpuState, ...] = ("busy", "idle", "outside", "drained", "offline")

HELD_BACK = frozenset({"paused", "draining", "drained", "stopping"})
"""The states of workers that are there and take nothing new."""

GONE = frozenset({"lost", "silent"})
"""The states of workers that are not there although they did not end."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU: what it does, how much of it is used, and who has it or what is wrong, in `words`."""

    id: str
    index: int
    name: str
    state: GpuState
    words: str = ""
    utilisation: float | None = None
    memory: float | None = None
    memory_total: float | None = None
    temperature: float | None = None
    power: float | None = None

    @property
    def memory_share(self) -> float | None:
        """How much of its memory is taken."""
        return share(self.memory, self.memory_total)


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A task that a worker has, with the numbers of its GPUs; `quiet` is since when it is that."""

    task: str
    attempt: int
    name: str
    user: str
    queue: str
    since: int
    gpus: tuple[int, ...] = ()
    quiet: int | None = None


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """An agent and its machine. Null is what nobody has told.

    `next_task` is the first task of its queues that it could take, `busy_seconds` how long what it
    runs and its share of what waits will take.
    """

    name: str
    host: str = ""
    labels: dict[str, str] = {}
    state: str
    why: str = ""
    since: int | None = None
    queues: tuple[str, ...] = ()
    slots: int = 0
    services: bool = False
    running: tuple[Running, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    next_task: str = ""
    busy_seconds: float | None = None
    cpu: float | None = None
    load: float | None = None
    memory: float | None = None
    memory_total: float | None = None
    disk: float | None = None
    disk_total: float | None = None
    disk_read: float | None = None
    disk_write: float | None = None
    net_in: float | None = None
    net_out: float | None = None
    temperature: float | None = None
    version: str = ""
    trouble: str = ""

    @property
    def utilisation(self) -> float | None:
        """The mean of its GPUs."""
        return mean(gpu.utilisation for gpu in self.gpus)

    @property
    def gpu_memory_share(self) -> float | None:
        """How much of the memory of its GPUs is taken."""
        return mean(gpu.memory_share for gpu in self.gpus)

    @property
    def hottest(self) -> float | None:
        """The highest temperature in it."""
        known = [self.temperature, *(gpu.temperature for gpu in self.gpus)]
        return max((one for one in known if one is not None), default=None)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: what is in it, who is next, who serves it. `limit` and `why` are words."""

    name: str
    state: str
    why: str = ""
    description: str = ""
    limit: str = ""
    queued: int = 0
    busy: int = 0
    workers: int = 0
    slots: int = 0
    oldest: int | None = None
    wait_median: float | None = None
    hold_median: float | None = None
    next_task: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits in a queue, at `place` from 1."""

    task: str
    queue: str
    place: int
    name: str
    user: str
    priority: int
    asks: str
    since: int | None = None


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All of it at one moment; `line` are the first who wait in the queue that is open."""

    workers: list[Worker]
    queues: list[Queue]
    line: list[Waiting]


def share(part: float | None, whole: float | None) -> float | None:
    """A part in percent of the whole, if both are known."""
    return None if part is None or not whole else 100 * part / whole


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def shown(worker: Worker) -> bool:
    """Whether it belongs to the fleet: one that has ended in order does not."""
    return worker.state != "down"


def matches(worker: Worker, filter: str) -> bool:
    """Whether a tile's filter lets the worker through; the empty one lets all."""
    match filter:
        case "busy" | "idle":
            return worker.state == filter
        case "held-back":
            return worker.state in HELD_BACK
        case "gone":
            return worker.state in GONE
        case "gpu-busy" | "gpu-idle" | "gpu-outside" | "gpu-drained" | "gpu-offline":
            return any(f"gpu-{gpu.state}" == filter for gpu in worker.gpus)
        case _:
            return True


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet in numbers."""

    workers: int
    there: int
    states: dict[str, int]
    gpus: dict[str, int]
    queued: int
    running: int


def totals(workers: Iterable[Worker], queues: Iterable[Queue]) -> Totals:
    """The numbers of these workers and queues."""
    known = list(workers)
    states = Counter(_group(worker) for worker in known)
    waiting = list(queues)
    return Totals(
        workers=len(known),
        there=len(known) - states["gone"],
        states=dict(states),
        gpus=dict(Counter(gpu.state for worker in known for gpu in worker.gpus)),
        queued=sum(queue.queued for queue in waiting),
        running=sum(queue.busy for queue in waiting),
    )


def _group(worker: Worker) -> str:
    if worker.state in HELD_BACK:
        return "held-back"
    return "gone" if worker.state in GONE else worker.state
