"""What services cost each other: memory beside their own, and how late the next one starts.

    uv run benchmarks/services.py [--count 50] [--starts 20]

One agent for services runs so many mostly idle tasks. Memory is the proportional set size of all
processes that are evq's own. A start is counted from the enqueueing to the command's first moment.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics

import psutil
import uvloop
from ground import agent, agents, client, folder, line, server

from evq.core.events import Envelope, Finished, Started
from evq.core.fleet.services import LIMITS, QUEUE
from evq.core.sdk.client import Client
from evq.core.spec import Command, Limits, Spec
from evq.core.subjects import lifecycle
from evq.core.wire import decode

IDLE = "while :; do echo alive; sleep 5; done"
BRIEF = "sleep 0.05"

GREEDY = {
    "a processor hog": "while :; do :; done & while :; do :; done",
    "a log flood": "yes 'a line that says nothing, again and again'",
    "a memory hog": "tail /dev/zero",
    "a fork bomb": "f() { f | f & f; }; f; sleep 60",
}
"""Each with its own limits; what ends at one is started again by its budget."""


def spec(name: str, shell: str, limits: Limits | None = None, retries: int = 0) -> Spec:
    """A service that is a line of shell."""
    return Spec(
        entry=Command(("sh", "-c", shell)),
        name=name,
        queue=QUEUE,
        manager="none",
        limits=limits,
        retries=retries,
    )


async def event(opened: Client, task: str, kinds: type) -> Envelope:
    """The first event of a kind in a task's life."""
    async with opened.bus.log.follow(1, [lifecycle(QUEUE, task)]) as batches:
        async for batch in batches:
            for stored in batch:
                message = decode(stored.data)
                if isinstance(message, Envelope) and isinstance(message.event, kinds):
                    return message
    raise AssertionError("following has no end")


async def begin(opened: Client, wanted: Spec) -> str:
    """Enqueue a service, and return when it runs."""
    task = (await opened.enqueue(wanted)).task
    await event(opened, task, Started)
    return task


async def starts(opened: Client, count: int) -> list[float]:
    """Seconds from enqueueing to the command's start, of one after the other."""
    seconds = []
    for number in range(count):
        receipt = await opened.enqueue(spec(f"brief-{number}", BRIEF))
        ended = await event(opened, receipt.task, Finished)
        assert isinstance(ended.event, Finished)
        task = await opened.get(receipt.task)
        launch = task.attempts[-1].launch
        assert launch is not None
        seconds.append((launch.at - task.enqueued) / 1e6)
    return seconds


def own_memory(pid: int) -> int:
    """Bytes of all processes of evq below and with the agent; those of tasks are not evq's."""
    root = psutil.Process(pid)
    ours = [root, *(p for p in root.children(recursive=True) if p.name().startswith("evq-"))]
    return sum(process.memory_full_info().pss for process in ours)


def told(seconds: list[float]) -> str:
    """The median and the longest, in milliseconds."""
    return f"{statistics.median(seconds) * 1000:.0f} / {max(seconds) * 1000:.0f} ms"


async def measure(count: int, tries: int) -> None:
    """All figures, one after the other."""
    with folder() as home, server(home) as login:
        options = ("--queues", QUEUE, "--services", "--slots", str(count + len(GREEDY) + 1))
        with agent(home, login, *options) as process:
            async with client(login) as opened:
                await agents(opened, 1)
                await starts(opened, 3)
                before, alone = own_memory(process.pid), await starts(opened, tries)
                line("start, alone (median / longest)", told(alone))
                for number in range(count):
                    await begin(opened, spec(f"idle-{number}", IDLE))
                after, beside = own_memory(process.pid), await starts(opened, tries)
                each = (after - before) / count / 2**20
                line(f"start beside {count} idle services", told(beside))
                later = (statistics.median(beside) - statistics.median(alone)) * 1000
                line("  later by, at the median", f"{later:.0f} ms", "to be: at most 100 ms")
                line("memory of evq's own for each", f"{each:.1f} MiB", "to be: below 60 MB")
                line("  agent and forkserver, without any", f"{before / 2**20:.0f} MiB")
                presence = (await opened.agents())[0]
                listed = sum(one.name.startswith("idle-") for one in presence.running)
                line("sub-agents listed", str(listed), f"of {count}")
                for name, shell in GREEDY.items():
                    await opened.enqueue(spec(name, shell, LIMITS, retries=1000))
                await asyncio.sleep(3)
                greedy = await starts(opened, tries)
                line("start beside four greedy ones, too", told(greedy))
                later = (statistics.median(greedy) - statistics.median(alone)) * 1000
                line("  later by, at the median", f"{later:.0f} ms", "to be: at most 100 ms")
            # Services do not end by themselves, and two signals at once may arrive as one: but
            # their supervisors end them when the agent dies.
            process.kill()


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    uvloop.run(measure(options.count, options.starts))


if __name__ == "__main__":
    main()
