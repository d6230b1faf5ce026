"""What it costs to look at the machine: `python benchmarks/sampling.py [--seconds N]`.

Runs an agent's watch at the default rates, with and without eight recorded GPUs and running
tasks, each of five processes with seventeen threads. Prints the share of a core that it takes
beyond that of the measurement, and how late the event loop beside it comes to its timers; without
a watch it is late, too, by the kernel's and other programs' doing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import ground
import msgspec

from evq.agent.config import Config
from evq.agent.gpus.port import Gpus, NoGpus
from evq.agent.gpus.recorded import RecordedGpus
from evq.agent.machine.watch import MachineWatch
from evq.core.bus.connect import Bus, Login, connect
from evq.core.bus.loop import loop_factory
from evq.core.subjects import samples

GPUS = TASKS = 8
TICK = 0.005

# Its first process is what a supervisor is to a task.
TASK = """
import os, threading, time
if child := os.fork():
    print(child, flush=True)
    os.wait()
for _ in range(4):
    if os.fork() == 0:
        break
for _ in range(16):
    threading.Thread(target=time.sleep, args=(10_000,), daemon=True).start()
time.sleep(10_000)
"""


@contextmanager
def tasks(count: int) -> Iterator[list[int]]:
    """So many commands of five processes with seventeen threads each; their pids."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TASK], start_new_session=True, stdout=subprocess.PIPE
        )
        for _ in range(count)
    ]
    try:
        yield [int(process.stdout.readline()) for process in processes if process.stdout]
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def recorded(file: Path, pids: list[int]) -> Gpus:
    """Eight GPUs that are busy with these processes."""
    chance = random.Random(3)
    gpus = [
        {
            "id": f"GPU-{chance.getrandbits(128):032x}",
            "name": "NVIDIA A100-SXM4-80GB",
            "memory": 80 * 2**30,
            "utilisation": [chance.uniform(60, 100) for _ in range(50)],
            "memory_utilisation": 40,
            "memory_used": 60 * 2**30,
            "temperature": 62,
            "power": 350.5,
            "power_limit": 400,
            "clock": 1410,
            "memory_clock": 1593,
            "processes": [
                {"pid": pid, "user": "ada", "name": "python", "memory": 2**30}
                for pid in pids[place % max(1, len(pids)) :: GPUS]
            ],
        }
        for place in range(GPUS)
    ]
    file.write_bytes(msgspec.json.encode({"gpus": gpus}))
    return RecordedGpus(file)


async def lateness(seconds: float) -> list[float]:
    """How late timers ring, in seconds, sorted."""
    found = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        await asyncio.sleep(TICK)
        found.append(time.monotonic() - began - TICK)
    return sorted(found)


class Case(msgspec.Struct):
    """A watch with these GPUs and tasks, or none."""

    name: str
    gpus: Gpus | None
    pids: list[int]


@asynccontextmanager
async def watching(bus: Bus, folder: Path, case: Case) -> AsyncIterator[None]:
    """What is measured runs as long as the block."""
    if case.gpus is None:
        yield
        return
    config = Config(queues=("q",), state=folder, cache=folder, name=case.name)
    watch = MachineWatch(bus, config, case.name, case.gpus, case.gpus.devices())
    for claim, pid in enumerate(case.pids, 1):
        watch.started(claim, f"task{claim:08}", 1, pid)
    working = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(1)
        yield
    finally:
        working.cancel()


async def measure(bus: Bus, folder: Path, case: Case, seconds: float) -> None:
    """Print what a case takes, and how late timers are meanwhile."""
    async with watching(bus, folder, case):
        began = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - began
        late = await lateness(seconds)
    said = await bus.samples.history(samples(case.name))
    size = f"{len(said)} samples, the last of {len(said[-1].data)} B" if said else ""
    ground.line(case.name, f"{used / seconds:.2%} of a core", size)
    middle, high = late[len(late) // 2], late[int(len(late) * 0.99)]
    ground.line("", f"{middle * 1000:.2f} ms late", f"99 %: {high * 1000:.2f} ms")


async def bench(login: Login, folder: Path, seconds: float) -> None:
    """Measure each case."""
    async with connect(login, "bench", patience=10) as bus:
        await bus.prepare()
        with tasks(TASKS) as pids:
            for case in (
                Case("no-watch", None, []),
                Case("0-gpus-0-tasks", NoGpus(), []),
                Case(f"0-gpus-{TASKS}-tasks", NoGpus(), pids),
                Case(f"{GPUS}-gpus-0-tasks", recorded(folder / "idle.json", []), []),
                Case(f"{GPUS}-gpus-{TASKS}-tasks", recorded(folder / "busy.json", pids), pids),
            ):
                await measure(bus, folder, case, seconds)


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    with (
        ground.folder() as folder,
        ground.server(folder) as login,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(bench(login, folder, arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
