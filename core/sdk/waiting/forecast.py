"""When a task will start, played through many times with how long tasks ran lately.

Each time, every task that runs or stands before it gets a length that was drawn from the past of
its like; tasks are put, in their order, where there is room first. The middle of the starts is
what to expect, and their spread the error. What nobody knows is left out: tasks that come later
and go first, other queues, agents that come or go. A GPU that is shared counts as one that is not.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Mapping, Sequence

import msgspec

from ...fleet.presence import AgentPresence
from ...fleet.resources import Device, Offer, Request, lacks, parse_size

LEAST_RUNS = 5
"""With fewer to draw from, nothing is said."""

LEAST_ROUNDS, MOST_ROUNDS = 10, 100

MOST_LOOKS = 200_000
"""Looks whether a task fits, over all rounds: about what a person waits for."""


class Held(msgspec.Struct, frozen=True):
    """A task that ended: for how many seconds an agent had it."""

    queue: str
    name: str
    seconds: float


class Before(msgspec.Struct, frozen=True):
    """A task that stands before another in its queue, with its class."""

    name: str
    size: str


class Forecast(msgspec.Struct, frozen=True):
    """Seconds until a task starts: half of the rounds were below `seconds`, a tenth below `low`
    and a tenth above `high`. `runs` is how many runs of the queue this stands on."""

    seconds: float
    low: float
    high: float
    runs: int


class History:
    """How long tasks took their agents."""

    def __init__(self, held: Sequence[Held]) -> None:
        self._by_name: dict[tuple[str, str], list[float]] = {}
        self._by_queue: dict[str, list[float]] = {}
        for one in held:
            self._by_name.setdefault((one.queue, one.name), []).append(one.seconds)
            self._by_queue.setdefault(one.queue, []).append(one.seconds)
        for lengths in (*self._by_name.values(), *self._by_queue.values()):
            lengths.sort()

    def lengths(self, queue: str, name: str) -> list[float]:
        """Sorted lengths of the task's like: of its name, else of its queue; empty if too few."""
        for found in (self._by_name.get((queue, name), []), self._by_queue.get(queue, [])):
            if len(found) >= LEAST_RUNS:
                return found
        return []

    def runs(self, queue: str) -> int:
        """How many runs of a queue are known."""
        return len(self._by_queue.get(queue, []))


class _Machine:
    """An agent in one round: what is free from `now` on, and what ends when."""

    def __init__(self, free: Offer) -> None:
        self.free = free
        self.now = 0.0
        self.ends: list[tuple[float, int, Offer]] = []
        self._count = 0

    def start(self, request: Request) -> float | None:
        """From when on there is room; None if there never is."""
        if not lacks(request, self.free):
            return self.now
        free = self.free
        for end, _, back in self.ends:
            free = _plus(free, back)
            if not lacks(request, free):
                return max(self.now, end)
        return None

    def begin(self, request: Request, start: float, seconds: float) -> None:
        """Run a task from `start` on."""
        while self.ends and self.ends[0][0] <= start:
            self.free = _plus(self.free, self.ends.pop(0)[2])
        self.now = start
        self.free, taken = _taken(self.free, request)
        self.runs(taken, start + seconds)

    def runs(self, taken: Offer, end: float) -> None:
        """Something runs that gives this back at its end."""
        self._count += 1
        bisect.insort(self.ends, (end, self._count, taken))


def forecast(
    request: Request,
    queue: str,
    before: Sequence[Before],
    agents: Sequence[AgentPresence],
    history: History,
    now: float,
    seed: str,
) -> Forecast | None:
    """When a task of the queue starts; None if the past says too little, or it never does.

    `agents` are those that could run it; `now` is in microseconds. The same `seed` gives the same
    answer.
    """
    at_once = not before and any(
        not lacks(agent.request(request, queue), agent.free) for agent in agents
    )
    running = [(task.queue, task.name) for agent in agents for task in agent.running]
    like = [*running, *((queue, one.name) for one in before)]
    if not at_once and not all(history.lengths(*one) for one in like):
        return None
    chance = random.Random(seed)
    looks = (len(before) + 1) * sum(agent.offer.slots for agent in agents)
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, MOST_LOOKS // max(1, looks)))
    starts = []
    for _ in range(rounds):
        start = _play(request, queue, before, agents, history, now, chance)
        if start is None:
            return None
        starts.append(start)
    starts.sort()
    low, middle, high = (starts[int(len(starts) * part)] for part in (0.1, 0.5, 0.9))
    return Forecast(middle, low, high, history.runs(queue))


def _play(
    request: Request,
    queue: str,
    before: Sequence[Before],
    agents: Sequence[AgentPresence],
    history: History,
    now: float,
    chance: random.Random,
) -> float | None:
    machines = []
    for agent in agents:
        machine = _Machine(agent.free)
        machines.append(machine)
        for task in agent.running:
            lengths = history.lengths(task.queue, task.name)
            passed = max(0.0, (now - task.since) / 1e6)
            wants = agent.request(parse_size(task.size), task.queue)
            machine.runs(_held(agent, wants, task.gpus), _rest(lengths, passed, chance))
    for one in before:
        _put(
            parse_size(one.size), queue, agents, machines, history.lengths(queue, one.name), chance
        )
    return _put(request, queue, agents, machines, [], chance)


def _put(
    request: Request,
    queue: str,
    agents: Sequence[AgentPresence],
    machines: Sequence[_Machine],
    lengths: Sequence[float],
    chance: random.Random,
) -> float | None:
    """Start a task where there is room first; when that is, or None if nowhere."""
    found: tuple[float, int, Request] | None = None
    for number, (agent, machine) in enumerate(zip(agents, machines, strict=True)):
        wants = agent.request(request, queue)
        start = machine.start(wants)
        if start is not None and (found is None or start < found[0]):
            found = (start, number, wants)
    if found is None:
        return None
    start, number, wants = found
    machines[number].begin(wants, start, chance.choice(lengths) if lengths else 0.0)
    return start


def _rest(lengths: Sequence[float], passed: float, chance: random.Random) -> float:
    """Seconds that a task has left which has run for `passed`."""
    longer = lengths[bisect.bisect_right(lengths, passed) :]
    if longer:
        return chance.choice(longer) - passed
    # It is longer than all that is known, and then as long again at the most is a fair guess.
    return passed * chance.random()


# --- what is taken and given back: GPUs as devices that are free or not -------------------------


def _held(agent: AgentPresence, request: Request, gpus: Sequence[str]) -> Offer:
    devices = tuple(device for device in agent.offer.devices if device.id in gpus)
    return Offer(1, request.cpus or 0.0, request.memory or 0, devices)


def _taken(free: Offer, request: Request) -> tuple[Offer, Offer]:
    """What is left beside a task, and what it took."""
    fitting = [device for device in free.devices if device.takes(request.gpu_memory)]
    mine = tuple(fitting[: request.gpus])
    rest = free.without(request)
    left = tuple(device for device in free.devices if device not in mine)
    return (
        msgspec.structs.replace(rest, devices=left),
        Offer(1, request.cpus or 0.0, request.memory or 0, mine),
    )


def _plus(free: Offer, back: Offer) -> Offer:
    returned: Mapping[str, Device] = {device.id: device for device in back.devices}
    others = tuple(device for device in free.devices if device.id not in returned)
    return Offer(
        free.slots + back.slots,
        free.cpus + back.cpus,
        free.memory + back.memory,
        others + tuple(returned.values()),
        free.labels,
    )
