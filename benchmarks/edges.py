"""How soon a task starts after the one that it awaits: chains, a fan-out and a fan-in.

    uv run benchmarks/edges.py [--tasks 100] [--slots 2]

Both times are the agent's own: from the moment when a command's end was seen to the moment when
the next command was started.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Sequence

import uvloop
from ground import agent, agents, client, folder, line, server

from evq.core.events import Envelope, Finished
from evq.core.sdk.client import Client
from evq.core.spec import After, Command, Spec
from evq.core.state import Attempt
from evq.core.wire import decode

TRUE = "/bin/true"


def spec(*after: str) -> Spec:
    """A task that does nothing, after these."""
    return Spec(
        entry=Command((TRUE,)),
        name="true",
        queue="edges",
        manager="none",
        after=tuple(map(After, after)),
    )


async def ended(opened: Client, names: Sequence[str]) -> list[Attempt]:
    """The last attempts of the tasks, once all have ended; nobody is asked meanwhile."""
    waiting = set(names)
    async with opened.bus.log.follow(1, ["evq.t.edges.*"]) as batches:
        async for batch in batches:
            for stored in batch:
                message = decode(stored.data)
                assert isinstance(message, Envelope)
                if isinstance(message.event, Finished):
                    waiting.discard(stored.subject.rpartition(".")[2])
            if not waiting:
                break
    return [(await opened.get(name)).past[-1] for name in names]


def gap(before: Attempt, after: Attempt) -> float:
    """Seconds from the end of one to the start of the other."""
    assert before.end and after.launch
    return (after.launch.at - before.end.at) / 1e6


async def chain(opened: Client, count: int) -> list[float]:
    """The gaps of a chain that is enqueued while its first tasks run."""
    names: list[str] = []
    for _ in range(count):
        names.append((await opened.enqueue(spec(*names[-1:]))).task)
    return [gap(*pair) for pair in itertools.pairwise(await ended(opened, names))]


async def fan(opened: Client, count: int) -> tuple[float, float]:
    """Seconds from one task's end to the first of `count` that await it, and from the last of
    those to the one that awaits them all."""
    first = (await opened.enqueue(spec())).task
    middle = [one.task for one in await opened.enqueue_many([spec(first)] * count)]
    last = (await opened.enqueue(spec(*middle))).task
    out, *between, into = await ended(opened, [first, *middle, last])
    return min(gap(out, one) for one in between), min(gap(one, into) for one in between)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[int(len(values) * share)]


async def measure(tasks: int, slots: int) -> None:
    """Everything, one after the other, on one server with durable writes."""
    with folder() as home, server(home) as login:
        async with client(login) as opened:
            options = ("--queues", "edges", "--slots", str(slots), "--name", "edges")
            with agent(home / "edges", login, *options):
                await agents(opened, 1)
                await chain(opened, 10)
                gaps = await chain(opened, tasks)
                line(
                    "end of one to start of the next, median",
                    f"{statistics.median(gaps) * 1e3:.1f} ms",
                )
                line("the same, 95 of 100", f"{percentile(gaps, 0.95) * 1e3:.1f} ms")
                line("the same, at most", f"{max(gaps) * 1e3:.1f} ms")
                out, into = await fan(opened, tasks)
                line(f"one to the first of {tasks} that await it", f"{out * 1e3:.1f} ms")
                line(f"the last of {tasks} to what awaits them all", f"{into * 1e3:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    uvloop.run(measure(options.tasks, options.slots))


if __name__ == "__main__":
    main()
